"""Where the light of the lens may start from in a fit: a round galaxy behind whatever arcs.

Arcs cover a part of each annulus about the lens galaxy, and the galaxy all of it: a low percentile
of the annuli is the galaxy's. Round Sersic profiles of some sizes and indices are compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import ndtri

FloatArray = NDArray[np.float64]

R_SERSIC = (0.2, 0.4, 0.8, 1.6)
"""Half-light radii that are tried, arcsec."""

N_SERSIC = (1.0, 2.5, 4.0)
"""Sersic indices that are tried."""

CENTRAL = 0.7
"""Distance from the middle of the image that the galaxy is looked for in, arcsec."""

PERCENTILES = (30.0, 8.0)
"""Of an annulus, that may count as the galaxy's: arcs cover one in a small part, or most of it.
With the first the galaxy is where the image is brightest near its middle, and with the second,
where that may be an arc, in the middle."""

FAINT = (0.05, 0.8, 3.0)
"""Share of the light of an image, half-light radius in arcsec and Sersic index of a galaxy that is
lost in its arcs."""

RELATIVE_ERROR = 0.1
"""Error of a profile in units of itself, added to its noise: galaxies are neither round nor
Sersic."""

_WHOLE = 2.5
"""Radius in pixels below which the mean of an annulus counts: arcs are further out."""

_SMALL = 0.01
"""An ellipticity to start from: that of a round galaxy has no direction."""


def first_light(
    image: FloatArray,
    counted: NDArray[np.bool_],
    background_variance: float,
    pixel_scale: float,
    zero_point: float,
    number: int,
    render: Callable[[FloatArray], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """A round galaxy in the middle of an image.

    Args:
        image: e-/s, shape (y, x).
        counted: pixels that count, same shape.
        background_variance: of a pixel, (e-/s)^2.
        pixel_scale: arcsec.
        zero_point: magnitude of 1 e-/s.
        number: which of `PERCENTILES` counts as the galaxy's.
        render: the image of `LIGHT_PARAMETERS`, shape (7,), sizes and indices by their
            logarithms; shape (y, x).

    Returns:
        The same parameters, shape (7,), and what it leaves of the image, shape (y, x).
    """
    percentile = PERCENTILES[number]
    x, y = _centre(image, pixel_scale) if number == 0 else (0.0, 0.0)
    rows, columns = np.indices(image.shape)
    middle = 0.5 * (len(image) - 1)
    radius = np.hypot(columns - middle - x / pixel_scale, rows - middle - y / pixel_scale)
    annulus = radius.astype(np.intp)
    wanted = [
        places
        for ring in range(len(image) // 2)
        if np.count_nonzero(places := (annulus == ring) & counted) > 0
    ]
    if not wanted:
        return faint_light(image, zero_point), image
    # of noise alone, a percentile is not zero
    dark = float(ndtri(0.01 * percentile)) * math.sqrt(background_variance)
    profile = _profile(image, radius, wanted, percentile, dark)
    counts = np.array([np.count_nonzero(places) for places in wanted])
    weight = 1.0 / (background_variance / counts + (RELATIVE_ERROR * profile) ** 2)
    best, best_gain = None, 0.0
    for r_sersic, n_sersic in product(R_SERSIC, N_SERSIC):
        vector = np.array(
            [x, y, zero_point, math.log(r_sersic), math.log(n_sersic), _SMALL, _SMALL]
        )
        galaxy = render(vector)
        shape = _profile(galaxy, radius, wanted, percentile)
        projected = float(np.sum(weight * shape * profile))
        gain = projected**2 / float(np.sum(weight * shape**2))
        if projected > 0.0 and gain > best_gain:
            flux = projected / float(np.sum(weight * shape**2))
            best, best_gain = (vector, flux, galaxy), gain
    if best is None:  # no light in the middle
        return faint_light(image, zero_point), image
    vector, flux, galaxy = best
    vector[2] -= 2.5 * math.log10(flux)
    return vector, image - flux * galaxy


def faint_light(image: FloatArray, zero_point: float) -> FloatArray:
    """A galaxy that is lost in its arcs, in the middle of an image, e-/s; shape (7,)."""
    share, r_sersic, n_sersic = FAINT
    flux = max(share * float(image.sum()), 1e-3)
    magnitude = zero_point - 2.5 * math.log10(flux)
    return np.array([0.0, 0.0, magnitude, math.log(r_sersic), math.log(n_sersic), _SMALL, _SMALL])


def _centre(image: FloatArray, pixel_scale: float) -> tuple[float, float]:
    """Position of the brightest 3 x 3 pixels near the middle, arcsec from it."""
    smooth = uniform_filter(image, 3, mode="constant")
    offset = (np.arange(len(image)) - 0.5 * (len(image) - 1)) * pixel_scale
    is_near = np.hypot(offset[:, None], offset[None, :]) <= CENTRAL
    row, column = np.unravel_index(np.argmax(np.where(is_near, smooth, -np.inf)), image.shape)
    light = np.clip(image[row - 1 : row + 2, column - 1 : column + 2], 0.0, None)
    total = max(float(light.sum()), 1e-300)
    steps = np.array([-1.0, 0.0, 1.0]) * pixel_scale
    x = offset[column] + float(light.sum(axis=0) @ steps) / total
    y = offset[row] + float(light.sum(axis=1) @ steps) / total
    return float(x), float(y)


def _profile(
    image: FloatArray,
    radius: FloatArray,
    annuli: list[NDArray[np.bool_]],
    percentile: float,
    dark: float = 0.0,
) -> FloatArray:
    """The galaxy's brightness in each annulus, e-/s in a pixel, where `dark` stands for none."""
    return np.array(
        [
            image[places].mean()
            if radius[places].min() < _WHOLE
            else np.percentile(image[places], percentile) - dark
            for places in annuli
        ]
    )
