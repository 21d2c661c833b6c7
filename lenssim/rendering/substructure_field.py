"""The summed deflection of all substructure, at a cost that does not grow with its number.

Outside their masses, point and line masses deflect by a holomorphic function of the position:
in complex notation (Bourassa & Kantowski 1975) conj(alpha) is sum_k theta_E,k^2 / (z - z_k) for
point masses and a logarithm for a line. The image is cut into tiles; everything far enough from a
tile is summed once into the Taylor series about its centre, and only what is near is summed ray
by ray. "Far" is decided for each mass by the size of the series' remainder, so the result is the
exact sum to `REMAINDER`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel
from lenssim.rendering.deflection import point_mass, vortex_line

FloatArray = NDArray[np.float64]

TILE = 4
"""Pixels along each side of a tile."""

ORDER = 12
"""Terms of the Taylor series."""

REMAINDER = 1e-9
"""Arcsec that the series of one mass may be wrong by anywhere in its tile."""


class SubstructureField(NamedTuple):
    """Deflection of the substructure, tile by tile; built by `substructure_field`.

    Tiles are numbered row by row from the corner (-half_width, -half_width). Tile t has the
    series `real[t] + i imaginary[t]`, shape (tiles, ORDER), in units of the tile's half-diagonal,
    the near masses `near_x[near_start[t]:near_start[t + 1]]`, and the vortex itself where
    `vortex_is_near[t]`.
    """

    half_width: float
    tile_size: float
    tiles_on_a_side: int
    real: FloatArray
    imaginary: FloatArray
    near_start: NDArray[np.int64]
    near_x: FloatArray
    near_y: FloatArray
    near_theta_e_squared: FloatArray
    vortex_is_near: NDArray[np.bool_]


@kernel
def substructure_field(tracer, num_pix, pixel_scale, border):
    """Sums the substructure of a system into the tiles of an image.

    Args:
        tracer: a `RayTracer`.
        num_pix: pixels on a side.
        pixel_scale: arcsec.
        border: pixels around the image where rays are traced too.

    Returns:
        A `SubstructureField`; with no tiles at all if there is no substructure.
    """
    masses = tracer.mass_x.shape[0]
    has_vortex = tracer.vortex_theta_e > 0.0
    half_width = (0.5 * num_pix + border) * pixel_scale
    tile_size = TILE * pixel_scale
    side = (num_pix + 2 * border + TILE - 1) // TILE
    if masses == 0 and not has_vortex:
        side = 0
    real = np.zeros((side * side, ORDER))
    imaginary = np.zeros((side * side, ORDER))
    near_start = np.zeros(side * side + 1, dtype=np.int64)
    near = np.empty(side * side * masses, dtype=np.int64)
    vortex_is_near = np.zeros(side * side, dtype=np.bool_)
    radius = tile_size / math.sqrt(2.0)
    far_real = np.empty(masses)
    far_imaginary = np.empty(masses)
    ratio_real = np.empty(masses)
    ratio_imaginary = np.empty(masses)
    count = 0
    for tile in range(side * side):
        centre_x = (tile % side + 0.5) * tile_size - half_width
        centre_y = (tile // side + 0.5) * tile_size - half_width
        far = 0
        for k in range(masses):
            dx = tracer.mass_x[k] - centre_x
            dy = tracer.mass_y[k] - centre_y
            squared = dx * dx + dy * dy
            shrink = radius * radius / squared
            # remainder: theta_E^2 / (R - radius) (radius / R)^ORDER < REMAINDER, R > 1.5 radius
            if shrink > 0.44 or (
                3.0 * tracer.mass_theta_e_squared[k] * shrink ** (ORDER // 2)
                > REMAINDER * math.sqrt(squared)
            ):
                near[count] = k
                count += 1
                continue
            # 1 / (z - z_k) = -sum_n (z - c)^n / (z_k - c)^(n + 1)
            far_real[far] = -tracer.mass_theta_e_squared[k] * dx / squared
            far_imaginary[far] = tracer.mass_theta_e_squared[k] * dy / squared
            ratio_real[far] = radius * dx / squared
            ratio_imaginary[far] = -radius * dy / squared
            far += 1
        near_start[tile + 1] = count
        for term in range(ORDER):
            sum_real = 0.0
            sum_imaginary = 0.0
            for k in range(far):
                sum_real += far_real[k]
                sum_imaginary += far_imaginary[k]
                product = far_real[k] * ratio_real[k] - far_imaginary[k] * ratio_imaginary[k]
                far_imaginary[k] = (
                    far_real[k] * ratio_imaginary[k] + far_imaginary[k] * ratio_real[k]
                )
                far_real[k] = product
            real[tile, term] = sum_real
            imaginary[tile, term] = sum_imaginary
        if has_vortex:
            vortex_is_near[tile] = not _add_far_vortex(
                tracer, centre_x, centre_y, radius, real[tile], imaginary[tile]
            )
    near = near[:count]
    return SubstructureField(
        half_width,
        tile_size,
        side,
        real,
        imaginary,
        near_start,
        tracer.mass_x[near],
        tracer.mass_y[near],
        tracer.mass_theta_e_squared[near],
        vortex_is_near,
    )


@kernel
def _add_far_vortex(tracer, centre_x, centre_y, radius, real, imaginary):
    """Adds the vortex's series about a tile's centre, if the tile is far enough; says whether.

    With w the centre of the tile seen from that of the line, the n-th term of
    log((z + h) / (z - h)) is ((w - h)^-n - (w + h)^-n) (-1)^n / n for n > 0.
    """
    half = complex(tracer.vortex_half_x, tracer.vortex_half_y)
    offset = complex(centre_x - tracer.vortex_x, centre_y - tracer.vortex_y)
    length = abs(half)
    turned = offset * half.conjugate() / length
    beyond = max(abs(turned.real) - length, 0.0)
    distance = math.hypot(beyond, turned.imag)
    scale = 0.5 * tracer.vortex_theta_e**2 * half.conjugate() / length**2
    if distance < 1.5 * radius or (
        6.0 * abs(scale) * (radius / distance) ** ORDER > ORDER * REMAINDER
    ):
        return False
    alpha_x, alpha_y = vortex_line(
        offset.real,
        offset.imag,
        tracer.vortex_theta_e,
        tracer.vortex_half_x,
        tracer.vortex_half_y,
    )
    real[0] += alpha_x
    imaginary[0] -= alpha_y
    ratio_start = -radius / (offset + half)
    ratio_end = -radius / (offset - half)
    power_start = ratio_start
    power_end = ratio_end
    for term in range(1, ORDER):
        coefficient = scale * (power_end - power_start) / term
        real[term] += coefficient.real
        imaginary[term] += coefficient.imag
        power_start *= ratio_start
        power_end *= ratio_end
    return True


@inlined
def _tile_coordinate(position, field):
    """Row or column of the tiles that a coordinate falls in."""
    index = int((position + field.half_width) / field.tile_size)
    return min(max(index, 0), field.tiles_on_a_side - 1)


@inlined
def tiles_of(x, y, field):
    """Number of the tile that each position falls in, shape (n,).

    Args:
        x, y: image-plane positions, arcsec, shape (n,).
        field: a `SubstructureField` or a `HaloField`, with tiles.
    """
    tiles = np.empty(x.shape[0], dtype=np.int64)
    for i in range(x.shape[0]):
        row = _tile_coordinate(y[i], field)
        tiles[i] = row * field.tiles_on_a_side + _tile_coordinate(x[i], field)
    return tiles


@inlined
def end_of_run(tiles, start):
    """Index after the last of the consecutive entries from `start` on that are in one tile."""
    end = start + 1
    while end < tiles.shape[0] and tiles[end] == tiles[start]:
        end += 1
    return end


@inlined
def _evaluate_series(
    x, y, centre_x, centre_y, scale, series_real, series_imaginary, real, imaginary
):
    """Value of one tile's series at positions in it, by Horner's rule, into (real, imaginary)."""
    for i in range(x.shape[0]):
        u = (x[i] - centre_x) * scale
        v = (y[i] - centre_y) * scale
        value_real = series_real[ORDER - 1]
        value_imaginary = series_imaginary[ORDER - 1]
        for term in range(ORDER - 2, -1, -1):
            product = value_real * u - value_imaginary * v + series_real[term]
            value_imaginary = value_real * v + value_imaginary * u + series_imaginary[term]
            value_real = product
        real[i] = value_real
        imaginary[i] = value_imaginary


@kernel
def subtract_substructure(x, y, tracer, field, beta_x, beta_y):
    """Takes the deflection of all substructure off source-plane positions, in place.

    Consecutive positions in one tile are taken together, in vector registers: any order gives the
    same result, and the order of the tiles gives it soonest.

    Args:
        x, y: image-plane positions, arcsec, within the image and its border, shape (n,).
        tracer: the `RayTracer` that the field was made from.
        field: a `SubstructureField` with tiles.
        beta_x, beta_y: source-plane positions, arcsec, shape (n,), changed.
    """
    count = x.shape[0]
    side = field.tiles_on_a_side
    scale = math.sqrt(2.0) / field.tile_size
    real = np.empty(count)
    imaginary = np.empty(count)
    tiles = tiles_of(x, y, field)
    start = 0
    while start < count:
        tile = tiles[start]
        end = end_of_run(tiles, start)
        # slices, whose indices start at zero, so that the loops vectorise
        run_x = x[start:end]
        run_y = y[start:end]
        run_real = real[start:end]
        run_imaginary = imaginary[start:end]
        _evaluate_series(
            run_x,
            run_y,
            (tile % side + 0.5) * field.tile_size - field.half_width,
            (tile // side + 0.5) * field.tile_size - field.half_width,
            scale,
            field.real[tile],
            field.imaginary[tile],
            run_real,
            run_imaginary,
        )
        for k in range(field.near_start[tile], field.near_start[tile + 1]):
            mass_x = field.near_x[k]
            mass_y = field.near_y[k]
            theta_e_squared = field.near_theta_e_squared[k]
            for i in range(end - start):
                alpha_x, alpha_y = point_mass(run_x[i] - mass_x, run_y[i] - mass_y, theta_e_squared)
                run_real[i] += alpha_x
                run_imaginary[i] -= alpha_y
        if field.vortex_is_near[tile]:
            for i in range(end - start):
                alpha_x, alpha_y = vortex_line(
                    run_x[i] - tracer.vortex_x,
                    run_y[i] - tracer.vortex_y,
                    tracer.vortex_theta_e,
                    tracer.vortex_half_x,
                    tracer.vortex_half_y,
                )
                run_real[i] += alpha_x
                run_imaginary[i] -= alpha_y
        start = end
    for i in range(count):
        beta_x[i] -= real[i]
        beta_y[i] += imaginary[i]
