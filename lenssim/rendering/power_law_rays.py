"""Deflection of an elliptical power law over many positions, in vector registers.

The same formulae as `lenssim.profiles.elliptical_power_law`, one loop a step, with the logarithm
and the exponential function written out: the compiler has no vector form of either.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined, kernel
from lenssim.rendering.elementary import exponential, logarithm

SCRATCH_ROWS = 6
"""Rows of scratch space that `power_law_deflections` needs."""


@inlined
def elliptical_polar(x, y, axis_ratio, cos_phi, sin_phi):
    """Polar coordinates of a position on the ellipses of a power law.

    Args:
        x, y: position, arcsec.
        axis_ratio, cos_phi, sin_phi: see `elliptical_power_law`.

    Returns:
        Cosine and sine of the elliptical angle, squared radius (major axis times the axis ratio),
        arcsec^2, and one over the radius.
    """
    major = axis_ratio * (cos_phi * x + sin_phi * y)
    minor = cos_phi * y - sin_phi * x
    squared = max(major * major + minor * minor, 1e-300)
    per_radius = 1.0 / math.sqrt(squared)
    return major * per_radius, minor * per_radius, squared, per_radius


@kernel
def power_law_deflections(
    x, y, theta_e, slope, axis_ratio, cos_phi, sin_phi, series, scratch, alpha_x, alpha_y
):
    """Deflections of an elliptical power law at the origin.

    Args:
        x, y: positions, arcsec, shape (n,).
        theta_e, slope, axis_ratio, cos_phi, sin_phi, series: see `elliptical_power_law`.
        scratch: scratch space, shape (`SCRATCH_ROWS`, n or more).
        alpha_x, alpha_y: receive the deflections, arcsec, shape (n,).
    """
    count = x.shape[0]
    # slices of whole rows, which the compiler knows to be contiguous
    cosine, sine, twice_cosine = scratch[0][:count], scratch[1][:count], scratch[2][:count]
    value, last = scratch[3][:count], scratch[4][:count]
    power = scratch[5][:count]
    b = math.sqrt(axis_ratio) * theta_e
    for i in range(count):
        cosine[i], sine[i], squared, _ = elliptical_polar(x[i], y[i], axis_ratio, cos_phi, sin_phi)
        twice_cosine[i] = 2.0 * (cosine[i] * cosine[i] - sine[i] * sine[i])
        power[i] = squared / (b * b)
        value[i] = 0.0
        last[i] = 0.0
    sum_series(series, twice_cosine, value, last)
    factor = 2.0 * b / (1.0 + axis_ratio)
    if slope == 2.0:
        for i in range(count):
            power[i] = factor
    else:
        logarithm(power, power.view(np.int64))
        for i in range(count):
            power[i] *= -0.5 * (slope - 2.0)
        exponential(power, alpha_x.view(np.int64))
        for i in range(count):
            power[i] *= factor
    for i in range(count):
        # sum_n c_n exp(2 i n phi) = value - last exp(-2 i phi)
        real = value[i] - 0.5 * last[i] * twice_cosine[i]
        imaginary = 2.0 * last[i] * sine[i] * cosine[i]
        alpha_major = power[i] * (cosine[i] * real - sine[i] * imaginary)
        alpha_minor = power[i] * (cosine[i] * imaginary + sine[i] * real)
        alpha_x[i] = cos_phi * alpha_major - sin_phi * alpha_minor
        alpha_y[i] = sin_phi * alpha_major + cos_phi * alpha_minor


@kernel
def sum_series(series, twice_cosine, value, last):
    """Clenshaw's recurrence for sum_n c_n exp(2 i n phi) = value - last exp(-2 i phi).

    Two terms at a time.

    Args:
        series: the coefficients c_n, shape (terms,).
        twice_cosine: 2 cos(2 phi), shape (n,).
        value, last: zeros, which become the two last terms of the recurrence, shape (n,).
    """
    terms = series.shape[0]
    if terms % 2 == 1:
        for i in range(value.shape[0]):
            value[i] = series[terms - 1]
        terms -= 1
    for n in range(terms - 1, 0, -2):
        upper = series[n]
        lower = series[n - 1]
        for i in range(value.shape[0]):
            previous = value[i]
            last[i] = upper + twice_cosine[i] * previous - last[i]
            value[i] = lower + twice_cosine[i] * last[i] - previous
