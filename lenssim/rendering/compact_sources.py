"""Light that samples of a pixel can miss: compact and cusped sources.

A small source, or the cusp of a Sersic profile with n > 1, can fall between the samples of a
pixel, or between the nodes of a cell, which then look smooth and dark. So the brightness that may
hide in a region is bounded: the lens maps the samples to the source plane, and no position between
them is taken to lie further from the middle one than `REACH` times the outermost. The elliptical
radius is a norm, so that the least radius in the region is the middle one's less that extent.
"""

from __future__ import annotations

import math

from lenssim.compilation import inlined, kernel
from lenssim.rendering import source
from lenssim.rendering.singularities import light_around_masses, vortex_jump

WELL_SAMPLED_DROP = 0.6
"""Fall of log brightness from the source's centre over half a pixel's diagonal, up to which its
samples and their differences tell all; 0.48 and 0.38 for B and A, where nothing is missed."""

REACH = 1.6
"""Extent of a cell's image in units of that of its Gauss nodes: 1.29 where the lens is linear, 1.58
at a distance of two half-widths from a point mass."""

FINEST = 0.25 * source.MINIMUM_RADIUS
"""Half-width in arcsec of the smallest cell, which resolves the flat centre of the profile."""

CUSP_ERROR = 0.05
"""Error of the Gauss rule in a cell that holds a cusp, in units of the range of brightness."""

PIXEL_CONTRAST = 2.0
"""Brightness that may hide in a pixel, over its sample, up to which differences are believed."""

CELL_CONTRAST = 8.0
"""The same for a cell and its brightest node: the Gauss rule's own estimate takes over there."""


@kernel
def may_hide_light(tracer, pixel_scale):
    """Whether samples at pixel centres, and their differences, can miss light of the source.

    They cannot where the profile has no sharper cusp than an exponential's, falls slowly over a
    pixel, and the source lies where no image of it is squeezed: an isothermal lens shrinks the
    inner image of a source further out than half its Einstein radius.

    Args:
        tracer: a `RayTracer`.
        pixel_scale: arcsec.
    """
    half_diagonal = pixel_scale * math.sqrt(0.5)
    drop = tracer.b * (half_diagonal / tracer.r_sersic) ** (1.0 / tracer.n_sersic)
    offset = math.hypot(tracer.source_x, tracer.source_y)
    return tracer.n_sersic > 1.0 or drop > WELL_SAMPLED_DROP or offset > 0.5 * tracer.theta_e


@inlined
def _brightness(radius, tracer):
    """Surface brightness at an elliptical radius; at the centre where that is below zero or NaN."""
    exponent = source.sersic_exponent(
        max(radius, source.MINIMUM_RADIUS) if radius > 0.0 else source.MINIMUM_RADIUS,
        tracer.r_sersic,
        tracer.n_sersic,
        tracer.b,
    )
    return tracer.amplitude * math.exp(exponent)


@inlined
def _squared_length(x, y, tracer):
    """Squared elliptical length of a vector in the source plane, arcsec^2."""
    return source.squared_elliptical_length(x, y, tracer.source_e1, tracer.source_e2)


@inlined
def _larger(first, second):
    """The larger of two numbers; the second where that is NaN."""
    return first if second <= first else second


@kernel
def hidden_flux(tracer, strong, x, y, half, has_jump, beta_x, beta_y, values, first, nodes):
    """Error of a cell's flux that its Gauss nodes may not tell.

    Args:
        tracer: a `RayTracer`.
        strong: indices of the point masses that matter, from `strong_masses`.
        x, y, half: the cell's centre and half its width, arcsec.
        has_jump: whether the vortex line may cross the cell.
        beta_x, beta_y: source-plane positions of nodes, arcsec.
        values: surface brightness at the nodes, e-/s/arcsec^2.
        first, nodes: index of the cell's first node, the middle one, and how many it has.

    Returns:
        e-/s.
    """
    extent = 0.0
    middle_x = beta_x[first]
    middle_y = beta_y[first]
    brightest = values[first]
    faintest = values[first]
    for node in range(first + 1, first + nodes):
        extent = _larger(
            extent, _squared_length(beta_x[node] - middle_x, beta_y[node] - middle_y, tracer)
        )
        brightest = max(brightest, values[node])
        faintest = min(faintest, values[node])
    distance = _squared_length(middle_x - tracer.source_x, middle_y - tracer.source_y, tracer)
    nearest = math.sqrt(distance) - REACH * math.sqrt(extent)
    if has_jump:
        jump_x, jump_y = vortex_jump(tracer)
        nearest -= math.sqrt(_squared_length(jump_x, jump_y, tracer))
    bound = _brightness(nearest, tracer)
    error = 0.0
    if bound > CELL_CONTRAST * brightest:
        error = bound - brightest
    elif not nearest > 0.0:
        error = CUSP_ERROR * (bound - faintest)
    area = 4.0 * half * half
    around_masses = light_around_masses(x, y, half, tracer, strong)
    return max(error * area, min(around_masses, _brightness(0.0, tracer) * area))


@kernel
def mark_hidden_light(marked, tracer, samples, beta_x, beta_y, area, allowed):
    """Marks pixels that may hold more light than their sample tells.

    Args:
        marked: shape (num_pix, num_pix), changed.
        tracer: a `RayTracer`.
        samples: surface brightness at pixel centres, with a border around, shape (side, side).
        beta_x, beta_y: source-plane positions of the same, arcsec.
        area: of a pixel, arcsec^2.
        allowed: error allowed in each pixel, e-/s, flat.
    """
    num_pix = marked.shape[0]
    border = (samples.shape[0] - num_pix) // 2
    for row in range(num_pix):
        for column in range(num_pix):
            i, j = row + border, column + border
            x, y = beta_x[i, j], beta_y[i, j]
            along_x = 0.0
            along_y = 0.0
            for step in (-1, 1):
                along_x = _larger(
                    along_x,
                    _squared_length(beta_x[i, j + step] - x, beta_y[i, j + step] - y, tracer),
                )
                along_y = _larger(
                    along_y,
                    _squared_length(beta_x[i + step, j] - x, beta_y[i + step, j] - y, tracer),
                )
            # the pixel's sides are half-way to the neighbours
            extent = 0.5 * REACH * (math.sqrt(along_x) + math.sqrt(along_y))
            distance = _squared_length(x - tracer.source_x, y - tracer.source_y, tracer)
            bound = _brightness(math.sqrt(distance) - extent, tracer)
            if bound * area > allowed[row * num_pix + column] and (
                bound > PIXEL_CONTRAST * samples[i, j]
            ):
                marked[row, column] = True
