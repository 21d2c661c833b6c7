"""A PSF from a file: a FITS image or a .npy array, with its oversampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenssim.errors import SpecError
from lenssim.pictures.image_file import UNREADABLE, read_image
from lenssim.rendering.point_spread import Kernel

FloatArray = NDArray[np.float64]

MAX_OFFSET = 0.5
"""Pixels of the detector between the centroid and the middle of the array, at most.

Less is taken out when the kernel is used: half a sample is what an array of even size has, more is
a kernel that somebody cut out in the wrong place."""

MAX_SIDE = 2048
"""Samples along a side, at most."""


def read_kernel(path: str | Path, oversampling: int, pixel_scale: float) -> Kernel:
    """Reads a PSF, normalises it and puts its centroid at the origin.

    Args:
        path: a .npy array, or a FITS file whose first image is taken.
        oversampling: samples of the kernel along each side of a pixel of the detector.
        pixel_scale: of the detector, arcsec.

    Raises:
        SpecError: in a sentence, where the file is none or the kernel is not centred, negative,
            empty or not a number somewhere.
    """
    path = Path(path)
    try:
        values = read_image(path)
    except UNREADABLE as error:
        raise SpecError(
            f"The PSF {path} cannot be read ({error}): name a FITS image or a .npy array."
        ) from None
    return Kernel(checked_kernel(values, oversampling, str(path)), pixel_scale / oversampling)


def checked_kernel(values: FloatArray, oversampling: int, name: str) -> FloatArray:
    """A kernel normalised to a sum of one.

    Args:
        values: samples of the PSF.
        oversampling: samples along each side of a pixel of the detector.
        name: of the kernel, for the messages.

    Raises:
        SpecError: if it is not centred, negative, empty or not a number somewhere.
    """
    if values.ndim != 2 or not 1 <= min(values.shape) <= max(values.shape) <= MAX_SIDE:
        raise SpecError(
            f"The PSF {name} has the shape {values.shape}: it must be an image of at most "
            f"{MAX_SIDE} x {MAX_SIDE} samples."
        )
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise SpecError(f"The PSF {name} has {count} values that are not finite: replace them.")
    if values.min() < 0:
        raise SpecError(
            f"The PSF {name} has a least value of {values.min():.3g}: no light is negative, so "
            "subtract its background and set what remains below zero to zero."
        )
    if values.sum() == 0:
        raise SpecError(f"The PSF {name} is zero everywhere: choose another file.")
    kernel = values / values.sum()
    rows, columns = kernel.shape
    x = kernel.sum(axis=0) @ np.arange(columns) - 0.5 * (columns - 1)
    y = kernel.sum(axis=1) @ np.arange(rows) - 0.5 * (rows - 1)
    offset = max(abs(x), abs(y)) / oversampling
    if offset > MAX_OFFSET:
        raise SpecError(
            f"The PSF {name} is not centred: its centroid lies {offset:.2f} pixels from the middle "
            f"of the array, where at most {MAX_OFFSET} are allowed; cut it out about its centroid."
        )
    return kernel
