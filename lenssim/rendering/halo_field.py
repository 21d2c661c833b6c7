"""The summed deflection of extended subhalos, at a cost a ray that hardly grows with their number.

Unlike point masses, truncated NFW halos are nowhere close to the holomorphic field of a point:
their density falls as r^-5, so the projected mass beyond R falls only as R^-2, and the deflection
is that of a point to 1e-6 only some thousand scale radii out (more than the image). But away from
its centre the deflection of a halo is smooth. So it is interpolated: on square tiles of the image,
the sum over all halos that are far enough from a tile is sampled at Chebyshev nodes and turned into
a polynomial; only what is near is summed ray by ray, from the tables of
`lenssim.profiles.tnfw_table`. Squares of two and four tiles a side take in what is far enough from
them, before the tiles do. How many nodes a halo needs is decided by the bound on the
interpolation's error, so that the result is the exact sum to `REMAINDER` a halo.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel
from lenssim.profiles.tnfw_table import (
    COEFFICIENTS,
    PIECES,
    combine_tables,
    combined_over_radius,
    deflection_over_radius,
)
from lenssim.rendering.substructure_field import TILE, end_of_run, tiles_of
from lenssim.rendering.tile_polynomials import (
    LEVELS,
    NODES,
    ORDERS,
    TERMS,
    evaluate_polynomial,
    tile_polynomials,
)

FloatArray = NDArray[np.float64]

REMAINDER = 5e-10
"""Arcsec that the interpolation of one halo may be wrong by anywhere in its tile."""

_BLOCK = 1 << (LEVELS - 1)
"""Tiles along each side of the largest squares."""

_MIN_DISTANCE = 1.8
"""Distance of a halo from the centre of a square, in half-sides, below which it is near it."""

_TOO_NEAR = len(ORDERS)
"""Index for a halo that is too near a square for any of the orders."""


class HaloField(NamedTuple):
    """Deflection of extended subhalos, tile by tile; built by `halo_field`.

    Tiles are numbered row by row from the corner (-half_width, -half_width), `tiles_on_a_side` a
    row. Tile t has the polynomials `series[t]`, shape (2, `TERMS`, `TERMS`), of alpha_x and
    alpha_y in arcsec: [c, j, i] is the coefficient of u^i v^j, with (u, v) the position from the
    tile's centre in units of half its side. The halos near it are
    `near[near_start[t]:near_start[t + 1]]`, rows of `tnfw_halos`.
    """

    half_width: float
    tile_size: float
    tiles_on_a_side: int
    series: FloatArray
    near_start: NDArray[np.int64]
    near: FloatArray
    tables: FloatArray


@kernel
def halo_field(halos, theta_e_squared, tables, num_pix, pixel_scale, border):
    """Sums extended subhalos into the tiles of an image.

    Args:
        halos: rows of `tnfw_halos`, shape (k, HALO_COLUMNS).
        theta_e_squared: squared Einstein radii of their total masses, arcsec^2, shape (k,).
        tables: `tnfw_tables()`.
        num_pix: pixels on a side.
        pixel_scale: arcsec.
        border: pixels around the image where rays are traced too.

    Returns:
        A `HaloField`; with no tiles at all if there are no halos.
    """
    half_width = (0.5 * num_pix + border) * pixel_scale
    tile_size = TILE * pixel_scale
    # whole blocks, of which the last may reach beyond the image
    blocks = (num_pix + 2 * border + TILE * _BLOCK - 1) // (TILE * _BLOCK)
    if halos.shape[0] == 0:
        blocks = 0
    side = blocks * _BLOCK
    # the squares of all levels, from the blocks down to the tiles, one after another
    squares = 0
    for level in range(LEVELS):
        squares += (blocks << level) ** 2
    values = np.zeros((squares, _TOO_NEAR, 2, TERMS * TERMS))
    is_used = np.zeros((squares, _TOO_NEAR), dtype=np.bool_)
    near_halo = np.empty(side * side * halos.shape[0], dtype=np.int64)
    near_tile = np.empty(side * side * halos.shape[0], dtype=np.int64)
    near_count = 0
    for k in range(halos.shape[0]):
        near_count = _sum_halo_into_squares(
            halos[k], theta_e_squared[k], tables, half_width, tile_size, blocks,
            values, is_used, k, near_halo, near_tile, near_count,
        )  # fmt: skip
    near_start, order = _sort_by_tile(near_tile[:near_count], side * side)
    return HaloField(
        half_width,
        tile_size,
        side,
        tile_polynomials(values, is_used, blocks),
        near_start,
        halos[near_halo[order]],
        tables,
    )


@kernel
def _sum_halo_into_squares(
    halo, theta_e_squared, tables, half_width, tile_size, blocks,
    values, is_used, index, near_halo, near_tile, near_count,
):  # fmt: skip
    """Adds one halo at the nodes of the largest squares that it is far enough from.

    Args:
        halo, theta_e_squared, tables: see `halo_field`.
        half_width, tile_size: arcsec.
        blocks: on a side.
        values: values at the nodes of all squares, shape (squares, orders, 2,
            TERMS^2), changed.
        is_used: which of them are not all zero, shape (squares, orders), changed.
        index: of the halo.
        near_halo, near_tile: receive it and each tile that it is near to, from near_count on.
        near_count: how many have been received so far.

    Returns:
        How many there are then.
    """
    combined = np.empty((2, PIECES, COEFFICIENTS))
    least = (_MIN_DISTANCE - math.sqrt(2.0)) * 0.5 * tile_size
    greatest = math.hypot(halo[0], halo[1]) + math.sqrt(2.0) * (half_width + _BLOCK * tile_size)
    combine_tables(halo, tables, least * least, greatest * greatest, combined)
    scratch = np.empty((6, TERMS * TERMS))
    # squares still to be decided on: level, row and column; one in four is cut again at most
    waiting = np.empty((4 * LEVELS, 3), dtype=np.int64)
    for block in range(blocks * blocks):
        waiting[0, 0] = 0
        waiting[0, 1] = block // blocks
        waiting[0, 2] = block % blocks
        count = 1
        while count > 0:
            count -= 1
            level, row, column = waiting[count]
            half = 0.5 * tile_size * (_BLOCK >> level)
            centre_x = (2 * column + 1) * half - half_width
            centre_y = (2 * row + 1) * half - half_width
            choice = _least_order(
                math.hypot(halo[0] - centre_x, halo[1] - centre_y), half, theta_e_squared
            )
            side = blocks << level
            if centre_x - half > half_width or centre_y - half > half_width:
                continue  # outside of the image and its border
            if choice < _TOO_NEAR:
                # 4^level - 1 is three times the number of squares in all levels above
                square = blocks * blocks * ((1 << 2 * level) - 1) // 3 + row * side + column
                is_used[square, choice] = True
                _add_at_nodes(
                    halo, combined, centre_x, centre_y, half, choice, scratch,
                    values[square, choice],
                )  # fmt: skip
            elif level == LEVELS - 1:
                near_halo[near_count] = index
                near_tile[near_count] = row * side + column
                near_count += 1
            else:
                for quarter in range(4):
                    waiting[count, 0] = level + 1
                    waiting[count, 1] = 2 * row + quarter // 2
                    waiting[count, 2] = 2 * column + quarter % 2
                    count += 1
    return near_count


@inlined
def _least_order(distance, half, theta_e_squared):
    """Index of the least order that interpolates a halo well enough over a square, or `_TOO_NEAR`.

    The deflection of a halo at the distance R from the centre of a square of half-side h is
    interpolated at n x n Chebyshev nodes with an error below 4 theta_E^2 / R (h / (2 (R - h)))^n,
    measured on point masses, whose field is the roughest.
    """
    choice = _TOO_NEAR
    if distance > _MIN_DISTANCE * half:
        allowed = REMAINDER * distance / (4.0 * theta_e_squared)
        ratio = 0.5 * half / (distance - half)
        fourth = ratio * ratio * ratio * ratio
        if fourth * ratio * ratio <= allowed:
            choice = 0
        elif fourth * fourth <= allowed:
            choice = 1
    return choice


@kernel
def _add_at_nodes(halo, combined, centre_x, centre_y, half, choice, scratch, values):
    """Adds the deflection of a halo at the nodes of a square, row by row, to `values`."""
    count = ORDERS[choice] * ORDERS[choice]
    dx = scratch[0, :count]
    dy = scratch[1, :count]
    squared = scratch[2, :count]
    ratio = scratch[3, :count]
    for i in range(count):
        dx[i] = (centre_x - halo[0]) + half * NODES[choice, 0, i]
        dy[i] = (centre_y - halo[1]) + half * NODES[choice, 1, i]
        squared[i] = dx[i] * dx[i] + dy[i] * dy[i]
    combined_over_radius(squared, halo, combined, scratch[4, :count], scratch[5, :count], ratio)
    for i in range(count):
        values[0, i] += ratio[i] * dx[i]
        values[1, i] += ratio[i] * dy[i]


@kernel
def _sort_by_tile(tiles, number):
    """Counting sort.

    Args:
        tiles: tile of each entry, shape (n,).
        number: of tiles.

    Returns:
        start: entries of tile t come start[t]:start[t + 1] in order, shape (number + 1,).
        order: indices of the entries in the order of their tiles, shape (n,).
    """
    start = np.zeros(number + 1, dtype=np.int64)
    for tile in tiles:
        start[tile + 1] += 1
    for tile in range(number):
        start[tile + 1] += start[tile]
    place = start.copy()
    order = np.empty(tiles.shape[0], dtype=np.int64)
    for entry in range(tiles.shape[0]):
        order[place[tiles[entry]]] = entry
        place[tiles[entry]] += 1
    return start, order


@kernel
def subtract_halos(x, y, field, beta_x, beta_y):
    """Takes the deflection of extended subhalos off source-plane positions, in place.

    Consecutive positions in one tile are taken together: any order gives the same result, and the
    order of the tiles gives it soonest.

    Args:
        x, y: image-plane positions, arcsec, within the image and its border, shape (n,).
        field: a `HaloField` with tiles.
        beta_x, beta_y: source-plane positions, arcsec, shape (n,), changed.
    """
    count = x.shape[0]
    tiles = tiles_of(x, y, field)
    scratch = np.empty((7, count))
    start = 0
    while start < count:
        end = end_of_run(tiles, start)
        _subtract_in_tile(
            x[start:end],
            y[start:end],
            tiles[start],
            field,
            scratch,
            beta_x[start:end],
            beta_y[start:end],
        )
        start = end


@kernel
def _subtract_in_tile(x, y, tile, field, scratch, beta_x, beta_y):
    """`subtract_halos` for positions in one tile; `scratch` has shape (7, n or more)."""
    side = field.tiles_on_a_side
    count = x.shape[0]
    # slices of whole rows, which the compiler knows to be contiguous
    u, v = scratch[0][:count], scratch[1][:count]
    alpha_x, alpha_y = scratch[2][:count], scratch[3][:count]
    ratio, first, second = scratch[4][:count], scratch[5][:count], scratch[6][:count]
    centre_x = (tile % side + 0.5) * field.tile_size - field.half_width
    centre_y = (tile // side + 0.5) * field.tile_size - field.half_width
    scale = 2.0 / field.tile_size
    for i in range(count):
        u[i] = (x[i] - centre_x) * scale
        v[i] = (y[i] - centre_y) * scale
    evaluate_polynomial(field.series[tile, 0], u, v, alpha_x)
    evaluate_polynomial(field.series[tile, 1], u, v, alpha_y)
    for k in range(field.near_start[tile], field.near_start[tile + 1]):
        halo = field.near[k]
        for i in range(count):
            dx = x[i] - halo[0]
            dy = y[i] - halo[1]
            u[i] = dx * dx + dy * dy
        deflection_over_radius(u, halo, field.tables, first, second, ratio)
        for i in range(count):
            alpha_x[i] += ratio[i] * (x[i] - halo[0])
            alpha_y[i] += ratio[i] * (y[i] - halo[1])
    for i in range(count):
        beta_x[i] -= alpha_x[i]
        beta_y[i] -= alpha_y[i]
