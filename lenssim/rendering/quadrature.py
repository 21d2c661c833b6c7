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

from lenssim.rendering.compilation import inlined, kernel
from lenssim.rendering.ray_tracing import BLOCK, lens_field, surface_brightness
from lenssim.rendering.subcell_moments import add_weighted_nodes, fill_smooth_moments
from lenssim.rendering.substructure_field import TILE

BORDER = 2
"""Pixels around the image that the fourth differences reach into."""

MAXIMUM_DEPTH = 12
"""Halvings of a pixel after which a cell is accepted as it is (a 4096th of a pixel)."""

VERY_ROUGH = 8.0
"""Size of the fourth-order terms, in units of the tolerance, that makes the pixels around suspect
too: theirs may be small by chance."""

_GAUSS_NODE = math.sqrt(0.6)
_NODE_X = np.array([0.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 0.0, 0.0]) * _GAUSS_NODE
_NODE_Y = np.array([0.0, -1.0, -1.0, 1.0, 1.0, 0.0, 0.0, -1.0, 1.0]) * _GAUSS_NODE
_NODES = 9


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
    brightness = np.empty(per_row)
    for column in range(per_row):
        x[column] = first + column * step
    for row in range(per_row):
        y[:] = first + row * step
        surface_brightness(x, y, tracer, field, brightness)
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
    brightness = np.empty(x.shape[0])
    for row in range(x.shape[0]):
        y[:] = first + row * step
        surface_brightness(x, y, tracer, field, brightness)
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
def _centre_samples(tracer, field, rows, columns, side, pixel_scale):
    """Surface brightness at the pixel centres of the image and of a border around it."""
    x = (columns - 0.5 * (side - 1)) * pixel_scale
    y = (rows - 0.5 * (side - 1)) * pixel_scale
    brightness = np.empty(side * side)
    surface_brightness(x, y, tracer, field, brightness)
    samples = np.empty((side, side))
    for i in range(side * side):
        samples[rows[i], columns[i]] = brightness[i]
    return samples


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


@kernel
def _mark_around(marked, x, y, pixel_scale):
    """Marks the pixel that holds a position, and its neighbours."""
    num_pix = marked.shape[0]
    column = math.floor(x / pixel_scale + 0.5 * num_pix)
    row = math.floor(y / pixel_scale + 0.5 * num_pix)
    _mark_neighbours(marked, row, column)


@inlined
def _mark_neighbours(marked, row, column):
    """Marks a pixel, which may be outside the image, and the eight around it."""
    num_pix = marked.shape[0]
    for i in range(max(row - 1, 0), min(row + 2, num_pix)):
        for j in range(max(column - 1, 0), min(column + 2, num_pix)):
            marked[i, j] = True


@kernel
def _singular_pixels(tracer, num_pix, pixel_scale):
    """Pixels that hold the lens centre or a piece of the vortex, whatever their samples say."""
    marked = np.zeros((num_pix, num_pix), dtype=np.bool_)
    _mark_around(marked, tracer.lens_x, tracer.lens_y, pixel_scale)
    if tracer.vortex_theta_e > 0.0:
        half = math.hypot(tracer.vortex_half_x, tracer.vortex_half_y)
        # beyond the image there is nothing to mark, however long the line
        distance = math.hypot(tracer.vortex_x, tracer.vortex_y)
        reach = min(1.0, (distance + 2.0 * num_pix * pixel_scale) / half)
        steps = int(2.0 * half * reach / (0.5 * pixel_scale)) + 1
        for step in range(steps + 1):
            t = reach * (2.0 * step / steps - 1.0)
            _mark_around(
                marked,
                tracer.vortex_x + t * tracer.vortex_half_x,
                tracer.vortex_y + t * tracer.vortex_half_y,
                pixel_scale,
            )
    return marked


@kernel
def _strong_masses(tracer, samples, pixel_scale, tolerance, background_variance, exposure_time):
    """Indices of the point masses whose small-scale effect on their pixel exceeds the tolerance.

    A mass at a place of surface brightness I does two things that its deflection at the pixel
    centres does not tell. It scatters the rays around it, which changes the flux, to second order,
    by pi theta_E^4 I / l^2 (1 + ln(h / theta_E)), with l the scale length of the source and h the
    pixel size; and it makes a small second image of the source, theta_E^4 / r^4 of the source's
    flux when that lies r away. Most subhalos are too light, or too far from the arc, to matter.
    """
    num_pix = samples.shape[0] - 2 * BORDER
    scale_length = tracer.r_sersic / tracer.b**tracer.n_sersic
    source_flux = 2.0 * math.pi * scale_length**2 * tracer.amplitude * math.exp(tracer.b)
    area = pixel_scale * pixel_scale
    strong = np.empty(tracer.mass_x.shape[0], dtype=np.int64)
    count = 0
    for k in range(tracer.mass_x.shape[0]):
        column = math.floor(tracer.mass_x[k] / pixel_scale + 0.5 * num_pix) + BORDER
        row = math.floor(tracer.mass_y[k] / pixel_scale + 0.5 * num_pix) + BORDER
        if not (1 <= row < samples.shape[0] - 1 and 1 <= column < samples.shape[1] - 1):
            continue
        local = np.max(samples[row - 1 : row + 2, column - 1 : column + 2])
        theta_squared = tracer.mass_theta_e_squared[k]
        logarithm = max(0.0, 0.5 * math.log(area / theta_squared))
        scattered = math.pi * local / scale_length**2 * (1.0 + logarithm)
        reduced = max(1.0 + math.log(tracer.amplitude / max(local, 1e-300)) / tracer.b, 0.0)
        distance = max(tracer.r_sersic * reduced**tracer.n_sersic, scale_length)
        change = theta_squared**2 * (scattered + source_flux / distance**4)
        if change > tolerance * math.sqrt(background_variance + local * area / exposure_time):
            strong[count] = k
            count += 1
    return strong[:count]


@inlined
def _holds_unresolved_mass(x, y, half, tracer, strong):
    """Whether a strong mass much smaller than the cell lies in or beside it, between its nodes."""
    for k in strong:
        if (
            abs(tracer.mass_x[k] - x) < 1.5 * half
            and abs(tracer.mass_y[k] - y) < 1.5 * half
            and tracer.mass_theta_e_squared[k] < 4.0 * half * half
        ):
            return True
    return False


@inlined
def _crosses_vortex(x, y, half, tracer):
    """Whether the vortex line, across which the image jumps, may run through a cell."""
    length = math.hypot(tracer.vortex_half_x, tracer.vortex_half_y)
    along_x = tracer.vortex_half_x / length
    along_y = tracer.vortex_half_y / length
    dx = x - tracer.vortex_x
    dy = y - tracer.vortex_y
    reach = half * (abs(along_x) + abs(along_y))
    return abs(along_x * dy - along_y * dx) <= reach and (
        abs(along_x * dx + along_y * dy) <= length + reach
    )


@inlined
def _cell_mean(values, first, peak, has_jump):
    """Mean over a cell from its nine nodes, values[first:first + 9], and an estimate of its error.

    Product Gauss-Legendre rule of degree 5; the error is its distance from the rule of degree 3
    on the centre and the corner nodes. That distance can be small by chance where the image has a
    jump, or the source's cusp between the nodes (possible where the brightest node is closer to
    the peak, in log brightness, than the range over the cell): there the error is taken to be at
    least a twentieth of the range, about what a cone of that height leaves.
    """
    corners = values[first + 1] + values[first + 2] + values[first + 3] + values[first + 4]
    edges = values[first + 5] + values[first + 6] + values[first + 7] + values[first + 8]
    mean = (64.0 * values[first] + 40.0 * edges + 25.0 * corners) / 324.0
    error = abs(mean - (4.0 / 9.0) * values[first] - (5.0 / 36.0) * corners)
    brightest = 0.0
    faintest = math.inf
    for node in range(first, first + _NODES):
        brightest = max(brightest, values[node])
        faintest = min(faintest, values[node])
    # log(peak / brightest) < log(brightest / faintest)
    if has_jump or peak * faintest < brightest * brightest:
        error = max(error, 0.05 * (brightest - faintest))
    return mean, error


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
    """Pixel fluxes and, where there are sub-cells, their moments; returns fluxes and evaluations.

    Rough pixels are integrated from their sub-cells on, or as a whole where there are none.
    """
    field = lens_field(tracer, num_pix, pixel_scale, BORDER)
    side = num_pix + 2 * BORDER
    rows, columns = _tile_order(side)
    samples = _centre_samples(tracer, field, rows, columns, side, pixel_scale)
    evaluations = samples.size
    marked = _singular_pixels(tracer, num_pix, pixel_scale)
    strong = _strong_masses(
        tracer, samples, pixel_scale, tolerance, background_variance, exposure_time
    )
    for k in strong:
        _mark_around(marked, tracer.mass_x[k], tracer.mass_y[k], pixel_scale)

    area = pixel_scale * pixel_scale
    fluxes = np.empty((num_pix, num_pix))
    pixel_error = np.empty(num_pix * num_pix)
    has_subcells = moments.shape[1] > 0
    subcells = max(moments.shape[1], 1)
    cell_size = pixel_scale / subcells
    if has_subcells:
        fill_smooth_moments(samples, weights, moments)
    cell_x = np.empty(num_pix * num_pix * subcells * subcells)
    cell_y = np.empty(cell_x.shape[0])
    cell_pixel = np.empty(cell_x.shape[0], dtype=np.int64)
    cells = 0
    roughness = np.empty((num_pix, num_pix))
    for row in range(num_pix):
        for column in range(num_pix):
            mean, size = _smooth_mean(samples, row + BORDER, column + BORDER)
            flux = samples[row + BORDER, column + BORDER] * area
            allowed = tolerance * math.sqrt(background_variance + flux / exposure_time)
            fluxes[row, column] = mean * area
            pixel_error[row * num_pix + column] = allowed
            roughness[row, column] = size * area / allowed
            if roughness[row, column] > VERY_ROUGH:
                _mark_neighbours(marked, row, column)
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
            cell_x[cells] = x + (cell % subcells - 0.5 * (subcells - 1)) * cell_size
            cell_y[cells] = y + (cell // subcells - 0.5 * (subcells - 1)) * cell_size
            cell_pixel[cells] = row * num_pix + column
            cells += 1

    evaluations += _integrate_cells(
        tracer, field, strong, pixel_scale, cell_size, cell_x, cell_y, cell_pixel, cells,
        pixel_error, fluxes, has_subcells, moments,
    )  # fmt: skip
    return fluxes, evaluations


@kernel
def _integrate_cells(
    tracer, field, strong, pixel_scale, cell_size, pixel_x, pixel_y, pixels, count,
    pixel_error, fluxes, has_subcells, moments,
):  # fmt: skip
    """Integrates pixels cell by cell, cutting each cell in four until it is resolved.

    Cells wait on a stack, and the topmost are traced together; those of one pixel lie side by
    side, so a batch falls into few tiles.

    Args:
        tracer, field, strong: as elsewhere in this module.
        pixel_scale: arcsec.
        cell_size: of the cells to begin with, pixels or sub-cells, arcsec.
        pixel_x, pixel_y, pixels: centres of these cells and flat indices of their pixels, of which
            the first `count` are valid.
        pixel_error: error allowed in each pixel, e-/s, flat.
        fluxes: the image that receives the fluxes, e-/s.
        has_subcells, moments: whether to add the light to the moments of sub-cells, and these.

    Returns:
        How many rays were traced.
    """
    batch = BLOCK // _NODES
    capacity = count + 4 * batch * (MAXIMUM_DEPTH + 1)
    cell_x = np.empty(capacity)
    cell_y = np.empty(capacity)
    cell_half = np.empty(capacity)
    cell_pixel = np.empty(capacity, dtype=np.int64)
    cell_x[:count] = pixel_x[:count]
    cell_y[:count] = pixel_y[:count]
    cell_half[:count] = 0.5 * cell_size
    cell_pixel[:count] = pixels[:count]
    smallest = 0.5 * pixel_scale / 2.0**MAXIMUM_DEPTH
    flat = fluxes.reshape(fluxes.size)
    peak = tracer.amplitude * math.exp(tracer.b)
    x = np.empty(batch * _NODES)
    y = np.empty(batch * _NODES)
    values = np.empty(batch * _NODES)
    taken_x = np.empty(batch)
    taken_y = np.empty(batch)
    taken_half = np.empty(batch)
    taken_pixel = np.empty(batch, dtype=np.int64)
    evaluations = 0
    while count > 0:
        taken = min(batch, count)
        count -= taken
        for cell in range(taken):
            taken_x[cell] = cell_x[count + cell]
            taken_y[cell] = cell_y[count + cell]
            taken_half[cell] = cell_half[count + cell]
            taken_pixel[cell] = cell_pixel[count + cell]
            for node in range(_NODES):
                x[cell * _NODES + node] = taken_x[cell] + taken_half[cell] * _NODE_X[node]
                y[cell * _NODES + node] = taken_y[cell] + taken_half[cell] * _NODE_Y[node]
        nodes = taken * _NODES
        surface_brightness(x[:nodes], y[:nodes], tracer, field, values)
        evaluations += nodes
        for cell in range(taken):
            half = taken_half[cell]
            cell_area = 4.0 * half * half
            has_jump = tracer.vortex_theta_e > 0.0 and _crosses_vortex(
                taken_x[cell], taken_y[cell], half, tracer
            )
            mean, error = _cell_mean(values, cell * _NODES, peak, has_jump)
            resolved = error * cell_area <= pixel_error[taken_pixel[cell]] and not (
                _holds_unresolved_mass(taken_x[cell], taken_y[cell], half, tracer, strong)
            )
            if resolved or half <= smallest:
                flat[taken_pixel[cell]] += mean * cell_area
                if has_subcells:
                    add_weighted_nodes(
                        moments, pixel_scale, taken_pixel[cell], taken_x[cell], taken_y[cell],
                        x, y, values, cell_area, cell * _NODES,
                    )  # fmt: skip
                continue
            for quarter in range(4):
                cell_x[count] = taken_x[cell] + (0.5 if quarter & 1 else -0.5) * half
                cell_y[count] = taken_y[cell] + (0.5 if quarter & 2 else -0.5) * half
                cell_half[count] = 0.5 * half
                cell_pixel[count] = taken_pixel[cell]
                count += 1
    return evaluations
