"""Errors of images with their PSF, and what lenstronomy needs for the same error.

The truth is a regular grid of 16 sub-pixels a pixel (32 for narrow PSFs), convolved at that
resolution. It is made by the fast engine's kernel without adaptivity, which agrees with lenstronomy
at equal sub-samples and with brute force in numpy (tests/lenssim/rendering).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import LensSystem
from lenssim.rendering.optics import point_spreads
from lenssim.rendering.point_spread import Gaussian, PointSpread
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import render
from lenssim.spec import Sampling, Specification

SUBPIXELS = 16
SUBPIXELS_OF_NARROW = 32
NARROW = 1.5
"""Full width at half maximum, in pixels, below which a PSF is narrow."""

LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)
"""Sub-samples along each side of a pixel that lenstronomy is tried with."""


def psf_of(spec: Specification, system: LensSystem) -> PointSpread:
    """The PSF of an image; for a specification that applies it to pixels, the same within them."""
    psfs = point_spreads(spec.instrument, [system])
    return Gaussian(spec.instrument.psf_fwhm) if psfs is None else psfs[0]


def true_image(system: LensSystem, spec: Specification) -> np.ndarray:
    """The image from a fine regular grid, e-/s."""
    psf = psf_of(spec, system)
    is_narrow = psf.fwhm < NARROW * spec.instrument.pixel_scale
    subpixels = SUBPIXELS_OF_NARROW if is_narrow else SUBPIXELS
    return render(system, spec, sampling=Sampling(subsamples=subpixels), psf=psf)


def distance(image: np.ndarray, truth: np.ndarray, spec: Specification) -> float:
    """Root-sum-square over the image of the difference in units of the noise."""
    return float(np.linalg.norm((image - truth) / noise_sigma(truth, pixel_noise(spec.instrument))))


def fast_image(system: LensSystem, spec: Specification) -> np.ndarray:
    """The fast engine's image with the PSF within pixels."""
    return render(system, spec, psf=psf_of(spec, system))


def lenstronomy_with_psf(system: LensSystem, spec: Specification, subsamples: int) -> np.ndarray:
    """Lenstronomy's image, convolved at the resolution of its sub-samples."""
    return lenstronomy_image(system, spec, subsamples, psf=psf_of(spec, system))


def subsamples_of_equal_error(
    systems: Sequence[LensSystem], spec: Specification
) -> tuple[int, float, float]:
    """The fewest sub-samples with which lenstronomy is as close to the truth as the fast engine.

    Returns:
        These sub-samples, the last of `LADDER` where even those are not enough, and the median
        errors of lenstronomy and of the fast engine.
    """
    truths = [true_image(system, spec) for system in systems]
    pairs = list(zip(systems, truths, strict=True))
    ours = float(np.median([distance(fast_image(s, spec), truth, spec) for s, truth in pairs]))
    theirs = np.inf
    for subsamples in LADDER:
        theirs = float(
            np.median(
                [
                    distance(lenstronomy_with_psf(system, spec, subsamples), truth, spec)
                    for system, truth in pairs
                ]
            )
        )
        if theirs <= ours:
            break
    return subsamples, theirs, ours
