"""Integration of the surface brightness over pixels.

A pixel's flux is its area times the mean of the surface brightness over it. Where the image is
smooth, one sample a pixel is enough: finite differences over the neighbouring pixel centres give
the mean to sixth order in the pixel size. Where it is not (the lens centre, the source's cusp, a
subhalo, a vortex line) the pixel is cut into cells, each integrated by a nine-point Gauss rule
that carries its own error estimate, and cut again until that is below the tolerance.

The tolerance is in units of the noise of the pixel, so no work is spent below what can be seen.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined, kernel
from lenssim.rendering.cells import integrate_cells, room_for_cells
from lenssim.rendering.compact_sources import mark_hidden_light, may_hide_light
from lenssim.rendering.picture_source import mark_texture
from lenssim.rendering.ray_tracing import lens_field, surface_brightness
from lenssim.rendering.singularities import (
    mark_around,
    mark_neighbours,
    singular_pixels,
    strong_masses,
)
from lenssim.rendering.subcell_moments import fill_smooth_moments
from lenssim.rendering.substructure_field import TILE

BORDER = 2
"""Pixels around the image that the fourth differences reach into."""

VERY_ROUGH = 8.0
"""Size of the fourth-order terms, in units of the tolerance, that makes the pixels around suspect
too: theirs may be small by chance."""


@kernel
def regular_pixel_fluxes(tracer, num_pix, pixel_scale, subsamples):
    """Pixel fluxes from a regular grid of sub-samples, the midpoint rule that lenstronomy uses.

    Args:
        tracer: a `RayTracer`.
        num_pix: pixels on a side.
        pixel_scale: arcsec.
        subsamples: samples along each side of a pixel.

    Returns:
        Fluxes, unit of the tracer's amplitude times arcsec^2, shape (num_pix, num_pix), (y, x).
    """
    field = lens_field(tracer, num_pix, pixel_scale, 0)
    fluxes = np.zeros((num_pix, num_pix))
    per_row = num_pix * subsamples
    step = pixel_scale / subsamples
    first = -0.5 * num_pix * pixel_scale + 0.5 * step
    x = np.empty(per_row)
    y = np.empty(per_row)
    beta_x = np.empty(per_row)
    beta_y = np.empty(per_row)
    brightness = np.empty(per_row)
    for column in range(per_row):
        x[column] = first + column * step
    for row in range(per_row):
        y[:] = first + row * step
        surface_brightness(x, y, tracer, field, beta_x, beta_y, brightness)
        for column in range(per_row):
            fluxes[row // subsamples, column // subsamples] += brightness[column]
    return fluxes * (step * step)


@kernel
def regular_moments(tracer, pixel_scale, moments):
    """Fluxes of sub-cells with one sample each, at the centre; higher moments are zero.

    Args:
        tracer: a `RayTracer`.
        pixel_scale: arcsec.
        moments: receives the moments, shape (6, s, s, n, n), see `psf_convolution`.
    """
    cells = moments.shape[1]
    num_pix = moments.shape[3]
    field = lens_field(tracer, num_pix, pixel_scale, 0)
    moments[:] = 0.0
    step = pixel_scale / cells
    first = -0.5 * num_pix * pixel_scale + 0.5 * step
    x = first + step * np.arange(num_pix * cells)
    y = np.empty(x.shape[0])
    beta_x = np.empty(x.shape[0])
    beta_y = np.empty(x.shape[0])
    brightness = np.empty(x.shape[0])
    for row in range(x.shape[0]):
        y[:] = first + row * step
        surface_brightness(x, y, tracer, field, beta_x, beta_y, brightness)
        for column in range(x.shape[0]):
            moments[0, row % cells, column % cells, row // cells, column // cells] = (
                brightness[column] * step * step
            )


@kernel
def _tile_order(side):
    """Rows and columns of a square grid, tile after tile, each of shape (side^2,)."""
    rows = np.empty(side * side, dtype=np.int64)
    columns = np.empty(side * side, dtype=np.int64)
    count = 0
    for tile_row in range(0, side, TILE):
        for tile_column in range(0, side, TILE):
            for row in range(tile_row, min(tile_row + TILE, side)):
                for column in range(tile_column, min(tile_column + TILE, side)):
                    rows[count] = row
                    columns[count] = column
                    count += 1
    return rows, columns


@kernel
def _centre_samples(tracer, field, rows, columns, side, pixel_scale, beta_x, beta_y):
    """Surface brightness at the pixel centres of the image and of a border around it.

    Args:
        tracer, field: as elsewhere in this module.
        rows, columns: of the pixels, in the order in which they are traced, shape (side^2,).
        side: pixels on a side, border included.
        pixel_scale: arcsec.
        beta_x, beta_y: receive the source-plane positions, arcsec, in the order of `rows`.

    Returns:
        Surface brightness, shape (side, side).
    """
    x = (columns - 0.5 * (side - 1)) * pixel_scale
    y = (rows - 0.5 * (side - 1)) * pixel_scale
    brightness = np.empty(side * side)
    surface_brightness(x, y, tracer, field, beta_x, beta_y, brightness)
    return _on_grid(brightness, rows, columns, side)


@kernel
def _on_grid(values, rows, columns, side):
    """Values in the order of `rows` and `columns` as an array of shape (side, side)."""
    grid = np.empty((side, side))
    for i in range(side * side):
        grid[rows[i], columns[i]] = values[i]
    return grid


@kernel
def _mark_missed_light(marked, tracer, is_compact, beta_x, beta_y, area, allowed):
    """Marks pixels whose samples may miss light of a compact source, or texture of a picture."""
    if is_compact:
        mark_hidden_light(marked, tracer, beta_x, beta_y, area, allowed)
    if tracer.picture.coefficients.shape[0] > 0:
        mark_texture(marked, tracer, beta_x, beta_y, area, allowed)


@inlined
def _smooth_mean(samples, row, column):
    """Mean over a pixel from the samples around it, and the size of its fourth-order terms.

    The mean of a smooth f over a unit square is the operator (2 sinh(D/2)/D) along each axis;
    in central differences that is 1 + d^2/24 - 17 d^4/5760 + O(d^6), and the product of both.
    """
    centre = samples[row, column]
    ends_x = samples[row, column - 1] + samples[row, column + 1]
    ends_y = samples[row - 1, column] + samples[row + 1, column]
    corners = (
        samples[row - 1, column - 1]
        + samples[row - 1, column + 1]
        + samples[row + 1, column - 1]
        + samples[row + 1, column + 1]
    )
    second = ends_x + ends_y - 4.0 * centre
    fourth_x = samples[row, column - 2] + samples[row, column + 2] - 4.0 * ends_x + 6.0 * centre
    fourth_y = samples[row - 2, column] + samples[row + 2, column] - 4.0 * ends_y + 6.0 * centre
    mixed = corners - 2.0 * (ends_x + ends_y) + 4.0 * centre
    mean = centre + second / 24.0 - (17.0 / 5760.0) * (fourth_x + fourth_y) + mixed / 576.0
    size = (17.0 / 5760.0) * (abs(fourth_x) + abs(fourth_y)) + abs(mixed) / 576.0
    return mean, size


@inlined
def _faintest_neighbour(samples, row, column):
    """Least of a pixel's own sample and the eight around it."""
    faintest = samples[row, column]
    for i in range(row - 1, row + 2):
        for j in range(column - 1, column + 2):
            faintest = min(faintest, samples[i, j])
    return faintest


@kernel
def adaptive_pixel_fluxes(
    tracer, num_pix, pixel_scale, tolerance, background_variance, exposure_time
):
    """Pixel fluxes to a tolerance in units of each pixel's noise.

    Args:
        tracer: a `RayTracer` whose amplitude is in e-/s/arcsec^2.
        num_pix: pixels on a side.
        pixel_scale: arcsec.
        tolerance: error allowed in a pixel, in units of its noise.
        background_variance: variance of the background noise of a pixel, (e-/s)^2.
        exposure_time: total exposure in seconds; flux / exposure_time is the Poisson variance.

    Returns:
        fluxes: e-/s, shape (num_pix, num_pix), (y, x).
        evaluations: how many rays were traced.
    """
    no_weights = np.empty((3, 0, 5))
    no_moments = np.empty((6, 0, 0, num_pix, num_pix))
    return _integrate(
        tracer, num_pix, pixel_scale, tolerance, background_variance, exposure_time,
        no_weights, no_moments,
    )  # fmt: skip


@kernel
def adaptive_moments(
    tracer, pixel_scale, tolerance, background_variance, exposure_time, weights, moments
):
    """Moments of the brightness in the sub-cells of pixels, to a tolerance as pixel fluxes.

    Args:
        tracer, pixel_scale, tolerance, background_variance, exposure_time: as in
            `adaptive_pixel_fluxes`.
        weights: `stencil_weights` of s sub-cells.
        moments: receives the moments, shape (6, s, s, n, n), see `psf_convolution`.

    Returns:
        How many rays were traced.
    """
    _, evaluations = _integrate(
        tracer, moments.shape[3], pixel_scale, tolerance, background_variance, exposure_time,
        weights, moments,
    )  # fmt: skip
    return evaluations


@kernel
def _integrate(
    tracer, num_pix, pixel_scale, tolerance, background_variance, exposure_time, weights, moments
):
    """Pixel fluxes and, if there are sub-cells, their moments; returns fluxes and evaluations.

    Rough pixels are integrated from their sub-cells on, or as a whole if there are none.
    """
    field = lens_field(tracer, num_pix, pixel_scale, BORDER)
    side = num_pix + 2 * BORDER
    rows, columns = _tile_order(side)
    beta_x = np.empty(side * side)
    beta_y = np.empty(side * side)
    samples = _centre_samples(tracer, field, rows, columns, side, pixel_scale, beta_x, beta_y)
    evaluations = samples.size
    marked = singular_pixels(tracer, num_pix, pixel_scale)
    strong = strong_masses(
        tracer, samples, num_pix, pixel_scale, tolerance, background_variance, exposure_time
    )
    for k in strong:
        mark_around(marked, tracer.mass_x[k], tracer.mass_y[k], pixel_scale)

    is_compact = may_hide_light(tracer, pixel_scale)
    area = pixel_scale * pixel_scale
    fluxes = np.empty((num_pix, num_pix))
    pixel_error = np.empty(num_pix * num_pix)
    subcells = max(moments.shape[1], 1)
    cell_size = pixel_scale / subcells
    if moments.shape[1] > 0:
        fill_smooth_moments(samples, weights, moments)
    cells = room_for_cells(num_pix * num_pix * subcells * subcells)
    count = 0
    roughness = np.empty((num_pix, num_pix))
    for row in range(num_pix):
        for column in range(num_pix):
            mean, size = _smooth_mean(samples, row + BORDER, column + BORDER)
            flux = area * (
                # a sample in a cusp tells nothing of the pixel's flux
                _faintest_neighbour(samples, row + BORDER, column + BORDER)
                if is_compact
                else samples[row + BORDER, column + BORDER]
            )
            # of a picture, noise may be below zero
            allowed = tolerance * math.sqrt(background_variance + max(flux, 0.0) / exposure_time)
            fluxes[row, column] = mean * area
            pixel_error[row * num_pix + column] = allowed
            roughness[row, column] = size * area / allowed
            if roughness[row, column] > VERY_ROUGH:
                mark_neighbours(marked, row, column)
    if is_compact or tracer.picture.coefficients.shape[0] > 0:
        grid_x = _on_grid(beta_x, rows, columns, side)
        grid_y = _on_grid(beta_y, rows, columns, side)
        _mark_missed_light(marked, tracer, is_compact, grid_x, grid_y, area, pixel_error)
    for i in range(side * side):
        row = rows[i] - BORDER
        column = columns[i] - BORDER
        if not (0 <= row < num_pix and 0 <= column < num_pix):
            continue
        if roughness[row, column] <= 1.0 and not marked[row, column]:
            continue
        fluxes[row, column] = 0.0
        moments[:, :, :, row, column] = 0.0
        x = (column - 0.5 * (num_pix - 1)) * pixel_scale
        y = (row - 0.5 * (num_pix - 1)) * pixel_scale
        for cell in range(subcells * subcells):
            cells.x[count] = x + (cell % subcells - 0.5 * (subcells - 1)) * cell_size
            cells.y[count] = y + (cell // subcells - 0.5 * (subcells - 1)) * cell_size
            cells.half[count] = 0.5 * cell_size
            cells.pixel[count] = row * num_pix + column
            count += 1

    evaluations += integrate_cells(
        tracer, field, strong, is_compact, pixel_scale, cells, count,
        tolerance, background_variance, exposure_time, pixel_error, fluxes.reshape(fluxes.size),
        moments,
    )  # fmt: skip
    return fluxes, evaluations
