"""Where the rays of a derivative image are traced.

One ray lies at the centre of each sub-cell that can be seen. Sub-cells near the centre of the
source are divided into squares that shrink with the distance from it, as the gradient of a cusp
grows towards it, each with a ray of its own.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined, kernel
from lenssim.rendering.ray_tracing import lens_field, surface_brightness
from lenssim.rendering.source import (
    MINIMUM_RADIUS,
    sersic_exponent,
    squared_elliptical_length,
)

CUSP_DISTANCE, INNER_DISTANCE, INNER_LEVEL = 4.0, 2.5, 3
"""Distance from the source's centre, in sizes of a ray's square in the source plane, within which
the square is divided: of sub-cells and large squares, and of those halved more often, which hold
less light."""

FINEST = 0.1
"""Size of a square in the source plane, in units of the radius at which the source's brightness has
fallen by a factor e, below which it is not divided."""

MAX_LEVEL = 8
"""Halvings of a sub-cell, at most."""

DIVIDED = -1
"""Target of a ray that lies in a divided sub-cell, off its centre."""


@inlined
def _length(x, y, e1, e2):
    """Norm of a vector in the source plane, as `elliptical_radius` without its least value."""
    return math.sqrt(squared_elliptical_length(x, y, e1, e2))


@kernel
def select_rays(tracer, side, pixel_scale, cells, faintest, coarseness):
    """Positions at which the smooth model is sampled, by sub-cells of pixels.

    Args:
        tracer: a `RayTracer` without substructure.
        side: pixels on a side, with the border that the PSF needs.
        pixel_scale: arcsec.
        cells: sub-cells along each side of a pixel.
        faintest: flux of a pixel, e-/s, below which it counts as dark.
        coarseness: factor by which squares near the source's centre may be larger than in an
            accurate derivative, at least 1.

    Returns:
        x, y: positions, arcsec, shape (n,).
        area: that each stands for, arcsec^2, shape (n,).
        target: flat index of the sub-cell that a ray is at the centre of, of an array of shape
            (cells, cells, side, side) with axes (sub-row, sub-column, row, column), or `DIVIDED`;
            shape (n,).
    """
    field = lens_field(tracer, side, pixel_scale, 1)
    beta_x, beta_y = _centres(tracer, field, side + 2, pixel_scale)
    step = pixel_scale / cells
    # read once: each use of the tracer counts the references of its arrays
    e1, e2 = tracer.source_e1, tracer.source_e2
    source_x, source_y = tracer.source_x, tracer.source_y
    amplitude, b = tracer.amplitude, tracer.b
    r_sersic, n_sersic = tracer.r_sersic, tracer.n_sersic
    finest = coarseness * FINEST * max(MINIMUM_RADIUS, r_sersic / b**n_sersic)
    is_dark = tracer.light_amplitude == 0.0
    rays = np.empty((3, cells * cells * side * side))
    target = np.empty(rays.shape[1], dtype=np.int64)
    count = 0
    for row in range(side):
        for column in range(side):
            x, y = beta_x[row + 1, column + 1], beta_y[row + 1, column + 1]
            extent = _extent(beta_x, beta_y, row + 1, column + 1, e1, e2)
            distance = _length(x - source_x, y - source_y, e1, e2)
            nearest = max(distance - 0.5 * extent, 0.0)
            brightest = amplitude * math.exp(
                sersic_exponent(max(nearest, 0.1 * distance), r_sersic, n_sersic, b)
            )
            if is_dark and (brightest * pixel_scale * pixel_scale < faintest):
                continue
            extent /= cells
            limit = extent * CUSP_DISTANCE / coarseness
            if extent <= finest or distance - 0.5 * extent * cells > limit:
                end = count + cells * cells
                rays, target = _with_room(rays, target, end)
                _sub_cells(row, column, side, pixel_scale, cells, rays[:2, count:end])
                rays[2, count:end] = step * step
                for cell in range(cells * cells):
                    target[count + cell] = (cell * side + row) * side + column
                count = end
                continue
            squares = np.empty((2, cells * cells))
            _sub_cells(row, column, side, pixel_scale, cells, squares)
            size, level = step, 0
            while squares.shape[1] > 0:
                divided = np.zeros(squares.shape[1], dtype=np.bool_)
                limit = extent * (CUSP_DISTANCE if level < INNER_LEVEL else INNER_DISTANCE)
                if extent > finest and level < MAX_LEVEL:
                    _mark_divided(squares, tracer, field, limit / coarseness, divided)
                rays, target = _with_room(rays, target, count + squares.shape[1])
                for k in range(squares.shape[1]):
                    if divided[k]:
                        continue
                    rays[0, count] = squares[0, k]
                    rays[1, count] = squares[1, k]
                    rays[2, count] = size * size
                    target[count] = DIVIDED if level > 0 else (k * side + row) * side + column
                    count += 1
                squares = _quarters(squares, divided, size)
                size *= 0.5
                extent *= 0.5
                level += 1
    return rays[0, :count], rays[1, :count], rays[2, :count], target[:count]


@inlined
def _extent(beta_x, beta_y, i, j, e1, e2):
    """Size of a pixel in the source plane, along x and y together, from its neighbours, arcsec."""
    x, y = beta_x[i, j], beta_y[i, j]
    along_x = max(
        _length(beta_x[i, j + 1] - x, beta_y[i, j + 1] - y, e1, e2),
        _length(beta_x[i, j - 1] - x, beta_y[i, j - 1] - y, e1, e2),
    )
    along_y = max(
        _length(beta_x[i + 1, j] - x, beta_y[i + 1, j] - y, e1, e2),
        _length(beta_x[i - 1, j] - x, beta_y[i - 1, j] - y, e1, e2),
    )
    return along_x + along_y


@kernel
def _mark_divided(squares, tracer, field, limit, divided):
    """Marks squares that are nearer to the source's centre than a limit in arcsec.

    Args:
        squares: centres in the image plane, arcsec, shape (2, n).
        tracer, field: as in `select_rays`.
        limit: arcsec.
        divided: shape (n,), changed.
    """
    n = squares.shape[1]
    buffers = np.empty((3, n))
    surface_brightness(squares[0], squares[1], tracer, field, buffers[0], buffers[1], buffers[2])
    e1, e2 = tracer.source_e1, tracer.source_e2
    source_x, source_y = tracer.source_x, tracer.source_y
    for k in range(n):
        x, y = buffers[0, k] - source_x, buffers[1, k] - source_y
        divided[k] = _length(x, y, e1, e2) <= limit


@kernel
def _quarters(squares, divided, size):
    """Centres of the quarters of the divided squares of a size, shape (2, 4 m)."""
    quarters = np.empty((2, 4 * np.sum(divided)))
    count = 0
    for k in range(squares.shape[1]):
        if divided[k]:
            for quarter in range(4):
                quarters[0, count] = squares[0, k] + (quarter % 2 - 0.5) * 0.5 * size
                quarters[1, count] = squares[1, k] + (quarter // 2 - 0.5) * 0.5 * size
                count += 1
    return quarters


@kernel
def _with_room(rays, target, count):
    """Arrays of rays and their targets with room for `count`: the same, or copies of them."""
    n = target.shape[0]
    if count <= n:
        return rays, target
    size = n
    while count > size:
        size *= 2
    more_rays = np.empty((3, size))
    more_rays[:, :n] = rays
    more_targets = np.empty(size, dtype=np.int64)
    more_targets[:n] = target
    return more_rays, more_targets


@kernel
def _sub_cells(row, column, side, pixel_scale, cells, centres):
    """Writes the centres of the sub-cells of a pixel, arcsec, shape (2, cells * cells)."""
    step = pixel_scale / cells
    for cell in range(cells * cells):
        centres[0, cell] = (column - 0.5 * side) * pixel_scale + (cell % cells + 0.5) * step
        centres[1, cell] = (row - 0.5 * side) * pixel_scale + (cell // cells + 0.5) * step


@kernel
def _centres(tracer, field, side, pixel_scale):
    """Source-plane positions of the centres of pixels, arcsec, each of shape (side, side)."""
    x = np.empty(side * side)
    y = np.empty(side * side)
    for i in range(side * side):
        x[i] = (i % side - 0.5 * (side - 1)) * pixel_scale
        y[i] = (i // side - 0.5 * (side - 1)) * pixel_scale
    beta_x = np.empty(side * side)
    beta_y = np.empty(side * side)
    surface_brightness(x, y, tracer, field, beta_x, beta_y, np.empty(side * side))
    return beta_x.reshape(side, side), beta_y.reshape(side, side)
