"""Deflection angles of the lens components, as scalar numba functions.

Each function maps one position in the image plane to one reduced deflection, both in arcsec.
They are inlined into the integration kernels, so none of them allocates or branches on arrays.
"""

from __future__ import annotations

import math

from lenssim.compilation import inlined

_TINY = 1e-150
"""Radius in arcsec that stands in for zero, without a branch that would stop vectorisation."""

_ROUND = 1e-8
"""1 - q below which an ellipsoid is treated as round: its closed form is 0/0 at q = 1."""


@inlined
def sis(x, y, theta_e):
    """Deflection of a singular isothermal sphere at the origin.

    alpha = theta_E * theta / |theta| (Narayan & Bartelmann 1996, eq. 40); zero at the origin.

    Args:
        x, y: position, arcsec.
        theta_e: Einstein radius, arcsec.

    Returns:
        (alpha_x, alpha_y) in arcsec.
    """
    scale = theta_e / max(math.sqrt(x * x + y * y), _TINY)
    return scale * x, scale * y


@inlined
def sie(x, y, theta_e, axis_ratio, cos_phi, sin_phi):
    """Deflection of a singular isothermal ellipsoid at the origin.

    Kormann, Schneider & Bartelmann 1994, eq. 27a, with the Einstein radius of lenstronomy: that
    of the product average of the axes, so that an ellipse encloses the mass of the circle.

    Args:
        x, y: position, arcsec.
        theta_e: Einstein radius, arcsec.
        axis_ratio: minor over major axis, in (0, 1].
        cos_phi, sin_phi: direction of the major axis.

    Returns:
        (alpha_x, alpha_y) in arcsec.
    """
    if 1.0 - axis_ratio < _ROUND:
        return sis(x, y, theta_e)
    major = cos_phi * x + sin_phi * y
    minor = -sin_phi * x + cos_phi * y
    psi = math.sqrt(axis_ratio * axis_ratio * major * major + minor * minor)
    if psi == 0.0:
        return 0.0, 0.0
    flattening = math.sqrt(1.0 - axis_ratio * axis_ratio)
    scale = theta_e * math.sqrt(axis_ratio) / flattening
    alpha_major = scale * math.atan(flattening * major / psi)
    alpha_minor = scale * math.atanh(flattening * minor / psi)
    return (
        cos_phi * alpha_major - sin_phi * alpha_minor,
        sin_phi * alpha_major + cos_phi * alpha_minor,
    )


@inlined
def shear(x, y, gamma1, gamma2):
    """Deflection of an external shear about the origin (lenstronomy's SHEAR).

    Args:
        x, y: position, arcsec.
        gamma1, gamma2: shear components, dimensionless.

    Returns:
        (alpha_x, alpha_y) in arcsec.
    """
    return gamma1 * x + gamma2 * y, gamma2 * x - gamma1 * y


@inlined
def point_mass(x, y, theta_e_squared):
    """Deflection of a point mass at the origin, alpha = theta_E^2 theta / |theta|^2.

    Args:
        x, y: position, arcsec.
        theta_e_squared: squared Einstein radius, arcsec^2.

    Returns:
        (alpha_x, alpha_y) in arcsec; NaN right on the mass.
    """
    scale = theta_e_squared / (x * x + y * y)
    return scale * x, scale * y


@inlined
def vortex_line(x, y, theta_e, half_x, half_y):
    """Deflection of a uniform line mass centred on the origin, in closed form.

    With z = x + iy, half-vector h and length L = 2|h|, integrating the point-mass deflection
    theta_E^2 / conj(z - t h) over t in [-1, 1] gives

        conj(alpha) = theta_E^2 / L * exp(-i phi) * log((z + h) / (z - h)),

    on the principal branch, whose cut is the line itself: across it the normal deflection jumps.

    Args:
        x, y: position relative to the centre of the line, arcsec.
        theta_e: Einstein radius of the whole mass, arcsec.
        half_x, half_y: vector from the centre to one end, arcsec; must not be zero.

    Returns:
        (alpha_x, alpha_y) in arcsec.
    """
    half_squared = half_x * half_x + half_y * half_y
    far_x = x - half_x
    far_y = y - half_y
    far_squared = far_x * far_x + far_y * far_y
    # (z + h) conj(z - h), whose argument is that of the quotient; log1p keeps |z| >> L exact.
    real = x * x + y * y - half_squared
    imaginary = 2.0 * (half_y * x - half_x * y)
    log_modulus = 0.5 * math.log1p(4.0 * (x * half_x + y * half_y) / far_squared)
    argument = math.atan2(imaginary, real)
    # theta_E^2 / L * exp(-i phi) = theta_E^2 * conj(h) / (2 |h|^2)
    scale = 0.5 * theta_e * theta_e / half_squared
    return (
        scale * (half_x * log_modulus + half_y * argument),
        scale * (half_y * log_modulus - half_x * argument),
    )
