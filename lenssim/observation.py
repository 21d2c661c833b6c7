"""What the instrument makes of the flux: PSF, noise, and how far substructure stands out of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import kernel
from lenssim.rendering import PixelNoise
from lenssim.spec import Instrument

FloatArray = NDArray[np.float64]

_FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


def pixel_noise(instrument: Instrument) -> PixelNoise:
    """Noise of a pixel in the stacked exposures, as lenstronomy's SingleBand has it.

    Background variance in (e-/s)^2: (n read_noise^2 + t sky) / t^2, with t the total exposure
    time and sky the background rate of a pixel in e-/s.
    """
    exposure_time = instrument.num_exposures * instrument.exposure_time
    sky = 10 ** (0.4 * (instrument.zero_point - instrument.sky_brightness))
    electrons = (
        instrument.num_exposures * instrument.read_noise**2
        + exposure_time * sky * instrument.pixel_scale**2
    )
    return PixelNoise(electrons / exposure_time**2, exposure_time)


def noise_sigma(image: FloatArray, noise: PixelNoise) -> FloatArray:
    """Standard deviation of the noise, background and Poisson (as a Gaussian) together.

    Args:
        image: noise-free image, e-/s, any shape; negative pixels have no Poisson noise.
        noise: of the instrument.

    Returns:
        e-/s, shape of `image`.
    """
    return np.sqrt(noise.background_variance + np.maximum(image, 0.0) / noise.exposure_time)


def psf_kernel(instrument: Instrument) -> FloatArray:
    """One axis of the Gaussian PSF, sampled at pixel centres and normalised, odd length.

    Of an instrument whose PSF is applied to pixel fluxes, which gives its `psf_fwhm`. The kernel of
    scipy.ndimage.gaussian_filter, which lenstronomy convolves with.
    """
    assert instrument.psf_fwhm is not None  # the specification is validated
    return gaussian_kernel(instrument.psf_fwhm / instrument.pixel_scale, instrument.psf_truncation)


def gaussian_kernel(fwhm: float, truncation: float = 5.0) -> FloatArray:
    """One axis of a Gaussian sampled at pixel centres and normalised, odd length.

    Args:
        fwhm: pixels.
        truncation: standard deviations at which it is cut.

    Returns:
        weights, shape (2 * radius + 1,), whose sum is 1.
    """
    sigma = fwhm / _FWHM_PER_SIGMA
    radius = int(truncation * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


@kernel
def convolve(fluxes, kernel):
    """Convolves images with a separable, symmetric kernel, repeating their edge pixels outside.

    The same as scipy.ndimage.gaussian_filter(mode="nearest") of each, without its overhead.

    Args:
        fluxes: shape (n, y, x), any unit.
        kernel: one axis of the kernel, odd length.

    Returns:
        Convolved images, unit and shape of `fluxes`.
    """
    images, rows, columns = fluxes.shape
    radius = kernel.shape[0] // 2
    result = np.zeros(fluxes.shape)
    along_x = np.empty((rows, columns))
    padded = np.empty(columns + 2 * radius)
    for image in range(images):
        along_x[:] = 0.0
        for row in range(rows):
            padded[:radius] = fluxes[image, row, 0]
            padded[radius : radius + columns] = fluxes[image, row]
            padded[radius + columns :] = fluxes[image, row, columns - 1]
            for offset in range(kernel.shape[0]):
                weight = kernel[offset]
                for column in range(columns):
                    along_x[row, column] += weight * padded[column + offset]
        for row in range(rows):
            for offset in range(kernel.shape[0]):
                weight = kernel[offset]
                taken = min(max(row + offset - radius, 0), rows - 1)
                for column in range(columns):
                    result[image, row, column] += weight * along_x[taken, column]
    return result


def add_noise(
    images: FloatArray, noise: PixelNoise, generators: Iterable[np.random.Generator]
) -> FloatArray:
    """One noisy realisation of each image.

    lenstronomy adds two independent normal deviates a pixel, one for the background and one for
    the source's photons; their sum is drawn here as one.

    Args:
        images: noise-free images, e-/s, shape (n, y, x).
        noise: of the instrument.
        generators: each image's noise stream, n of them, each used before the next is taken.

    Returns:
        e-/s, shape of `images`.
    """
    result = np.empty(images.shape)
    for image, generator in zip(result, generators, strict=True):
        generator.standard_normal(out=image)
    _scale_and_shift(result.reshape(-1), images.reshape(-1), noise)
    return result


@kernel
def _scale_and_shift(deviates, flux, noise):
    """Turns normal deviates into flux + sigma * deviate, in place, with sigma of `noise_sigma`."""
    for i in range(deviates.shape[0]):
        variance = noise.background_variance + max(flux[i], 0.0) / noise.exposure_time
        deviates[i] = flux[i] + math.sqrt(variance) * deviates[i]


def substructure_snr(images: FloatArray, smooth: FloatArray, noise: PixelNoise) -> FloatArray:
    """How far images stand from those of the smooth lens: sqrt(sum((I - I_smooth)^2 / sigma^2)).

    Args:
        images, smooth: noise-free images of lenses with their substructure, and with all of their
            mass in the halo, e-/s, shape (n, y, x).
        noise: of the instrument; sigma is that of `images`.

    Returns:
        Dimensionless, shape (n,).
    """
    distances = np.empty(len(images))
    _distances(images, smooth, noise, distances)
    return distances


@kernel
def _distances(images, smooth, noise, distances):
    """The sums of `substructure_snr`, in one pass, into `distances`."""
    for image in range(images.shape[0]):
        total = 0.0
        for row in range(images.shape[1]):
            for column in range(images.shape[2]):
                flux = images[image, row, column]
                variance = noise.background_variance + max(flux, 0.0) / noise.exposure_time
                total += (flux - smooth[image, row, column]) ** 2 / variance
        distances[image] = math.sqrt(total)
