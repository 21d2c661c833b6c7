"""Where the rays of a derivative image are traced: one in each sub-cell that can be seen, more
where the cusp of the source is near.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined, kernel
from lenssim.rendering.ray_tracing import lens_field, surface_brightness
from lenssim.rendering.source import (
    elliptical_radius,
    sersic_exponent,
    squared_elliptical_length,
)

CUSP_DISTANCE = 4.0
"""Distance from the source's centre, in sizes of the sub-cell in the source plane, within which a
sub-cell is divided."""

MAX_DIVISION = 8
"""Rays along each side of a sub-cell that holds the source's centre."""


@inlined
def _length(x, y, e1, e2):
    """Norm of a vector in the source plane, as `elliptical_radius` without its least value."""
    return math.sqrt(squared_elliptical_length(x, y, e1, e2))


@inlined
def _division(distance, extent):
    """Rays along each side of a sub-cell of a size, at a distance from the source's centre."""
    if distance > CUSP_DISTANCE * extent:
        return 1
    if distance > 0.5 * CUSP_DISTANCE * extent:
        return MAX_DIVISION // 4
    if distance > 0.25 * CUSP_DISTANCE * extent:
        return MAX_DIVISION // 2
    return MAX_DIVISION


@kernel
def select_rays(tracer, side, pixel_scale, cells, faintest):
    """Positions at which the smooth model is sampled, by sub-cells of pixels.

    Args:
        tracer: a `RayTracer` without substructure.
        side: pixels on a side, with the border that the PSF needs.
        pixel_scale: arcsec.
        cells: sub-cells along each side of a pixel.
        faintest: flux of a pixel, e-/s, below which it counts as dark.

    Returns:
        x, y: positions, arcsec, shape (n,).
        area: that each stands for, arcsec^2, shape (n,).
        target: flat index of the sub-cell, of an array of shape (cells, cells, side, side) with
            axes (sub-row, sub-column, row, column), shape (n,).
    """
    field = lens_field(tracer, side, pixel_scale, 1)
    beta_x, beta_y = _centres(tracer, field, side + 2, pixel_scale)
    division = np.zeros((cells, cells, side, side), dtype=np.int64)
    step = pixel_scale / cells
    # read once: each use of the tracer counts the references of its arrays
    e1, e2 = tracer.source_e1, tracer.source_e2
    source_x, source_y = tracer.source_x, tracer.source_y
    amplitude, b = tracer.amplitude, tracer.b
    r_sersic, n_sersic = tracer.r_sersic, tracer.n_sersic
    is_dark = tracer.light_amplitude == 0.0
    buffers = np.empty((5, cells * cells))
    for row in range(side):
        for column in range(side):
            i, j = row + 1, column + 1
            x, y = beta_x[i, j], beta_y[i, j]
            along_x = max(
                _length(beta_x[i, j + 1] - x, beta_y[i, j + 1] - y, e1, e2),
                _length(beta_x[i, j - 1] - x, beta_y[i, j - 1] - y, e1, e2),
            )
            along_y = max(
                _length(beta_x[i + 1, j] - x, beta_y[i + 1, j] - y, e1, e2),
                _length(beta_x[i - 1, j] - x, beta_y[i - 1, j] - y, e1, e2),
            )
            extent = along_x + along_y
            distance = _length(x - source_x, y - source_y, e1, e2)
            nearest = max(distance - 0.5 * extent, 0.0)
            brightest = amplitude * math.exp(
                sersic_exponent(max(nearest, 0.1 * distance), r_sersic, n_sersic, b)
            )
            if is_dark and (brightest * pixel_scale * pixel_scale < faintest):
                continue
            division[:, :, row, column] = 1
            if distance - 0.5 * extent > CUSP_DISTANCE * extent / cells:
                continue
            for cell in range(cells * cells):
                buffers[0, cell] = (column - 0.5 * side) * pixel_scale + (cell % cells + 0.5) * step
                buffers[1, cell] = (row - 0.5 * side) * pixel_scale + (cell // cells + 0.5) * step
            surface_brightness(
                buffers[0], buffers[1], tracer, field, buffers[2], buffers[3], buffers[4]
            )
            for cell in range(cells * cells):
                radius = elliptical_radius(
                    buffers[2, cell] - source_x,
                    buffers[3, cell] - source_y,
                    e1,
                    e2,
                )
                division[cell // cells, cell % cells, row, column] = _division(
                    radius, extent / cells
                )
    return _nodes(division, pixel_scale)


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


@kernel
def _nodes(division, pixel_scale):
    """The rays of `select_rays`, from how many lie along each side of the sub-cells."""
    cells, side = division.shape[0], division.shape[2]
    count = 0
    for number in division.flat:
        count += number * number
    x = np.empty(count)
    y = np.empty(count)
    area = np.empty(count)
    target = np.empty(count, dtype=np.int64)
    step = pixel_scale / cells
    node = 0
    for row in range(side):
        for sub_row in range(cells):
            for sub_column in range(cells):
                for column in range(side):
                    number = division[sub_row, sub_column, row, column]
                    left = (column - 0.5 * side) * pixel_scale + sub_column * step
                    bottom = (row - 0.5 * side) * pixel_scale + sub_row * step
                    for part in range(number * number):
                        x[node] = left + (part % number + 0.5) * step / number
                        y[node] = bottom + (part // number + 0.5) * step / number
                        area[node] = (step / number) ** 2
                        target[node] = ((sub_row * cells + sub_column) * side + row) * side + column
                        node += 1
    return x, y, area, target
