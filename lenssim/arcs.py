"""How bright the lensed source is, coarsely: what a selection decides by.

Two samples along each side of a pixel, by the fast engine whatever engine makes the images, and a
Gaussian PSF of the image's width applied to the fluxes of pixels. Processors differ in the last
digits of the result, about 1e-13 of it: both numbers are rounded to single precision before they
are compared, and an image in some 1e8 could be decided otherwise on another platform.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim.observation import convolve, gaussian_kernel, pixel_noise
from lenssim.population import LensSystem, replaced
from lenssim.rendering import PixelNoise, engine
from lenssim.rendering.optics import typical_fwhm
from lenssim.spec import Sampling, Specification

_SAMPLING = Sampling(subsamples=2)


def measure_arc(system: LensSystem, spec: Specification) -> tuple[float, float]:
    """Magnification and S/N of the lensed source of a lens.

    Args:
        system: its substructure is rendered, if it has any.
        spec: its instrument.

    Returns:
        Flux of the image over that of the source, and the S/N of `brightest_pixels_snr`, in which
        the light of the lens counts as noise.
    """
    instrument, noise = spec.instrument, pixel_noise(spec.instrument)
    dark = replaced(system, lens_light_magnitude=math.inf)
    systems = [dark] if system.lens_light_magnitude == math.inf else [dark, system]
    fluxes = engine("fast")(systems, spec, _SAMPLING, noise)
    unlensed = 10 ** (-0.4 * (system.source_magnitude - instrument.zero_point))
    fwhm = typical_fwhm(instrument) if math.isnan(system.psf_fwhm) else system.psf_fwhm
    images = convolve(fluxes, gaussian_kernel(fwhm / instrument.pixel_scale))
    snr = brightest_pixels_snr(images[0], images[-1], noise)
    return float(np.float32(fluxes[0].sum() / unlensed)), float(np.float32(snr))


def brightest_pixels_snr(
    arc: NDArray[np.float64], image: NDArray[np.float64], noise: PixelNoise
) -> float:
    """S/N of the brightest pixels together, as many of them as make it most.

    max over k of sum(flux) / sqrt(sum(variance)) of the k pixels with the greatest S/N each, as in
    LensPop (Collett 2015, ApJ 811 20).

    Args:
        arc: flux of the lensed source, e-/s, any shape.
        image: flux of everything, e-/s, which the noise is that of.
        noise: of the instrument.
    """
    variance = noise.background_variance + np.maximum(image, 0.0) / noise.exposure_time
    order = np.argsort(-(arc / np.sqrt(variance)), axis=None, kind="stable")
    flux, total = np.cumsum(arc.ravel()[order]), np.cumsum(variance.ravel()[order])
    return float((flux / np.sqrt(total)).max())
