"""Derivatives of the deflection of an elliptical power law, over many positions.

The deflection of `lenssim.profiles.elliptical_power_law`, in its complex notation

    alpha = exp(i phi_L) 2 b / (1 + q) (b / R)^(t - 1) exp(i phi) sum_n c_n exp(2 i n phi),

differentiated term by term. With f = (1 - q) / (1 + q), the modulus of the ellipticity,
c_n = f^n g_n(t), so that d c_n / d f = n c_n / f and d c_n / d t = c_n d ln g_n / d t. The axis
ratio also enters through the elliptical coordinates, where the chain rule leads to the Hessian; a
turn of the lens by phi_L turns the deflection and its argument.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import kernel
from lenssim.profiles.elliptical_power_law import angular_series
from lenssim.profiles.ellipticity import axis_ratio_and_angle
from lenssim.rendering.elementary import exponential, logarithm
from lenssim.rendering.power_law_rays import elliptical_polar, sum_series

FloatArray = NDArray[np.float64]

SERIES_ACCURACY = 1e-7
"""Size of the terms of the angular series that are left out."""

ROUNDEST = 1e-5
"""Least modulus of the ellipticity: that of a round lens has no direction."""

SCRATCH_ROWS = 8
"""Rows of scratch space that `deflection_derivatives` needs."""

RESULTS = 11
"""Rows that `deflection_derivatives` fills."""


class PowerLaw(NamedTuple):
    """An elliptical power law in the form that the kernels take.

    `series` has the coefficients c_n, d c_n / d f and d c_n / d t, shape (3, terms).
    """

    theta_e: float
    slope: float
    axis_ratio: float
    cos_phi: float
    sin_phi: float
    series: FloatArray


def power_law(theta_e: float, slope: float, e1: float, e2: float) -> PowerLaw:
    """The `PowerLaw` of its parameters; an ellipticity below `ROUNDEST` is taken to be that.

    Args:
        theta_e: circularised Einstein radius, arcsec.
        slope: of the three-dimensional density; 2 is isothermal.
        e1, e2: ellipticity components.
    """
    if math.hypot(e1, e2) < ROUNDEST:
        e1, e2 = ROUNDEST, 0.0
    axis_ratio, phi = map(float, axis_ratio_and_angle(e1, e2))
    coefficients = angular_series(axis_ratio, slope)
    terms = max(int(np.count_nonzero(np.abs(coefficients) > SERIES_ACCURACY)), 3)
    coefficients = coefficients[:terms]
    order = np.arange(len(coefficients))
    t = slope - 1.0
    by_t = np.cumsum(
        np.where(order > 0, 1.0 / (2 * order - 2 + t) + 1.0 / (2 * order + 2 - t), 0.0)
    )
    series = np.stack(
        [coefficients, order * coefficients / math.hypot(e1, e2), coefficients * by_t]
    )
    return PowerLaw(theta_e, slope, axis_ratio, math.cos(phi), math.sin(phi), series)


@kernel
def deflection_derivatives(x, y, lens, scratch, results):
    """Deflection of an elliptical power law at the origin, and its derivatives.

    Args:
        x, y: positions, arcsec, shape (n,).
        lens: a `PowerLaw`.
        scratch: scratch space, shape (`SCRATCH_ROWS`, n or more).
        results: receives, in rows of pairs (x, y), the deflection and its derivatives by e1, e2
            and the slope, then the Hessian f_xx, f_xy, f_yy; shape (`RESULTS`, n or more).
    """
    n = x.shape[0]
    cosine, sine, twice = scratch[0][:n], scratch[1][:n], scratch[2][:n]
    value, last, logs = scratch[3][:n], scratch[4][:n], scratch[5][:n]
    scale, kappa = scratch[6][:n], scratch[7][:n]
    q, t = lens.axis_ratio, lens.slope - 1.0
    cos_phi, sin_phi = lens.cos_phi, lens.sin_phi
    b = math.sqrt(q) * lens.theta_e
    for i in range(n):
        cosine[i], sine[i], squared, per_radius = elliptical_polar(x[i], y[i], q, cos_phi, sin_phi)
        twice[i] = 2.0 * (cosine[i] * cosine[i] - sine[i] * sine[i])
        logs[i] = b * b / squared
        kappa[i] = 0.5 * (2.0 - t) * b * per_radius
    logarithm(logs, logs.view(np.int64))
    for i in range(n):
        logs[i] *= 0.5
        scale[i] = (t - 1.0) * logs[i]
    exponential(scale, value.view(np.int64))
    for i in range(n):
        kappa[i] *= scale[i]
        scale[i] *= 2.0 * b / (1.0 + q)
    # the sums of c_n, d c_n / d f and d c_n / d t, turned to the sky
    for k in range(3):
        value[:] = 0.0
        last[:] = 0.0
        sum_series(lens.series[k], twice, value, last)
        row = (0, 2, 6)[k]
        along_x, along_y = results[row][:n], results[row + 1][:n]
        for i in range(n):
            real = value[i] - 0.5 * last[i] * twice[i]
            imaginary = 2.0 * last[i] * sine[i] * cosine[i]
            major = scale[i] * (cosine[i] * real - sine[i] * imaginary)
            minor = scale[i] * (cosine[i] * imaginary + sine[i] * real)
            along_x[i] = cos_phi * major - sin_phi * minor
            along_y[i] = sin_phi * major + cos_phi * minor
    _apply_chain_rule(x, y, lens, logs, kappa, results)


@kernel
def _apply_chain_rule(x, y, lens, logs, kappa, results):
    """Adds to the sums of the series what the factors before them and the coordinates contribute.

    Args:
        x, y, lens, results: as in `deflection_derivatives`.
        logs: ln(b / R), shape (n,).
        kappa: convergence, shape (n,).
    """
    q, t = lens.axis_ratio, lens.slope - 1.0
    cos_phi, sin_phi = lens.cos_phi, lens.sin_phi
    e = (1.0 - q) / (1.0 + q)
    # cosine and sine of 2 phi_L
    cos_2, sin_2 = cos_phi * cos_phi - sin_phi * sin_phi, 2.0 * cos_phi * sin_phi
    by_q = t / (2.0 * q) - 1.0 / (1.0 + q)
    q_by_e = -0.5 * (1.0 + q) * (1.0 + q)
    for i in range(x.shape[0]):
        alpha_x, alpha_y = results[0, i], results[1, i]
        # the Hessian of `elliptical_power_law_hessian`
        per_squared = 1.0 / max(x[i] * x[i] + y[i] * y[i], 1e-300)
        shear_1 = (1.0 - t) * (alpha_x * x[i] - alpha_y * y[i])
        shear_1 = (shear_1 - kappa[i] * (x[i] * x[i] - y[i] * y[i])) * per_squared
        shear_2 = (1.0 - t) * (alpha_y * x[i] + alpha_x * y[i])
        shear_2 = (shear_2 - kappa[i] * 2.0 * x[i] * y[i]) * per_squared
        f_xx, f_xy, f_yy = kappa[i] + shear_1, shear_2, kappa[i] - shear_1
        along = (cos_phi * x[i] + sin_phi * y[i]) / q
        e_x = by_q * alpha_x + along * (f_xx * cos_phi + f_xy * sin_phi)
        e_y = by_q * alpha_y + along * (f_xy * cos_phi + f_yy * sin_phi)
        e_x = results[2, i] + q_by_e * e_x
        e_y = results[3, i] + q_by_e * e_y
        turn_x = (-alpha_y + f_xx * y[i] - f_xy * x[i]) * 0.5 / e
        turn_y = (alpha_x + f_xy * y[i] - f_yy * x[i]) * 0.5 / e
        results[2, i] = cos_2 * e_x - sin_2 * turn_x
        results[3, i] = cos_2 * e_y - sin_2 * turn_y
        results[4, i] = sin_2 * e_x + cos_2 * turn_x
        results[5, i] = sin_2 * e_y + cos_2 * turn_y
        results[6, i] += alpha_x * logs[i]
        results[7, i] += alpha_y * logs[i]
        results[8, i] = f_xx
        results[9, i] = f_xy
        results[10, i] = f_yy
