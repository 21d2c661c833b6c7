"""Derivatives of the lensed surface brightness by the parameters of the smooth model, ray by ray.

The brightness at theta is S(theta - alpha(theta)): its derivative by a parameter of the source is
that of S, and by a parameter p of the lens it is -grad S . d alpha / d p. All share the rays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from lenssim.compilation import kernel
from lenssim.lens_fit.parameters import ALL_NAMES, PARAMETER_NAMES
from lenssim.lens_fit.power_law_derivatives import (
    RESULTS,
    SCRATCH_ROWS,
    deflection_derivatives,
)
from lenssim.lens_fit.ray_selection import DIVIDED
from lenssim.lens_fit.subcell_interpolation import NODES, add_interpolated
from lenssim.profiles.multipole import multipole, multipole_hessian
from lenssim.rendering.elementary import exponential, logarithm
from lenssim.rendering.picture_source import picture_derivatives
from lenssim.rendering.ray_tracing import BLOCK, RayTracer
from lenssim.rendering.source import MINIMUM_RADIUS

B_PER_N = 1.9992
"""Derivative of `source.sersic_b` by the Sersic index."""

(
    _THETA_E, _LENS_E1, _LENS_E2, _GAMMA1, _GAMMA2, _LENS_X, _LENS_Y, _SLOPE,
    _SOURCE_X, _SOURCE_Y, _MAGNITUDE, _R_SERSIC, _N_SERSIC, _SOURCE_E1, _SOURCE_E2,
) = range(len(PARAMETER_NAMES))  # fmt: skip
_FIRST_MULTIPOLE, _END = len(PARAMETER_NAMES), len(ALL_NAMES)


class SmoothModel(NamedTuple):
    """The numbers of a smooth lens and its source beside its power law.

    A tuple of numbers alone: the compiler counts references of arrays at every use.
    """

    theta_e: float
    slope: float
    gamma1: float
    gamma2: float
    lens_x: float
    lens_y: float
    m3_cos: float
    m3_sin: float
    m4_cos: float
    m4_sin: float
    source_x: float
    source_y: float
    source_e1: float
    source_e2: float
    amplitude: float
    r_sersic: float
    n_sersic: float
    b: float
    amplitude_slope: float


def smooth_model(tracer: RayTracer) -> SmoothModel:
    """The `SmoothModel` of a `RayTracer`, whose substructure is left out."""
    values = tracer._asdict()
    values["amplitude_slope"] = _amplitude_slope(tracer.n_sersic, tracer.b)
    return SmoothModel(**{name: values[name] for name in SmoothModel._fields})


def _amplitude_slope(n_sersic: float, b: float) -> float:
    """Derivative by the Sersic index of the log of `source.sersic_amplitude` at a given flux."""
    return float(
        2.0 * math.log(b)
        + 2.0 * n_sersic * B_PER_N / b
        - 1.0 / n_sersic
        - B_PER_N
        - 2.0 * digamma(2.0 * n_sersic)
    )


@kernel
def add_derivatives(x, y, area, target, model, lens, picture, grid, maps):
    """Adds the derivatives at rays to sub-cells.

    Args:
        x, y, area, target: from `select_rays`.
        model: a `SmoothModel`.
        lens: the `PowerLaw` of the same.
        picture: the `PictureSource` of the same. Where there is one, the row of source_r_sersic
            receives the derivative by the log of its size, that of source_e1 the one by its angle,
            and those of the Sersic index and of source_e2 are zero.
        grid: the `SubcellGrid` of the maps.
        maps: e-/s a unit of each of `parameters.PARAMETERS`, of each sub-cell, shape (15, m), or
            of each of `parameters.ALL_NAMES`, shape (19, m); changed. The row of the magnitude
            receives the flux itself.
    """
    scratch = np.empty((SCRATCH_ROWS, BLOCK))
    relative = np.empty((2, BLOCK))
    deflections = np.empty((RESULTS, BLOCK))
    derivatives = np.empty((maps.shape[0], BLOCK))
    # apart, because a ray off the centres adds to all parameters of a few sub-cells
    divided = np.zeros((maps.shape[1], maps.shape[0]))
    for start in range(0, x.shape[0], BLOCK):
        end = min(start + BLOCK, x.shape[0])
        n = end - start
        theta_x, theta_y = x[start:end], y[start:end]
        dx, dy = relative[0][:n], relative[1][:n]
        for i in range(n):
            dx[i] = theta_x[i] - model.lens_x
            dy[i] = theta_y[i] - model.lens_y
        deflection_derivatives(dx, dy, lens, scratch, deflections)
        _scale_theta_e(model, deflections, n, scratch)
        if model.m3_cos != 0.0 or model.m3_sin != 0.0:
            _add_multipole(
                dx, dy, 3, model.m3_cos, model.m3_sin, model.theta_e, deflections, scratch
            )
        if model.m4_cos != 0.0 or model.m4_sin != 0.0:
            _add_multipole(
                dx, dy, 4, model.m4_cos, model.m4_sin, model.theta_e, deflections, scratch
            )
        # positions relative to the source, in place of those relative to the lens
        for i in range(n):
            dx[i] = theta_x[i] - deflections[0, i] - model.source_x
            dy[i] = theta_y[i] - deflections[1, i] - model.source_y
        for i in range(n):
            dx[i] -= model.gamma1 * theta_x[i] + model.gamma2 * theta_y[i]
            dy[i] -= model.gamma2 * theta_x[i] - model.gamma1 * theta_y[i]
        if picture.coefficients.shape[0] > 0:
            _picture_derivatives(dx, dy, picture, scratch, derivatives)
        else:
            _source_derivatives(dx, dy, model, scratch, derivatives)
        _lens_derivatives(theta_x, theta_y, deflections, scratch, derivatives)
        if maps.shape[0] == _END:
            _multipole_derivatives(theta_x, theta_y, model, derivatives)
        _add_to_subcells(
            theta_x, theta_y, area[start:end], target[start:end], derivatives, grid, maps, divided
        )
    for row in range(maps.shape[0]):
        light = maps[row]
        for i in range(divided.shape[0]):
            light[i] += divided[i, row]


@kernel
def _add_to_subcells(x, y, area, target, derivatives, grid, maps, divided):
    """Adds the derivatives at rays to the sub-cells that they lie in, or between.

    Args:
        x, y, area, target, grid, maps: as in `add_derivatives`.
        derivatives: one row for each of the maps, shape (p, n or more).
        divided: what rays off the centres of sub-cells add, shape (m, p), changed.
    """
    for row in range(maps.shape[0]):
        light = maps[row]
        values = derivatives[row]
        for i in range(x.shape[0]):
            if target[i] != DIVIDED:
                light[target[i]] += area[i] * values[i]
    found = np.empty(maps.shape[0])
    weights = np.empty((2, NODES))
    for i in range(x.shape[0]):
        if target[i] == DIVIDED:
            for row in range(found.shape[0]):
                found[row] = area[i] * derivatives[row, i]
            add_interpolated(x[i], y[i], found, grid, weights, divided)


@kernel
def _scale_theta_e(model, deflections, n, scratch):
    """Derivative of the power law's deflection by theta_E, into the first two rows of `scratch`."""
    factor = (model.slope - 1.0) / model.theta_e
    for k in range(2):
        alpha, by_theta_e = deflections[k][:n], scratch[k][:n]
        for i in range(n):
            by_theta_e[i] = factor * alpha[i]


@kernel
def _add_multipole(x, y, order, component_cos, component_sin, theta_e, deflections, scratch):
    """Adds a multipole, whose amplitude is in units of theta_E, to what the power law gave."""
    for i in range(x.shape[0]):
        alpha_x, alpha_y = multipole(x[i], y[i], order, component_cos, component_sin)
        f_xx, f_xy, f_yy = multipole_hessian(x[i], y[i], order, component_cos, component_sin)
        deflections[0, i] += alpha_x
        deflections[1, i] += alpha_y
        deflections[8, i] += f_xx
        deflections[9, i] += f_xy
        deflections[10, i] += f_yy
        scratch[0, i] += alpha_x / theta_e
        scratch[1, i] += alpha_y / theta_e


@kernel
def _source_derivatives(x, y, model, scratch, derivatives):
    """Brightness of the source in the row of the magnitude, and its derivatives in theirs.

    Args:
        x, y: source-plane positions relative to the centre of the source, arcsec, shape (n,).
        model: a `SmoothModel`.
        scratch: rows 2 to 6 are changed.
        derivatives: unit of the amplitude a unit of the parameter, shape (15, n or more).
    """
    n = x.shape[0]
    u, v, squared = scratch[2][:n], scratch[3][:n], scratch[4][:n]
    log_squared, reduced = scratch[5][:n], scratch[6][:n]
    e1, e2 = model.source_e1, model.source_e2
    per_area = 1.0 / (1.0 - e1 * e1 - e2 * e2)
    per_r_squared = 1.0 / (model.r_sersic * model.r_sersic)
    least = MINIMUM_RADIUS * MINIMUM_RADIUS * per_r_squared
    for i in range(n):
        u[i] = (1.0 - e1) * x[i] - e2 * y[i]
        v[i] = (1.0 + e1) * y[i] - e2 * x[i]
    for i in range(n):
        squared[i] = max((u[i] * u[i] + v[i] * v[i]) * per_area * per_r_squared, least)
        log_squared[i] = squared[i]
    brightness = derivatives[_MAGNITUDE][:n]
    logarithm(log_squared, log_squared.view(np.int64))
    half_per_n = 0.5 / model.n_sersic
    for i in range(n):
        reduced[i] = half_per_n * log_squared[i]
    exponential(reduced, brightness.view(np.int64))
    # reduced is (r / R)^(1 / n) from here on
    for i in range(n):
        brightness[i] = model.b * (1.0 - reduced[i])
    by_r, by_n = derivatives[_R_SERSIC][:n], derivatives[_N_SERSIC][:n]
    exponential(brightness, by_r.view(np.int64))
    steep = model.b / model.n_sersic
    for i in range(n):
        brightness[i] *= model.amplitude
    for i in range(n):
        by_r[i] = brightness[i] * (steep * reduced[i] - 2.0) / model.r_sersic
    for i in range(n):
        by_n[i] = brightness[i] * (
            model.amplitude_slope
            + reduced[i] * (steep * half_per_n * log_squared[i] - B_PER_N)
            + B_PER_N
        )
    # the derivative by (r / R)^2, twice, in units that turn u and v into lengths; none in the core
    factor = -steep * per_area * per_r_squared
    by_squared = reduced
    for i in range(n):
        slope = factor * brightness[i] * reduced[i] / squared[i]
        by_squared[i] = slope if squared[i] > least else 0.0
    by_x, by_y = derivatives[_SOURCE_X][:n], derivatives[_SOURCE_Y][:n]
    for i in range(n):
        by_x[i] = -by_squared[i] * ((1.0 - e1) * u[i] - e2 * v[i])
        by_y[i] = -by_squared[i] * ((1.0 + e1) * v[i] - e2 * u[i])
    by_e1, by_e2 = derivatives[_SOURCE_E1][:n], derivatives[_SOURCE_E2][:n]
    r_squared = 1.0 / per_r_squared
    for i in range(n):
        by_e1[i] = by_squared[i] * (v[i] * y[i] - u[i] * x[i] + e1 * r_squared * squared[i])
    for i in range(n):
        by_e2[i] = by_squared[i] * (e2 * r_squared * squared[i] - u[i] * y[i] - v[i] * x[i])


@kernel
def _picture_derivatives(x, y, picture, scratch, derivatives):
    """Brightness of a picture in the row of the magnitude, and its derivatives in theirs.

    A picture of size r is f(x / r) / r^2, and its derivative is by the log of r.

    Args:
        x, y: source-plane positions relative to the centre of the source, arcsec, shape (n,).
        picture: a `PictureSource`.
        scratch: rows 2 and 3 are changed.
        derivatives: as of `_source_derivatives`; see `add_derivatives` for what the rows hold.
    """
    n = x.shape[0]
    s_x, s_y = scratch[2][:n], scratch[3][:n]
    brightness = derivatives[_MAGNITUDE][:n]
    picture_derivatives(x, y, picture, brightness, s_x, s_y)
    by_x, by_y = derivatives[_SOURCE_X][:n], derivatives[_SOURCE_Y][:n]
    by_r, by_angle = derivatives[_R_SERSIC][:n], derivatives[_SOURCE_E1][:n]
    by_n, by_e2 = derivatives[_N_SERSIC][:n], derivatives[_SOURCE_E2][:n]
    for i in range(n):
        by_x[i] = -s_x[i]
        by_y[i] = -s_y[i]
        by_r[i] = -(2.0 * brightness[i] + x[i] * s_x[i] + y[i] * s_y[i])
        by_angle[i] = y[i] * s_x[i] - x[i] * s_y[i]
        by_n[i] = 0.0
        by_e2[i] = 0.0


@kernel
def _lens_derivatives(theta_x, theta_y, deflections, scratch, derivatives):
    """Derivatives by the parameters of the lens, from those by the position of the source.

    Args:
        theta_x, theta_y: image-plane positions, arcsec, shape (n,).
        deflections: of `deflection_derivatives`, multipoles added.
        scratch: the first two rows hold the derivative of the deflection by theta_E.
        derivatives: shape (15, n or more), changed.
    """
    n = theta_x.shape[0]
    # moving the source is moving all rays the other way: d I / d source = -grad S
    s_x, s_y = derivatives[_SOURCE_X][:n], derivatives[_SOURCE_Y][:n]
    for k in range(4):
        row = (_THETA_E, _LENS_E1, _LENS_E2, _SLOPE)[k]
        result = derivatives[row][:n]
        if k == 0:
            d_x, d_y = scratch[0][:n], scratch[1][:n]
        else:
            d_x, d_y = deflections[2 * k][:n], deflections[2 * k + 1][:n]
        for i in range(n):
            result[i] = s_x[i] * d_x[i] + s_y[i] * d_y[i]
    by_gamma1, by_gamma2 = derivatives[_GAMMA1][:n], derivatives[_GAMMA2][:n]
    for i in range(n):
        by_gamma1[i] = s_x[i] * theta_x[i] - s_y[i] * theta_y[i]
        by_gamma2[i] = s_x[i] * theta_y[i] + s_y[i] * theta_x[i]
    f_xx, f_xy, f_yy = deflections[8][:n], deflections[9][:n], deflections[10][:n]
    by_x, by_y = derivatives[_LENS_X][:n], derivatives[_LENS_Y][:n]
    for i in range(n):
        by_x[i] = -(s_x[i] * f_xx[i] + s_y[i] * f_xy[i])
    for i in range(n):
        by_y[i] = -(s_x[i] * f_xy[i] + s_y[i] * f_yy[i])


@kernel
def _multipole_derivatives(theta_x, theta_y, model, derivatives):
    """Derivatives by the components of the multipoles, from those by the position of the source.

    Args:
        theta_x, theta_y: image-plane positions, arcsec, shape (n,).
        model: a `SmoothModel`.
        derivatives: shape (19, n or more), changed.
    """
    n = theta_x.shape[0]
    s_x, s_y = derivatives[_SOURCE_X][:n], derivatives[_SOURCE_Y][:n]
    for k in range(4):
        result = derivatives[_FIRST_MULTIPOLE + k][:n]
        order = 3 + k // 2
        along_cos = model.theta_e if k % 2 == 0 else 0.0
        along_sin = model.theta_e - along_cos
        for i in range(n):
            x, y = theta_x[i] - model.lens_x, theta_y[i] - model.lens_y
            alpha_x, alpha_y = multipole(x, y, order, along_cos, along_sin)
            result[i] = s_x[i] * alpha_x + s_y[i] * alpha_y
