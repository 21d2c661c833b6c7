"""Integration over cells of pixels, each cut in four until it is resolved."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel
from lenssim.rendering.compact_sources import FINEST, hidden_flux
from lenssim.rendering.ray_tracing import BLOCK, surface_brightness
from lenssim.rendering.singularities import crosses_vortex, holds_unresolved_mass
from lenssim.rendering.subcell_moments import add_weighted_nodes

FloatArray = NDArray[np.float64]

MAX_DEPTH = 12
"""Halvings of a pixel after which a cell is accepted as it is (a 4096th of a pixel)."""

_GAUSS_NODE = math.sqrt(0.6)
_NODE_X = np.array([0.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 0.0, 0.0]) * _GAUSS_NODE
_NODE_Y = np.array([0.0, -1.0, -1.0, 1.0, 1.0, 0.0, 0.0, -1.0, 1.0]) * _GAUSS_NODE
_NODES = 9


class Cells(NamedTuple):
    """Square cells of pixels, as arrays of one length: centre and half-width in arcsec, pixel."""

    x: FloatArray
    y: FloatArray
    half: FloatArray
    pixel: NDArray[np.int64]


@inlined
def room_for_cells(count):
    """Cells that are not filled in."""
    return Cells(np.empty(count), np.empty(count), np.empty(count), np.empty(count, dtype=np.int64))


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


@inlined
def _take(stack, start, cells, count, x, y):
    """Copies cells from `start` of a stack to the first `count`, and their nodes to (x, y)."""
    for cell in range(count):
        cells.x[cell] = stack.x[start + cell]
        cells.y[cell] = stack.y[start + cell]
        cells.half[cell] = stack.half[start + cell]
        cells.pixel[cell] = stack.pixel[start + cell]
        for node in range(_NODES):
            x[cell * _NODES + node] = cells.x[cell] + cells.half[cell] * _NODE_X[node]
            y[cell * _NODES + node] = cells.y[cell] + cells.half[cell] * _NODE_Y[node]


@kernel
def integrate_cells(
    tracer, field, strong, is_compact, pixel_scale, given, count,
    tolerance, background_variance, exposure_time, pixel_error, fluxes, moments,
):  # fmt: skip
    """Integrates pixels cell by cell, cutting each cell in four until it is resolved.

    Cells wait on a stack, and the topmost are traced together; those of one pixel lie side by
    side, so a batch falls into few tiles.

    Args:
        tracer, field, strong: as elsewhere in this module.
        is_compact: whether light may hide between the nodes of a cell.
        pixel_scale: arcsec.
        given: `Cells` to begin with, pixels or sub-cells, of which the first `count` are valid.
        tolerance, background_variance, exposure_time: as in `quadrature.adaptive_pixel_fluxes`.
        pixel_error: error allowed in each pixel, e-/s, flat; where the source is compact, it
            rises with the flux that has been found.
        fluxes: flux of each pixel, e-/s, flat, that the cells are added to.
        moments: moments of sub-cells, shape (6, s, s, n, n), that the light is added to; s = 0
            if there are none.

    Returns:
        How many rays were traced.
    """
    batch = BLOCK // _NODES
    smallest = 0.5 * pixel_scale / 2.0**MAX_DEPTH
    if is_compact:
        smallest = min(smallest, FINEST)
    capacity = count + 4 * batch * (math.ceil(math.log2(0.5 * pixel_scale / smallest)) + 1)
    stack = room_for_cells(capacity)
    stack.x[:count] = given.x[:count]
    stack.y[:count] = given.y[:count]
    stack.half[:count] = given.half[:count]
    stack.pixel[:count] = given.pixel[:count]
    peak = tracer.amplitude * math.exp(tracer.b)
    nodes = np.empty((5, batch * _NODES))
    x, y, beta_x, beta_y, values = nodes[0], nodes[1], nodes[2], nodes[3], nodes[4]
    cells = room_for_cells(batch)
    evaluations = 0
    while count > 0:
        taken = min(batch, count)
        count -= taken
        _take(stack, count, cells, taken, x, y)
        end = taken * _NODES
        surface_brightness(x[:end], y[:end], tracer, field, beta_x, beta_y, values)
        evaluations += end
        for cell in range(taken):
            centre_x, centre_y, half = cells.x[cell], cells.y[cell], cells.half[cell]
            pixel = cells.pixel[cell]
            cell_area = 4.0 * half * half
            has_jump = tracer.vortex_theta_e > 0.0 and crosses_vortex(
                centre_x, centre_y, half, tracer
            )
            mean, error = _cell_mean(values, cell * _NODES, peak, has_jump)
            allowed = pixel_error[pixel]
            if is_compact:  # an arc may lie in as many such cells as cross the pixel
                allowed *= math.sqrt(2.0 * half / pixel_scale)
            resolved = error * cell_area <= allowed and not holds_unresolved_mass(
                centre_x, centre_y, half, tracer, strong
            )
            if is_compact and resolved:
                hidden = hidden_flux(
                    tracer, strong, centre_x, centre_y, half, has_jump,
                    x, y, beta_x, beta_y, cell * _NODES, _NODES,
                )  # fmt: skip
                resolved = hidden <= allowed
            if resolved or half <= smallest:
                fluxes[pixel] += mean * cell_area
                if moments.shape[1] > 0:
                    add_weighted_nodes(
                        moments, pixel_scale, pixel, centre_x, centre_y,
                        x, y, values, cell_area, cell * _NODES,
                    )  # fmt: skip
                if is_compact:
                    variance = background_variance + max(fluxes[pixel], 0.0) / exposure_time
                    pixel_error[pixel] = max(pixel_error[pixel], tolerance * math.sqrt(variance))
                continue
            for quarter in range(4):
                stack.x[count] = centre_x + (0.5 if quarter & 1 else -0.5) * half
                stack.y[count] = centre_y + (0.5 if quarter & 2 else -0.5) * half
                stack.half[count] = 0.5 * half
                stack.pixel[count] = pixel
                count += 1
    return evaluations
