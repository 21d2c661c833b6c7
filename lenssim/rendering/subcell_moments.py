"""Moments of the surface brightness in the sub-cells of pixels, for `psf_convolution`."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel

FloatArray = NDArray[np.float64]

STENCIL = 5
"""Samples at pixel centres, along each axis, that a pixel's brightness is interpolated from."""

GAUSS_WEIGHTS = np.array([64.0, 25.0, 25.0, 25.0, 25.0, 40.0, 40.0, 40.0, 40.0]) / 324.0
"""Weights of the nine-point rule of `quadrature`: the centre, four corners, four edges."""

_ORDERS = 3
"""Moments along one axis: of order zero, one and two."""


@lru_cache(maxsize=64)
def stencil_weights(cells: int, pixel_scale: float) -> FloatArray:
    """Moments of sub-cells along one axis from samples at five pixel centres.

    Those of the polynomial of degree four through the samples, about the centre of the sub-cell.
    Summed over sub-cells, order zero is the mean to sixth order that `quadrature` takes.

    Args:
        cells: sub-cells of a pixel.
        pixel_scale: arcsec.

    Returns:
        arcsec to one more than the order, shape (orders, cells, STENCIL).
    """
    nodes = np.arange(STENCIL) - STENCIL // 2
    weights = np.empty((_ORDERS, cells, STENCIL))
    for k, node in enumerate(nodes):
        others = np.delete(nodes, k)
        lagrange = Polynomial.fromroots(others) / np.prod(node - others)
        for cell in range(cells):
            lower, upper = cell / cells - 0.5, (cell + 1) / cells - 0.5
            for order in range(_ORDERS):
                moment = Polynomial([-0.5 * (lower + upper), 1.0]) ** order
                integral = (lagrange * moment).integ()
                weights[order, cell, k] = integral(upper) - integral(lower)
    return weights * pixel_scale ** (1.0 + np.arange(_ORDERS))[:, np.newaxis, np.newaxis]


@kernel
def fill_smooth_moments(samples, weights, moments):
    """Moments of all sub-cells from samples at pixel centres.

    Args:
        samples: surface brightness at the centres of the pixels and of two more on every side,
            shape (n + 4, n + 4).
        weights: `stencil_weights`.
        moments: receives the moments, shape (6, s, s, n, n), see `psf_convolution`.
    """
    cells = weights.shape[1]
    side = moments.shape[3]
    along_x = np.zeros((3, cells, side + 4, side))
    for order in range(3):
        for sub_column in range(cells):
            w = weights[order, sub_column]
            w_0, w_1, w_2, w_3, w_4 = w[0], w[1], w[2], w[3], w[4]
            for row in range(side + 4):
                sample = samples[row]
                target = along_x[order, sub_column, row]
                for i in range(side):
                    target[i] = (
                        w_0 * sample[i]
                        + w_1 * sample[i + 1]
                        + w_2 * sample[i + 2]
                        + w_3 * sample[i + 3]
                        + w_4 * sample[i + 4]
                    )
    for moment in range(6):
        order_x = (0, 1, 0, 2, 1, 0)[moment]
        order_y = (0, 0, 1, 0, 1, 2)[moment]
        for sub_row in range(cells):
            w = weights[order_y, sub_row]
            w_0, w_1, w_2, w_3, w_4 = w[0], w[1], w[2], w[3], w[4]
            for sub_column in range(cells):
                for row in range(side):
                    source_0 = along_x[order_x, sub_column, row]
                    source_1 = along_x[order_x, sub_column, row + 1]
                    source_2 = along_x[order_x, sub_column, row + 2]
                    source_3 = along_x[order_x, sub_column, row + 3]
                    source_4 = along_x[order_x, sub_column, row + 4]
                    target = moments[moment, sub_row, sub_column, row]
                    for i in range(side):
                        target[i] = (
                            w_0 * source_0[i]
                            + w_1 * source_1[i]
                            + w_2 * source_2[i]
                            + w_3 * source_3[i]
                            + w_4 * source_4[i]
                        )


@inlined
def add_weighted_nodes(moments, pixel_scale, pixel, cell_x, cell_y, x, y, values, cell_area, first):
    """Adds the light at the nodes of one cell to the moments of the sub-cell that holds the cell.

    Args:
        moments: shape (6, s, s, n, n), changed.
        pixel_scale: arcsec.
        pixel: flat index of the pixel, row by row.
        cell_x, cell_y: centre of the cell, arcsec; the image is centred on the origin.
        x, y, values: positions in arcsec, and surface brightness, of nodes of many cells.
        cell_area: arcsec^2.
        first: index of the cell's first node, of `GAUSS_WEIGHTS.size`.
    """
    cells = moments.shape[1]
    side = moments.shape[3]
    size = pixel_scale / cells
    row = pixel // side
    column = pixel % side
    left = (column - 0.5 * side) * pixel_scale
    bottom = (row - 0.5 * side) * pixel_scale
    sub_column = min(max(math.floor((cell_x - left) / size), 0), cells - 1)
    sub_row = min(max(math.floor((cell_y - bottom) / size), 0), cells - 1)
    centre_x = left + (sub_column + 0.5) * size
    centre_y = bottom + (sub_row + 0.5) * size
    for node in range(GAUSS_WEIGHTS.shape[0]):
        light = GAUSS_WEIGHTS[node] * cell_area * values[first + node]
        dx = x[first + node] - centre_x
        dy = y[first + node] - centre_y
        moments[0, sub_row, sub_column, row, column] += light
        moments[1, sub_row, sub_column, row, column] += light * dx
        moments[2, sub_row, sub_column, row, column] += light * dy
        moments[3, sub_row, sub_column, row, column] += light * dx * dx
        moments[4, sub_row, sub_column, row, column] += light * dx * dy
        moments[5, sub_row, sub_column, row, column] += light * dy * dy
