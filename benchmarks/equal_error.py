"""Errors of images with their PSF, and what lenstronomy needs for the same error.

The truth is a regular grid of 16 sub-pixels a pixel, convolved at that resolution; of 32 for narrow
PSFs, and for point masses, of whose images 16 sub-pixels leave 0.3 sigma in model B. It is made by
the fast engine's kernel without adaptivity, which agrees with lenstronomy at equal sub-samples and
with brute force in numpy (tests/lenssim/rendering).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import LensSystem
from lenssim.rendering.optics import point_spreads
from lenssim.rendering.point_spread import Gaussian, PointSpread
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import render
from lenssim.spec import Sampling, Specification

SUBPIXELS = 16
FINER = 32
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
    has_points = system.substructure_class == "cdm" and spec.substructure.cdm.profile == "point"
    subpixels = FINER if is_narrow or has_points else SUBPIXELS
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


def median_error(
    systems: Sequence[LensSystem],
    truths: Sequence[np.ndarray],
    spec: Specification,
    image: Callable[[LensSystem, Specification], np.ndarray],
) -> float:
    """Median distance of the images that an engine makes of systems from their true images."""
    return float(
        np.median(
            [
                distance(image(system, spec), truth, spec)
                for system, truth in zip(systems, truths, strict=True)
            ]
        )
    )


def subsamples_of_equal_error(
    systems: Sequence[LensSystem], spec: Specification
) -> tuple[int, float, float]:
    """The fewest sub-samples with which lenstronomy is as close to the truth as the fast engine.

    They are found by bisection: the error is taken to fall with the number of sub-samples.

    Returns:
        These sub-samples, the last of `LADDER` where even those are not enough, and the median
        errors of lenstronomy and of the fast engine.
    """
    truths = [true_image(system, spec) for system in systems]
    ours = median_error(systems, truths, spec, fast_image)
    errors: dict[int, float] = {}

    def is_enough(step: int) -> bool:
        image = partial(lenstronomy_with_psf, subsamples=step)
        errors[step] = median_error(systems, truths, spec, image)
        return errors[step] <= ours

    subsamples = LADDER[min(bisect_left(LADDER, True, key=is_enough), len(LADDER) - 1)]
    if subsamples not in errors:
        is_enough(subsamples)
    return subsamples, errors[subsamples], ours
