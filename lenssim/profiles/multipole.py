"""Multipoles of the convergence: lenstronomy's MULTIPOLE, after Xu et al. 2015, appendix B3.

For an order m >= 2 the lensing potential is

    psi = r a_m / (1 - m^2) cos(m (phi - phi_m)),   kappa = a_m / (2 r) cos(m (phi - phi_m)),

with a_m in arcsec. On an isothermal sphere, kappa = theta_E / (2 r), it moves the contours of equal
convergence from r to r (1 + a_m / theta_E cos(m (phi - phi_m))): the relative amplitudes of the
literature (O'Riordan & Vegetti 2024, arXiv 2310.10714: a per cent or so) are a_m / theta_E. On a
power law of another slope the contours at theta_E move by 1 / (1 - (slope - 2)^2) of that, 1% more
for a slope of 1.9 or 2.1.

The azimuthal means of its convergence and of its radial deflection vanish: it does not change
the ring's radius.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined
from lenssim.profiles.elliptical_power_law import TINY_RADIUS


def multipole_components(order, relative_amplitude, angle, theta_e):
    """Components of a multipole, as the kernels take them.

    Args:
        order: m, at least 2.
        relative_amplitude: a_m / theta_E, any shape.
        angle: phi_m, radians; the pattern repeats after 2 pi / m.
        theta_e: Einstein radius of the lens, arcsec.

    Returns:
        (a_m cos(m phi_m), a_m sin(m phi_m)) in arcsec.
    """
    amplitude = relative_amplitude * theta_e
    return amplitude * np.cos(order * angle), amplitude * np.sin(order * angle)


@inlined
def multipole(x, y, order, component_cos, component_sin):
    """Deflection of a multipole of order m >= 2 about the origin.

    In complex notation, with E = a_m exp(i m (phi - phi_m)),
    alpha = exp(i phi) (Re E - i m Im E) / (1 - m^2): its size does not depend on the radius.

    Args:
        x, y: position, arcsec.
        order: m.
        component_cos, component_sin: `multipole_components`, arcsec.

    Returns:
        (alpha_x, alpha_y) in arcsec.
    """
    radius = max(math.sqrt(x * x + y * y), TINY_RADIUS)
    cosine = x / radius
    sine = y / radius
    real, imaginary = _wave(cosine, sine, order, component_cos, component_sin)
    radial = real / (1.0 - order * order)
    tangential = -order * imaginary / (1.0 - order * order)
    return cosine * radial - sine * tangential, sine * radial + cosine * tangential


@inlined
def multipole_hessian(x, y, order, component_cos, component_sin):
    """Derivatives of the deflection of a multipole about the origin.

    Only the tangential second derivative is not zero, 2 kappa = a_m / r cos(m (phi - phi_m)).

    Args: those of `multipole`; the position must not be the origin.

    Returns:
        (f_xx, f_xy, f_yy), dimensionless.
    """
    radius = math.sqrt(x * x + y * y)
    cosine = x / radius
    sine = y / radius
    real, _ = _wave(cosine, sine, order, component_cos, component_sin)
    twice_kappa = real / radius
    return (
        twice_kappa * sine * sine,
        -twice_kappa * sine * cosine,
        twice_kappa * cosine * cosine,
    )


@inlined
def _wave(cosine, sine, order, component_cos, component_sin):
    """a_m exp(i m (phi - phi_m)) from exp(i phi), by repeated multiplication."""
    real = component_cos
    imaginary = -component_sin
    for _ in range(order):
        turned = real * cosine - imaginary * sine
        imaginary = real * sine + imaginary * cosine
        real = turned
    return real, imaginary
