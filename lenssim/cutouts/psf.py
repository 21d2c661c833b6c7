"""The PSF of an image: recentred, normalised, at the cutout's pixel scale and orientation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim.cutouts.grid import Image, flipped
from lenssim.errors import ImportFileError

_CELLS = 40
"""Cells across a PSF in which its area above half of the maximum is counted, at least."""

_MARGIN = 3
"""Pixels about the core of a PSF that its interpolation takes into account."""

_ENOUGH = 1e-3
"""Pixels to which a PSF is centred."""


def prepare_psf(place: str, psf: NDArray, flip: int, step: float) -> Image:
    """A PSF in the frame of a cutout.

    Args:
        place: of the PSF, for messages.
        psf: shape (y, x), as in the file, in pixels of the file's scale.
        flip: of the cutout, `Placement.flip`.
        step: pixel of the file, in pixels of the cutout.

    Returns:
        Odd side, its centroid in the middle, its sum 1.

    Raises:
        ImportFileError: if it is no image of a star.
    """
    values = np.asarray(psf, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 3:
        raise ImportFileError(f"{place} has the shape {values.shape}, not that of a PSF.")
    if not np.isfinite(values).all() or not values.sum() > 0 or not values.max() > 0:
        raise ImportFileError(f"{place} is no PSF: its pixels are not finite, or sum to 0 or less.")
    values = flipped(values, flip)
    side = 2 * (math.floor(step * max(values.shape)) // 2) + 1
    centred = _resampled(values, _centroid(values), step, side)
    # what spline interpolation shifts less than it should is made up for once more
    moved = _centroid(centred) - 0.5 * (side - 1)
    if np.abs(moved).max() > _ENOUGH:
        centred = _resampled(values, _centroid(values) + moved / step, step, side)
    return centred / centred.sum()


def _resampled(values: Image, middle: NDArray, step: float, side: int) -> Image:
    """Values about a place (y, x), `side` pixels of `1 / step` pixels each, cubic splines."""
    from scipy.ndimage import map_coordinates

    # the mean of sub-pixels, so that larger pixels collect what falls on them
    cells = max(1, math.ceil(1 / step))
    fine = (np.arange(side * cells) + 0.5) / cells - 0.5 - 0.5 * (side - 1)
    rows, columns = np.meshgrid(middle[0] + fine / step, middle[1] + fine / step, indexing="ij")
    sampled = map_coordinates(values, [rows, columns], order=3, mode="constant")
    return sampled.reshape(side, cells, side, cells).mean(axis=(1, 3))


def _centroid(values: Image) -> NDArray[np.float64]:
    """Centre (y, x) of the core: of what is above a tenth of the peak."""
    core = np.clip(values - 0.1 * values.max(), 0.0, None)
    grid = np.indices(values.shape)
    return np.array([float((axis * core).sum() / core.sum()) for axis in grid])


def full_width(psf: Image) -> float:
    """Full width at half maximum of a PSF: the diameter of a disc as large as what is above half.

    Args:
        psf: as `prepare_psf` returns it.

    Returns:
        Pixels.
    """
    from scipy.ndimage import zoom

    rows, columns = (np.flatnonzero((psf > 0.25 * psf.max()).any(axis=axis)) for axis in (1, 0))
    core = psf[
        max(rows[0] - _MARGIN, 0) : rows[-1] + _MARGIN + 1,
        max(columns[0] - _MARGIN, 0) : columns[-1] + _MARGIN + 1,
    ]
    finer = max(2, math.ceil(_CELLS / len(rows)))
    fine = zoom(core, finer, order=3, grid_mode=True, mode="nearest")
    area = float((fine > 0.5 * fine.max()).sum()) / finer**2
    return 2 * math.sqrt(area / math.pi)


def fitted_size(psf: Image, side: int) -> Image:
    """A PSF cut or padded to an odd number of pixels on a side, its sum 1."""
    excess = (len(psf) - side) // 2
    cut = psf[excess:-excess, excess:-excess] if excess > 0 else np.pad(psf, max(-excess, 0))
    return cut / cut.sum()
