"""Masks, noise, and what stands in for pixels without data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lenssim.cutouts.settings import NoiseKind
from lenssim.errors import ImportFileError

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]

SENTINEL = 1e15
"""Values from here on say that there is no data: Euclid's RMS maps have 1e16."""

MAX_MASKED = 0.5
"""Share of a cutout's pixels that may be without data."""


def noise_variance(values: Image, kind: NoiseKind, image: Image, masked: Mask) -> Image:
    """Variance of the noise of each pixel; NaN where the map says that there is no data.

    Args:
        values: of the noise map.
        kind: what it holds. Weights are proportional to the inverse variance, as exposure times
            are where the sky dominates; their scale is that of the scatter of the sky.
        image: whose noise it is.
        masked: pixels without data.

    Returns:
        In the square of the image's unit, shape of `values`.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        is_known = np.isfinite(values) & (values > 0) & (values < SENTINEL)
        known = np.where(is_known, values, np.nan)
        if kind == "rms":
            return known**2
        if kind == "variance":
            return known
        if kind == "inverse-variance":
            return 1 / known
        good = ~masked & is_known
        if not good.any():
            return known
        return sky_scatter(image[good]) ** 2 * np.median(known[good]) / known


def sky_scatter(values: Image) -> float:
    """Standard deviation of the sky among pixels, of which most are sky; robust to sources."""
    from astropy.stats import sigma_clip

    clipped = sigma_clip(values, sigma=3, maxiters=10, cenfunc="median", stdfunc="mad_std")
    return float(np.ma.std(clipped))


def without_data(image: Image) -> Mask:
    """Pixels that are NaN, infinite or sentinels."""
    with np.errstate(invalid="ignore"):
        return ~(np.abs(image) < SENTINEL)


def check_masked(place: str, masked: Mask) -> float:
    """Share of the pixels of a cutout without data, if enough are left.

    Raises:
        ImportFileError: if there are more than `MAX_MASKED`, or all that surround the middle.
    """
    share = float(masked.mean())
    if share == 1.0:
        raise ImportFileError(f"{place} has no data: every pixel is NaN, a sentinel or masked.")
    if share > MAX_MASKED:
        raise ImportFileError(
            f"{place} has no data in {share:.0%} of the cutout: choose another --centre, or a "
            "larger image."
        )
    size = len(masked)
    middle = masked[size // 2 - 2 : size // 2 + 2, size // 2 - 2 : size // 2 + 2]
    if middle.all():
        raise ImportFileError(f"{place} has no data in the middle of the cutout.")
    return share


def filled(image: Image, masked: Mask) -> Image:
    """An image whose masked pixels have values like those around them.

    Args:
        image: shape (y, x).
        masked: pixels without data.

    Returns:
        Finite everywhere: gaps interpolated by a Gaussian of 1.5 pixels, what is farther from any
        data set to the median of the pixels with data.
    """
    if not masked.any():
        return image
    from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans

    holed = np.where(masked, np.nan, image)
    result = interpolate_replace_nans(holed, Gaussian2DKernel(1.5), boundary="extend")
    return np.where(np.isfinite(result), result, np.median(image[~masked]))
