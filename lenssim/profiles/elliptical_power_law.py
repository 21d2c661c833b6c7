"""Elliptical power law: Tessore & Metcalf 2015 (A&A 580 A79, arXiv 1507.01819).

The convergence is that of lenstronomy's EPL,

    kappa = (3 - slope) / 2 (theta_E / sqrt(q x^2 + y^2 / q))^(slope - 1),

with x along the major axis. Its mean inside the ellipse q x^2 + y^2 / q = theta_E^2, whose area is
pi theta_E^2, is one: theta_E is the circularised Einstein radius. In the symbols of the paper,
b = sqrt(q) theta_E and t = slope - 1; slope 2 is the singular isothermal ellipsoid. Tested for
slopes of 1.5 to 2.5 and axis ratios of 0.2 to 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined

TINY_RADIUS = 1e-150
"""Radius in arcsec that stands in for zero, without a branch that would stop vectorisation."""

TRUNCATION = 1e-13
"""Relative size of the angular series' remainder."""


def angular_series(axis_ratio: float, slope: float) -> NDArray[np.float64]:
    """Coefficients of the deflection's series in exp(2 i phi), phi the elliptical angle.

    The recurrence of eq. 25: c_0 = 1, c_n = -f (2n - 2 + t) / (2n + 2 - t) c_(n-1), with
    f = (1 - q) / (1 + q). The series is cut where the geometric bound on its remainder falls
    below `TRUNCATION`: one term for q = 1, 14 for q = 0.8, 76 for q = 0.2.

    Args:
        axis_ratio: minor over major axis, in (0, 1].
        slope: of the three-dimensional density, in (1, 3).

    Returns:
        Dimensionless coefficients, shape (terms,).
    """
    flattening = (1.0 - axis_ratio) / (1.0 + axis_ratio)
    terms = 1
    if flattening > 0.0:
        terms += math.ceil(math.log(TRUNCATION * (1.0 - flattening)) / math.log(flattening))
    order = np.arange(1, terms)
    factors = -flattening * (2 * order - 3 + slope) / (2 * order + 3 - slope)
    return np.concatenate([[1.0], np.cumprod(factors)])


@inlined
def elliptical_power_law(x, y, theta_e, slope, axis_ratio, cos_phi, sin_phi, series):
    """Deflection of an elliptical power law at the origin.

    Eq. 22 and 23 of the paper; the angular series is summed by Clenshaw's recurrence.

    Args:
        x, y: position, arcsec.
        theta_e: circularised Einstein radius, arcsec.
        slope: of the three-dimensional density; 2 is isothermal.
        axis_ratio: minor over major axis, in (0, 1].
        cos_phi, sin_phi: direction of the major axis.
        series: `angular_series(axis_ratio, slope)`.

    Returns:
        (alpha_x, alpha_y) in arcsec; zero at the origin, where a slope above 2 has no value.
    """
    major = axis_ratio * (cos_phi * x + sin_phi * y)
    minor = cos_phi * y - sin_phi * x
    radius = max(math.sqrt(major * major + minor * minor), TINY_RADIUS)
    cosine = major / radius
    sine = minor / radius
    cosine_2 = cosine * cosine - sine * sine
    sine_2 = 2.0 * sine * cosine
    last = 0.0
    value = 0.0
    for n in range(series.shape[0] - 1, -1, -1):
        previous = last
        last = value
        value = series[n] + 2.0 * cosine_2 * last - previous
    # sum_n c_n exp(2 i n phi) = value - last exp(-2 i phi)
    real = value - last * cosine_2
    imaginary = last * sine_2
    b = math.sqrt(axis_ratio) * theta_e
    scale = 2.0 * b / (1.0 + axis_ratio) * (b / radius) ** (slope - 2.0)
    alpha_major = scale * (cosine * real - sine * imaginary)
    alpha_minor = scale * (cosine * imaginary + sine * real)
    return (
        cos_phi * alpha_major - sin_phi * alpha_minor,
        sin_phi * alpha_major + cos_phi * alpha_minor,
    )


@inlined
def elliptical_power_law_hessian(x, y, theta_e, slope, axis_ratio, cos_phi, sin_phi, series):
    """Derivatives of the deflection of an elliptical power law at the origin.

    Convergence by eq. 2 of the paper, shear by eq. 17 as corrected on arXiv:
    gamma = (1 - t) exp(i phi) alpha / r - kappa exp(2 i phi), phi the position angle.

    Args: those of `elliptical_power_law`; the position must not be the origin.

    Returns:
        (f_xx, f_xy, f_yy), dimensionless: f_xx is d alpha_x / dx.
    """
    alpha_x, alpha_y = elliptical_power_law(
        x, y, theta_e, slope, axis_ratio, cos_phi, sin_phi, series
    )
    major = axis_ratio * (cos_phi * x + sin_phi * y)
    minor = cos_phi * y - sin_phi * x
    elliptical_squared = major * major + minor * minor
    b_squared = axis_ratio * theta_e * theta_e
    kappa = 0.5 * (3.0 - slope) * (b_squared / elliptical_squared) ** (0.5 * (slope - 1.0))
    squared = x * x + y * y
    shear_1 = ((2.0 - slope) * (alpha_x * x - alpha_y * y) - kappa * (x * x - y * y)) / squared
    shear_2 = ((2.0 - slope) * (alpha_y * x + alpha_x * y) - kappa * 2.0 * x * y) / squared
    return kappa + shear_1, shear_2, kappa - shear_1
