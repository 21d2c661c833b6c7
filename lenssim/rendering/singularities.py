"""Where the image is rough whatever its samples say: lens centre, vortex line and point masses."""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined, kernel
from lenssim.rendering import source


@kernel
def mark_around(marked, x, y, pixel_scale):
    """Marks the pixel that holds a position, and its neighbours.

    Args:
        marked: shape (num_pix, num_pix), changed.
        x, y: position, arcsec; it may be outside the image.
        pixel_scale: arcsec.
    """
    num_pix = marked.shape[0]
    column = math.floor(x / pixel_scale + 0.5 * num_pix)
    row = math.floor(y / pixel_scale + 0.5 * num_pix)
    mark_neighbours(marked, row, column)


@inlined
def mark_neighbours(marked, row, column):
    """Marks a pixel and the eight around it.

    Args:
        marked: shape (num_pix, num_pix), changed.
        row, column: of the pixel, which may be outside the image.
    """
    num_pix = marked.shape[0]
    for i in range(max(row - 1, 0), min(row + 2, num_pix)):
        for j in range(max(column - 1, 0), min(column + 2, num_pix)):
            marked[i, j] = True


@kernel
def singular_pixels(tracer, num_pix, pixel_scale):
    """Pixels that hold the lens centre or a piece of the vortex.

    Args:
        tracer: a `RayTracer`.
        num_pix: pixels on a side.
        pixel_scale: arcsec.

    Returns:
        shape (num_pix, num_pix), True in these pixels and their neighbours.
    """
    marked = np.zeros((num_pix, num_pix), dtype=np.bool_)
    mark_around(marked, tracer.lens_x, tracer.lens_y, pixel_scale)
    if tracer.vortex_theta_e > 0.0:
        half = math.hypot(tracer.vortex_half_x, tracer.vortex_half_y)
        # beyond the image there is nothing to mark, however long the line
        distance = math.hypot(tracer.vortex_x, tracer.vortex_y)
        reach = min(1.0, (distance + 2.0 * num_pix * pixel_scale) / half)
        steps = int(2.0 * half * reach / (0.5 * pixel_scale)) + 1
        for step in range(steps + 1):
            t = reach * (2.0 * step / steps - 1.0)
            mark_around(
                marked,
                tracer.vortex_x + t * tracer.vortex_half_x,
                tracer.vortex_y + t * tracer.vortex_half_y,
                pixel_scale,
            )
    return marked


@kernel
def strong_masses(
    tracer, samples, num_pix, pixel_scale, tolerance, background_variance, exposure_time
):
    """Indices of the point masses whose small-scale effect on their pixel exceeds the tolerance.

    A mass at a place of surface brightness I does two things that its deflection at the pixel
    centres does not tell. It scatters the rays around it, which changes the flux, to second order,
    by pi theta_E^4 I / l^2 (1 + ln(h / theta_E)), with l the scale length of the source and h the
    pixel size; and it makes a small second image of the source, theta_E^4 / r^4 of the source's
    flux when that lies r away. Most subhalos are too light, or too far from the arc, to matter.

    Args:
        tracer: a `RayTracer`.
        samples: surface brightness at the pixel centres, with a border, e-/s/arcsec^2,
            shape (side, side).
        num_pix: pixels on a side, without the border.
        pixel_scale: arcsec.
        tolerance: error allowed in a pixel, in units of its noise.
        background_variance, exposure_time: see `PixelNoise`.

    Returns:
        shape (k,).
    """
    border = (samples.shape[0] - num_pix) // 2
    source_flux = source.sersic_flux(tracer.amplitude, tracer.r_sersic, tracer.n_sersic, tracer.b)
    least = (source.MINIMUM_RADIUS / tracer.r_sersic) ** (1.0 / tracer.n_sersic)
    area = pixel_scale * pixel_scale
    strong = np.empty(tracer.mass_x.shape[0], dtype=np.int64)
    count = 0
    for k in range(tracer.mass_x.shape[0]):
        column = math.floor(tracer.mass_x[k] / pixel_scale + 0.5 * num_pix) + border
        row = math.floor(tracer.mass_y[k] / pixel_scale + 0.5 * num_pix) + border
        if not (1 <= row < samples.shape[0] - 1 and 1 <= column < samples.shape[1] - 1):
            continue
        local = max(np.max(samples[row - 1 : row + 2, column - 1 : column + 2]), 0.0)
        theta_squared = tracer.mass_theta_e_squared[k]
        logarithm = max(0.0, 0.5 * math.log(area / theta_squared))
        reduced = max(1.0 + math.log(tracer.amplitude / max(local, 1e-300)) / tracer.b, least)
        scale_length = source.sersic_scale_length(
            reduced, tracer.r_sersic, tracer.n_sersic, tracer.b
        )
        scattered = math.pi * local / scale_length**2 * (1.0 + logarithm)
        distance = max(tracer.r_sersic * reduced**tracer.n_sersic, scale_length)
        change = theta_squared**2 * (scattered + source_flux / distance**4)
        if change > tolerance * math.sqrt(background_variance + local * area / exposure_time):
            strong[count] = k
            count += 1
    return strong[:count]


@inlined
def holds_unresolved_mass(x, y, half, tracer, strong):
    """Whether a strong mass much smaller than the cell lies in or beside it, between its nodes.

    Args:
        x, y: centre of the cell, arcsec.
        half: half of its side, arcsec.
        tracer: a `RayTracer`.
        strong: `strong_masses`.
    """
    for k in strong:
        if (
            abs(tracer.mass_x[k] - x) < 1.5 * half
            and abs(tracer.mass_y[k] - y) < 1.5 * half
            and tracer.mass_theta_e_squared[k] < 4.0 * half * half
        ):
            return True
    return False


@inlined
def crosses_vortex(x, y, half, tracer):
    """Whether the vortex line, across which the image jumps, may run through a cell.

    Args:
        x, y: centre of the cell, arcsec.
        half: half of its side, arcsec.
        tracer: a `RayTracer` with a vortex.
    """
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
def light_around_masses(x, y, half, tracer, strong):
    """Flux that may hide in a cell beside strong masses, whose deflection varies without bound.

    Within a distance d of a mass lies at most (d / theta_E)^4 of the source's flux, where d is
    less than half of theta_E: rays that pass so near come from further off than theta_E^2 / d.

    Args:
        x, y, half, tracer, strong: as of `holds_unresolved_mass`.

    Returns:
        e-/s; infinite if a mass is too near for the formula.
    """
    flux = 0.0
    for k in strong:
        dx = abs(tracer.mass_x[k] - x)
        dy = abs(tracer.mass_y[k] - y)
        if dx < 2.0 * half and dy < 2.0 * half:
            ratio = ((dx + half) ** 2 + (dy + half) ** 2) / tracer.mass_theta_e_squared[k]
            if ratio > 0.25:
                return math.inf
            flux += ratio**2 * source.sersic_flux(
                tracer.amplitude, tracer.r_sersic, tracer.n_sersic, tracer.b
            )
    return flux


@inlined
def vortex_jump(tracer):
    """The vector by which source-plane positions jump across the vortex line, arcsec."""
    half_squared = tracer.vortex_half_x**2 + tracer.vortex_half_y**2
    scale = math.pi * tracer.vortex_theta_e**2 / half_squared
    return -scale * tracer.vortex_half_y, scale * tracer.vortex_half_x
