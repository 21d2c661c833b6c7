"""Light that lies between the centres of sub-cells, shared out among those around it.

The image of light at x is the PSF about x. The cubic through the PSF at four sub-cells along each
axis, which the sum of those four with Lagrange's weights is, replaces it: as a PSF is smooth over
half its standard deviation, this is right to 0.5% of the light of one ray.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from lenssim.compilation import inlined, kernel

NODES = 4
"""Sub-cells along each axis among which light is shared out."""


class SubcellGrid(NamedTuple):
    """Sub-cells of an image, s along each side of each pixel."""

    side: int
    """Pixels on a side, border included."""
    cells: int
    pixel_scale: float
    """Arcsec."""
    is_interpolated: bool
    """Whether light is shared out; otherwise all goes to the sub-cell that it lies in."""


@inlined
def _weights(place, count, weights):
    """Index of the first of the four sub-cells around a place, and their weights.

    Args:
        place: in units of sub-cells, zero at the centre of the first.
        count: sub-cells along the axis.
        weights: receives Lagrange's weights, shape (4,).
    """
    first = min(max(math.floor(place) - 1, 0), count - NODES)
    t = place - first
    weights[0] = -(t - 1.0) * (t - 2.0) * (t - 3.0) / 6.0
    weights[1] = t * (t - 2.0) * (t - 3.0) / 2.0
    weights[2] = -t * (t - 1.0) * (t - 3.0) / 2.0
    weights[3] = t * (t - 1.0) * (t - 2.0) / 6.0
    return first


@inlined
def _flat_index(row, column, side, cells):
    """Flat index of the sub-cell in a row and a column of all sub-cells."""
    sub_row, sub_column = row % cells, column % cells
    return ((sub_row * cells + sub_column) * side + row // cells) * side + column // cells


@kernel
def add_interpolated(x, y, values, grid, weights, sums):
    """Adds what a ray has found to the sub-cells around it.

    Args:
        x, y: position of the ray, arcsec.
        values: what it has found, shape (p,).
        grid: a `SubcellGrid`.
        weights: scratch space, shape (2, `NODES`).
        sums: of the sub-cells, shape (s * s * side * side, p), changed.
    """
    side, cells = grid.side, grid.cells
    count = side * cells
    column = (x / grid.pixel_scale + 0.5 * side) * cells - 0.5
    row = (y / grid.pixel_scale + 0.5 * side) * cells - 0.5
    if not grid.is_interpolated:
        own_row, own_column = math.floor(row + 0.5), math.floor(column + 0.5)
        own = sums[_flat_index(own_row, own_column, side, cells)]
        for k in range(values.shape[0]):
            own[k] += values[k]
        return
    first_row = _weights(row, count, weights[0])
    first_column = _weights(column, count, weights[1])
    for i in range(NODES):
        for j in range(NODES):
            weight = weights[0, i] * weights[1, j]
            target = sums[_flat_index(first_row + i, first_column + j, side, cells)]
            for k in range(values.shape[0]):
                target[k] += weight * values[k]
