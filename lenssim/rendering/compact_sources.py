"""Light that samples of a pixel can miss: compact sources and cusps.

A small source, or the cusp of a Sersic profile with n > 1, can fall between the samples of a
pixel, or between the nodes of a cell, which then look smooth and dark. So the brightness that may
hide in a region is bounded: the lens maps the samples to the source plane, and no position between
them is taken to lie further from the middle one than `REACH` times the outermost. The elliptical
radius is a norm, so that the least radius in the region is the middle one's less that extent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lenssim.compilation import inlined, kernel
from lenssim.rendering import source
from lenssim.rendering.ray_tracing import relative_brightness
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

CELL_CONTRAST = 4.0
"""The same for a cell and its brightest node: the Gauss rule's own estimate takes over there."""


@kernel
def may_hide_light(tracer, pixel_scale):
    """Whether samples at pixel centres, and their differences, can miss light.

    They cannot for an exponential source that falls slowly over a pixel and lies where no image
    of it is squeezed: an isothermal lens shrinks the inner image of a source further out than half
    its Einstein radius. For n > 1 the cusp can hide; for n < 0.5, where the profile falls faster
    than a Gaussian, the images beside point masses can, because all is dark around them.

    Args:
        tracer: a `RayTracer`.
        pixel_scale: arcsec.
    """
    half_diagonal = pixel_scale * math.sqrt(0.5)
    drop = tracer.b * (half_diagonal / tracer.r_sersic) ** (1.0 / tracer.n_sersic)
    offset = math.hypot(tracer.source_x - tracer.lens_x, tracer.source_y - tracer.lens_y)
    return (
        not 0.5 <= tracer.n_sersic <= 1.0
        or drop > WELL_SAMPLED_DROP
        or offset > 0.5 * tracer.theta_e
        or tracer.light_amplitude > 0.0
    )


class _Profile(NamedTuple):
    """A Sersic ellipse: centre and half-light radius in arcsec, amplitude in e-/s/arcsec^2."""

    x: float
    y: float
    e1: float
    e2: float
    amplitude: float
    r_sersic: float
    n_sersic: float
    b: float


@inlined
def _source(tracer):
    """The source, in the source plane."""
    return _Profile(
        tracer.source_x,
        tracer.source_y,
        tracer.source_e1,
        tracer.source_e2,
        tracer.amplitude,
        tracer.r_sersic,
        tracer.n_sersic,
        tracer.b,
    )


@inlined
def _lens_light(tracer):
    """The light of the lens, in the image plane."""
    return _Profile(
        tracer.lens_x,
        tracer.lens_y,
        tracer.light_e1,
        tracer.light_e2,
        tracer.light_amplitude,
        tracer.light_r_sersic,
        tracer.light_n_sersic,
        tracer.light_b,
    )


@inlined
def _brightness(radius, profile):
    """Surface brightness at an elliptical radius; at the centre where that is below zero or NaN."""
    exponent = source.sersic_exponent(
        max(radius, source.MINIMUM_RADIUS) if radius > 0.0 else source.MINIMUM_RADIUS,
        profile.r_sersic,
        profile.n_sersic,
        profile.b,
    )
    return profile.amplitude * math.exp(exponent)


@inlined
def _squared_length(x, y, profile):
    """Squared elliptical length of a vector in a profile's plane, arcsec^2."""
    return source.squared_elliptical_length(x, y, profile.e1, profile.e2)


@inlined
def _larger(first, second):
    """The larger of two numbers; the second where that is NaN."""
    return first if second <= first else second


@inlined
def _hidden_brightness(profile, x, y, first, nodes, jump):
    """Error of a cell's mean brightness that its nodes may not tell.

    Args:
        profile: a `_Profile`.
        x, y: positions of nodes in the plane of the profile, arcsec.
        first, nodes: index of the cell's first node, the middle one, and how many it has.
        jump: distance by which positions may jump within the cell, arcsec.

    Returns:
        e-/s/arcsec^2.
    """
    middle = _squared_length(x[first] - profile.x, y[first] - profile.y, profile)
    extent = 0.0
    closest = middle
    furthest = middle
    for node in range(first + 1, first + nodes):
        extent = _larger(extent, _squared_length(x[node] - x[first], y[node] - y[first], profile))
        distance = _squared_length(x[node] - profile.x, y[node] - profile.y, profile)
        closest = min(closest, distance)
        furthest = max(furthest, distance)
    nearest = math.sqrt(middle) - REACH * math.sqrt(extent) - jump
    bound = _brightness(nearest, profile)
    brightest = _brightness(math.sqrt(closest), profile)
    if bound > CELL_CONTRAST * brightest:
        return bound - brightest
    if not nearest > 0.0:
        return CUSP_ERROR * (bound - _brightness(math.sqrt(furthest), profile))
    return 0.0


@kernel
def hidden_flux(tracer, strong, x, y, half, has_jump, node_x, node_y, beta_x, beta_y, first, nodes):
    """Error of a cell's flux that its Gauss nodes may not tell.

    Args:
        tracer: a `RayTracer`.
        strong: indices of the point masses that matter, from `strong_masses`.
        x, y, half: the cell's centre and half its width, arcsec.
        has_jump: whether the vortex line may cross the cell.
        node_x, node_y: image-plane positions of nodes, arcsec.
        beta_x, beta_y: source-plane positions of the same, arcsec.
        first, nodes: index of the cell's first node, the middle one, and how many it has.

    Returns:
        e-/s.
    """
    profile = _source(tracer)
    jump = 0.0
    if has_jump:
        jump_x, jump_y = vortex_jump(tracer)
        jump = math.sqrt(_squared_length(jump_x, jump_y, profile))
    error = _hidden_brightness(profile, beta_x, beta_y, first, nodes, jump)
    if tracer.light_amplitude > 0.0:
        error += _hidden_brightness(_lens_light(tracer), node_x, node_y, first, nodes, 0.0)
    area = 4.0 * half * half
    around_masses = light_around_masses(x, y, half, tracer, strong)
    return max(error * area, min(around_masses, _brightness(0.0, profile) * area))


@kernel
def mark_hidden_light(marked, tracer, beta_x, beta_y, area, allowed):
    """Marks pixels that may hold more light of the source than their samples tell.

    Args:
        marked: shape (num_pix, num_pix), changed.
        tracer: a `RayTracer`.
        beta_x, beta_y: source-plane positions of the pixel centres, arcsec, with a border around,
            shape (side, side).
        area: of a pixel, arcsec^2.
        allowed: error allowed in each pixel, e-/s, flat.
    """
    profile = _source(tracer)
    num_pix = marked.shape[0]
    border = (beta_x.shape[0] - num_pix) // 2
    radius = np.empty(num_pix)
    nearest = np.empty(num_pix)
    brightness = np.empty(num_pix)
    bound = np.empty(num_pix)
    bits = np.empty(num_pix, dtype=np.int64)
    for row in range(num_pix):
        i = row + border
        for column in range(num_pix):
            j = column + border
            x, y = beta_x[i, j], beta_y[i, j]
            along_x = 0.0
            along_y = 0.0
            for step in (-1, 1):
                along_x = _larger(
                    along_x,
                    _squared_length(beta_x[i, j + step] - x, beta_y[i, j + step] - y, profile),
                )
                along_y = _larger(
                    along_y,
                    _squared_length(beta_x[i + step, j] - x, beta_y[i + step, j] - y, profile),
                )
            # the pixel's sides are half-way to the neighbours
            extent = 0.5 * REACH * (math.sqrt(along_x) + math.sqrt(along_y))
            radius[column] = math.sqrt(_squared_length(x - profile.x, y - profile.y, profile))
            nearest[column] = _larger(0.0, radius[column] - extent)
        relative_brightness(radius, profile.r_sersic, profile.n_sersic, profile.b, bits, brightness)
        relative_brightness(nearest, profile.r_sersic, profile.n_sersic, profile.b, bits, bound)
        for column in range(num_pix):
            if (
                profile.amplitude * bound[column] * area > allowed[row * num_pix + column]
                and bound[column] > PIXEL_CONTRAST * brightness[column]
            ):
                marked[row, column] = True
