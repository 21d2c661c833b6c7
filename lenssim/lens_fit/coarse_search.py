"""Where a fit may start: a coarse search of an image for a round lens and a round source.

Nothing but the image is used. A singular isothermal sphere in the middle of the image is tried on
a grid of Einstein radius, source position and source size, on pixels of `BINNED` times the size;
the flux is solved for. The source is (1 + (r / a)^2)^-3: without a cusp, one ray a pixel will do.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import kernel

FloatArray = NDArray[np.float64]

BINNED = 2
"""Pixels along each side of those that the search works on."""

EINSTEIN_RADII = np.geomspace(0.12, 0.75, 10)
"""Einstein radii that are tried, in units of half of the image's side."""

SOURCE_OFFSETS = 4
"""Source positions between the centre and `FARTHEST`, along an axis."""

FARTHEST = 1.1
"""Distance of the source from the centre, in Einstein radii, up to which it is tried."""

QUADRUPOLE = 0.12
"""External shear that the best trials are tried with; it stands for ellipticity, too."""

DIRECTIONS = 8
"""Directions of it."""

REFINED = 40
"""Trials that are tried with a quadrupole."""

SOURCE_SIZES = np.array([0.12, 0.4])
"""Half-light radii of the source that are tried, in Einstein radii."""

RELATIVE_ERROR = 0.1
"""Error of the model's flux in a pixel, added to its noise: it is coarse."""


HALF_LIGHT = math.sqrt(2.0) - 1.0
"""(r / a)^2 at the half-light radius of the source."""


class Start(NamedTuple):
    """A lens and a round source: lengths in arcsec, the total flux of the source in e-/s."""

    theta_e: float
    shear_1: float
    shear_2: float
    source_x: float
    source_y: float
    r_sersic: float
    flux: float


def coarse_starts(
    image: FloatArray, background_variance: float, pixel_scale: float, count: int
) -> list[Start]:
    """The starts that fit best, of different Einstein radii or source positions.

    Args:
        image: e-/s, shape (y, x).
        background_variance: of a pixel, (e-/s)^2.
        pixel_scale: arcsec.
        count: starts, at most.

    Returns:
        The best first.
    """
    side = len(image) // BINNED
    binned = image[: side * BINNED, : side * BINNED]
    binned = binned.reshape(side, BINNED, side, BINNED).sum(axis=(1, 3))
    size = BINNED * pixel_scale
    variance = BINNED**2 * background_variance + (RELATIVE_ERROR * binned) ** 2
    trials = _trials(0.5 * side * size)
    costs, fluxes = _search(binned, 1.0 / variance, size, trials)
    with_quadrupole = _with_quadrupole(trials[np.argsort(costs, kind="stable")[:REFINED]])
    more_costs, more_fluxes = _search(binned, 1.0 / variance, size, with_quadrupole)
    trials = np.concatenate([trials, with_quadrupole])
    costs, fluxes = np.concatenate([costs, more_costs]), np.concatenate([fluxes, more_fluxes])
    starts: list[Start] = []
    for index in np.argsort(costs, kind="stable"):
        start = Start(*[*trials[index].tolist(), float(fluxes[index])])
        if start.flux > 0.0 and not any(_is_near(start, other) for other in starts):
            starts.append(start)
            if len(starts) == count:
                break
    return starts


def _trials(half_side: float) -> FloatArray:
    """Parameters of all trials, sorted by Einstein radius, shape (n, 6): those of `Start`."""
    steps = np.arange(-SOURCE_OFFSETS, SOURCE_OFFSETS + 1) / SOURCE_OFFSETS * FARTHEST
    x, y = np.meshgrid(steps, steps)
    inside = np.hypot(x, y) <= FARTHEST * 1.001
    x, y = x[inside], y[inside]
    return np.array(
        [
            (theta_e, 0.0, 0.0, theta_e * x[k], theta_e * y[k], theta_e * size)
            for theta_e in EINSTEIN_RADII * half_side
            for k in range(len(x))
            for size in SOURCE_SIZES
        ]
    )


def _with_quadrupole(trials: FloatArray) -> FloatArray:
    """Each trial with the shear `QUADRUPOLE` in all directions."""
    result = np.repeat(trials, DIRECTIONS, axis=0)
    angles = 2.0 * math.pi / DIRECTIONS * np.tile(np.arange(DIRECTIONS), len(trials))
    result[:, 1], result[:, 2] = QUADRUPOLE * np.cos(angles), QUADRUPOLE * np.sin(angles)
    return result


def _is_near(start: Start, other: Start) -> bool:
    """Whether two starts lead to the same fit as a rule: they are neighbours in the grid."""
    step = 1.5 * FARTHEST / SOURCE_OFFSETS * other.theta_e
    apart = math.hypot(start.source_x - other.source_x, start.source_y - other.source_y)
    turned = math.hypot(start.shear_1 - other.shear_1, start.shear_2 - other.shear_2)
    is_same_size = abs(math.log(start.theta_e / other.theta_e)) < 0.25
    return is_same_size and apart < step and turned < 1.1 * QUADRUPOLE


@kernel
def _search(image, weight, pixel_scale, trials):
    """Costs of trials, and the flux that fits best.

    Args:
        image: e-/s, shape (n, n).
        weight: inverse variance, same shape.
        pixel_scale: arcsec.
        trials: see `_trials`, shape (m, 6).

    Returns:
        costs: half of chi-square, less that of the image itself, shape (m,).
        fluxes: total fluxes, e-/s, shape (m,).
    """
    costs, fluxes = np.empty(trials.shape[0]), np.empty(trials.shape[0])
    side = image.shape[0]
    rays_x, rays_y = np.empty(side * side), np.empty(side * side)
    brightness = np.empty(side * side)
    light, weights = image.reshape(side * side), weight.reshape(side * side)
    theta_e, shear_1, shear_2 = 0.0, 0.0, 0.0
    for trial in range(trials.shape[0]):
        lens = trials[trial, :3]
        if lens[0] != theta_e or lens[1] != shear_1 or lens[2] != shear_2:
            theta_e, shear_1, shear_2 = lens[0], lens[1], lens[2]
            for i in range(side * side):
                x = (i % side - 0.5 * (side - 1)) * pixel_scale
                y = (i // side - 0.5 * (side - 1)) * pixel_scale
                shrunk = 1.0 - theta_e / max(math.sqrt(x * x + y * y), 1e-9)
                rays_x[i] = (shrunk - shear_1) * x - shear_2 * y
                rays_y[i] = (shrunk + shear_1) * y - shear_2 * x
        source_x, source_y, radius = trials[trial, 3], trials[trial, 4], trials[trial, 5]
        per_squared = HALF_LIGHT / (radius * radius)
        for i in range(side * side):
            dx, dy = rays_x[i] - source_x, rays_y[i] - source_y
            falls = 1.0 / (1.0 + per_squared * (dx * dx + dy * dy))
            brightness[i] = falls * falls * falls
        both, model = 0.0, 0.0
        for i in range(side * side):
            weighted = weights[i] * brightness[i]
            both += weighted * light[i]
            model += weighted * brightness[i]
        amplitude = max(both, 0.0) / max(model, 1e-300)
        costs[trial] = -0.5 * amplitude * both
        fluxes[trial] = amplitude * 0.5 * math.pi / per_squared / (pixel_scale * pixel_scale)
    return costs, fluxes
