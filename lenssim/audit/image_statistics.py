"""Numbers of an image that show how it was observed, not what its lens holds.

Substructure changes the flux and the peak of an image by its own lensing, which is the signal that
classes are to be told by. So the images here are those of the smooth lens with the noise of the
archive's image: what the archive has beyond what its columns render, whatever it is, stays in, in
units of the noise. Substructure changes the photon noise as well as the flux: the unit is that of
the smooth lens's noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NAMES = ("total_flux", "peak", "border_level", "border_scatter")
"""Of the statistics of any image."""

NOISE_NAMES = ("noise_level", "noise_scatter", "noise_correlation", "noise_kurtosis")
"""Of those of an image whose noise is known."""

BORDER = 4
"""Pixels along each edge that the border is."""


def image_statistics(images: FloatArray, border: FloatArray | None = None) -> FloatArray:
    """Statistics of images, whose names are `NAMES`.

    Args:
        images: shape (n, y, x), any unit.
        border: images that the border is taken from, shape of `images`; `images` if not given.

    Returns:
        Sum and largest pixel; mean and standard deviation of the border; shape (n, 4).
    """
    ring = np.ones(images.shape[1:], dtype=bool)
    width = min(BORDER, images.shape[1] // 4)
    ring[width:-width, width:-width] = False
    edge = (images if border is None else border)[:, ring]
    return np.stack(
        [images.sum((1, 2)), images.max((1, 2)), edge.mean(axis=1), edge.std(axis=1)], axis=1
    )


def noise_statistics(deviates: FloatArray) -> FloatArray:
    """Statistics of the noise of images, whose names are `NOISE_NAMES`.

    Args:
        deviates: noise in units of its standard deviation, shape (n, y, x).

    Returns:
        Mean, standard deviation, correlation of neighbours in a row or a column, and kurtosis,
        which of independent normal deviates are 0, 1, 0 and 3; shape (n, 4).
    """
    level = deviates.mean(axis=(1, 2))
    centred = deviates - level[:, None, None]
    variance = (centred**2).mean(axis=(1, 2))
    across = (centred[:, :, 1:] * centred[:, :, :-1]).mean(axis=(1, 2))
    along = (centred[:, 1:] * centred[:, :-1]).mean(axis=(1, 2))
    floor = np.maximum(variance, np.finfo(float).tiny)
    kurtosis = (centred**4).mean(axis=(1, 2)) / floor**2
    return np.stack([level, np.sqrt(variance), 0.5 * (across + along) / floor, kurtosis], axis=1)
