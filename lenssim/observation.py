"""What the instrument makes of the flux: PSF, noise, and how far substructure stands out of it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim.rendering import PixelNoise
from lenssim.rendering.compilation import kernel
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

    The kernel of scipy.ndimage.gaussian_filter, which lenstronomy convolves with.
    """
    sigma = instrument.psf_fwhm / _FWHM_PER_SIGMA / instrument.pixel_scale
    radius = int(instrument.psf_truncation * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return kernel / kernel.sum()


@kernel
def convolve(fluxes, kernel):
    """Convolves an image with a separable, symmetric kernel, repeating its edge pixels outside.

    The same as scipy.ndimage.gaussian_filter(mode="nearest"), without its overhead.

    Args:
        fluxes: shape (y, x), any unit.
        kernel: one axis of the kernel, odd length.

    Returns:
        Convolved image, unit and shape of `fluxes`.
    """
    rows, columns = fluxes.shape
    radius = kernel.shape[0] // 2
    along_x = np.zeros((rows, columns))
    padded = np.empty(columns + 2 * radius)
    for row in range(rows):
        padded[:radius] = fluxes[row, 0]
        padded[radius : radius + columns] = fluxes[row]
        padded[radius + columns :] = fluxes[row, columns - 1]
        for offset in range(kernel.shape[0]):
            weight = kernel[offset]
            for column in range(columns):
                along_x[row, column] += weight * padded[column + offset]
    result = np.zeros((rows, columns))
    for row in range(rows):
        for offset in range(kernel.shape[0]):
            weight = kernel[offset]
            taken = min(max(row + offset - radius, 0), rows - 1)
            for column in range(columns):
                result[row, column] += weight * along_x[taken, column]
    return result


def add_noise(image: FloatArray, noise: PixelNoise, generator: np.random.Generator) -> FloatArray:
    """One noisy realisation of an image.

    lenstronomy adds two independent normal deviates a pixel, one for the background and one for
    the source's photons; their sum is drawn here as one.

    Args:
        image: noise-free image, e-/s, shape (y, x).
        noise: of the instrument.
        generator: the image's own noise stream.

    Returns:
        e-/s, shape of `image`.
    """
    return _scale_and_add(
        image,
        noise.background_variance,
        noise.exposure_time,
        generator.standard_normal(image.shape),
    )


@kernel
def _scale_and_add(image, background_variance, exposure_time, deviates):
    """Image + sigma * deviates in one pass, with the sigma of `noise_sigma`."""
    result = np.empty(image.shape)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            variance = background_variance + max(image[row, column], 0.0) / exposure_time
            result[row, column] = image[row, column] + math.sqrt(variance) * deviates[row, column]
    return result


def substructure_snr(image: FloatArray, smooth: FloatArray, noise: PixelNoise) -> float:
    """How far an image stands from that of the smooth lens: sqrt(sum((I - I_smooth)^2 / sigma^2)).

    Args:
        image, smooth: noise-free images of the lens with its substructure, and with all of its
            mass in the halo, e-/s, shape (y, x).
        noise: of the instrument; sigma is that of `image`.
    """
    return _scaled_distance(image, smooth, noise.background_variance, noise.exposure_time)


@kernel
def _scaled_distance(first, second, background_variance, exposure_time):
    """sqrt(sum((first - second)^2 / sigma^2)) in one pass, with the sigma of `noise_sigma`."""
    total = 0.0
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            variance = background_variance + max(first[row, column], 0.0) / exposure_time
            total += (first[row, column] - second[row, column]) ** 2 / variance
    return math.sqrt(total)
