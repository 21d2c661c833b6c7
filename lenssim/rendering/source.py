"""Surface brightness of the source galaxy, as a scalar numba function."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gamma

from lenssim.compilation import inlined

MINIMUM_RADIUS = 1e-4
"""Radius in arcsec inside which the profile is flat, as lenstronomy's SERSIC_ELLIPSE has it."""


def sersic_b(n_sersic):
    """b_n of the Sersic profile, in the approximation that lenstronomy uses.

    b_n = 1.9992 n - 0.3271 (Capaccioli 1989), within 0.4% of the exact value for 0.5 < n < 10.

    Args:
        n_sersic: Sersic index, any shape.
    """
    return np.maximum(1.9992 * np.asarray(n_sersic, dtype=np.float64) - 0.3271, 1e-5)


def sersic_amplitude(flux, r_sersic, n_sersic):
    """Surface brightness at the half-light radius of a profile with a given total flux.

    Graham & Driver 2005, eq. 4; the ellipse has the circle's area, so the axis ratio drops out.

    Args:
        flux: total flux, e-/s.
        r_sersic: half-light radius (product average of the axes), arcsec.
        n_sersic: Sersic index.

    Returns:
        Surface brightness in e-/s/arcsec^2, shape of the broadcast arguments.
    """
    b = sersic_b(n_sersic)
    area = (
        2 * np.pi * n_sersic * r_sersic**2 * np.exp(b) * b ** (-2 * n_sersic) * gamma(2 * n_sersic)
    )
    return flux / area


@inlined
def sersic_flux(amplitude, r_sersic, n_sersic, b):
    """Total flux of a profile, the inverse of `sersic_amplitude`.

    Args:
        amplitude: surface brightness at the half-light radius, e-/s/arcsec^2.
        r_sersic: half-light radius, arcsec.
        n_sersic: Sersic index.
        b: `sersic_b(n_sersic)`.

    Returns:
        Flux in e-/s.
    """
    squared_length = (r_sersic / b**n_sersic) ** 2
    shape = n_sersic * math.gamma(2.0 * n_sersic)
    return 2.0 * math.pi * squared_length * amplitude * math.exp(b) * shape


@inlined
def sersic_scale_length(reduced, r_sersic, n_sersic, b):
    """Length over which a profile falls by a factor e, at most that of its core where n < 1.

    1 / |d ln I / d R| = n R_sersic (R / R_sersic)^(1 - 1/n) / b_n.

    Args:
        reduced: (R / R_sersic)^(1/n), positive.
        r_sersic: half-light radius, arcsec.
        n_sersic: Sersic index.
        b: `sersic_b(n_sersic)`.

    Returns:
        Length in arcsec.
    """
    length = n_sersic * r_sersic * reduced ** (n_sersic - 1.0) / b
    if n_sersic < 1.0:
        return min(length, n_sersic * r_sersic / b**n_sersic)
    return length


@inlined
def squared_elliptical_length(x, y, e1, e2):
    """Squared norm of a vector in the source plane, the product of the axes of its ellipse.

    Args:
        x, y: vector, arcsec.
        e1, e2: ellipticity components of the source.

    Returns:
        Squared length in arcsec^2.
    """
    u = (1.0 - e1) * x - e2 * y
    v = (1.0 + e1) * y - e2 * x
    return (u * u + v * v) / (1.0 - e1 * e1 - e2 * e2)


@inlined
def elliptical_radius(x, y, e1, e2):
    """Radius of the ellipse through a position, the product average of its axes.

    That of lenstronomy's SERSIC_ELLIPSE, `MINIMUM_RADIUS` included.

    Args:
        x, y: position relative to the centre of the source, arcsec.
        e1, e2: ellipticity components.

    Returns:
        Radius in arcsec.
    """
    return max(math.sqrt(squared_elliptical_length(x, y, e1, e2)), MINIMUM_RADIUS)


@inlined
def sersic_exponent(radius, r_sersic, n_sersic, b):
    """Exponent of a Sersic profile, -b_n ((R / R_sersic)^(1/n) - 1): its log over that at R_sersic.

    Args:
        radius: of the ellipse, arcsec.
        r_sersic: half-light radius, arcsec.
        n_sersic: Sersic index.
        b: `sersic_b(n_sersic)`.

    Returns:
        Dimensionless exponent.
    """
    reduced = radius / r_sersic
    if n_sersic != 1.0:
        reduced = reduced ** (1.0 / n_sersic)
    return -b * (reduced - 1.0)
