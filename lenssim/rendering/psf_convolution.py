"""Convolution with the PSF, integrated over pixels, from the moments of sub-cells.

A pixel's value is the integral of the surface brightness times P(centre - x), where P is the PSF
convolved with the square of the pixel. Each pixel is divided into s x s sub-cells, and about the
centre of each P is expanded to second order, so that of the light in a sub-cell only the moments

    f, f_x, f_y, f_xx, f_xy, f_yy = integral of I, I dx, I dy, I dx^2, I dx dy, I dy^2

are needed, (dx, dy) the distance from its centre: where in the sub-cell the light lies is kept.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import erf

from lenssim.compilation import kernel
from lenssim.rendering.point_spread import FWHM_PER_SIGMA, Gaussian, PointSpread

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

MOMENTS = 6
"""Moments of a sub-cell, in the order f, f_x, f_y, f_xx, f_xy, f_yy."""

_ORDERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""Orders of the moments in x and in y."""

SIGMA_PER_CELL = 0.8
"""Standard deviations of the PSF over the size of a sub-cell, at least: the third order of the
expansion then moves an image by less than a third of the noise (two sub-cells for A and for B)."""

MAX_SUBCELLS = 16
"""Sub-cells along each side of a pixel, at most."""


def subcells(psf: PointSpread, pixel_scale: float) -> int:
    """Sub-cells along each side of a pixel that the expansion needs."""
    needed = math.ceil(SIGMA_PER_CELL * pixel_scale * FWHM_PER_SIGMA / psf.fwhm - 1e-9)
    return min(max(needed, 1), MAX_SUBCELLS)


def reach(psf: PointSpread, pixel_scale: float) -> int:
    """Pixels around the image whose light falls into it."""
    return math.ceil(psf.radius / pixel_scale)


def convolve_moments(
    moments: FloatArray, psf: PointSpread, num_pix: int, pixel_scale: float
) -> FloatArray:
    """The image of one system, PSF included.

    Args:
        moments: of the image and a border of `reach` pixels around it, e-/s times arcsec to the
            order, shape (MOMENTS, s, s, n, n), axes (moment, sub-row, sub-column, row, column).
        psf: of the image.
        num_pix: pixels on a side.
        pixel_scale: arcsec.

    Returns:
        e-/s, shape (num_pix, num_pix), axes (y, x).
    """
    if isinstance(psf, Gaussian):
        taps = gaussian_taps(psf, moments.shape[1], pixel_scale)
        return convolve_separable(moments, taps)
    return _convolve_by_fft(moments, psf, num_pix, pixel_scale)


@lru_cache(maxsize=64)
def gaussian_taps(psf: Gaussian, cells: int, pixel_scale: float) -> FloatArray:
    """Factors of the moments along one axis for a Gaussian PSF.

    With g the PSF integrated over a pixel, they are g, -g' and g'' / 2 at the distances from the
    sub-cells of 2 reach + 1 pixels to the centre of the middle one.

    Returns:
        arcsec to minus the order, shape (orders, cells, taps).
    """
    taps = 2 * reach(psf, pixel_scale) + 1
    phase = (np.arange(cells) + 0.5) / cells - 0.5
    pixels = np.arange(taps) - taps // 2
    distance = -pixel_scale * (pixels + phase[:, np.newaxis])
    ends = distance + 0.5 * pixel_scale, distance - 0.5 * pixel_scale
    sigma = psf.sigma
    integral = [0.5 * erf(end / (math.sqrt(2.0) * sigma)) for end in ends]
    density = [
        np.exp(-0.5 * (end / sigma) ** 2) / (math.sqrt(2.0 * math.pi) * sigma) for end in ends
    ]
    slope = [-end / sigma**2 * value for end, value in zip(ends, density, strict=True)]
    return np.stack(
        [
            integral[0] - integral[1],
            density[1] - density[0],
            0.5 * (slope[0] - slope[1]),
        ]
    )


@kernel
def convolve_separable(moments, taps):
    """Convolution with a PSF that is a product of equal functions of x and y.

    Args:
        moments: shape (MOMENTS, s, s, n, n), see `convolve_moments`.
        taps: `gaussian_taps`, shape (3, s, t).

    Returns:
        Shape (n - t + 1, n - t + 1).
    """
    cells = taps.shape[1]
    width = taps.shape[2]
    rows = moments.shape[3]
    side = rows - width + 1
    along_x = np.empty((3, side))
    image = np.zeros((side, side))
    for row in range(rows):
        for sub_row in range(cells):
            along_x[:] = 0.0
            sums_0 = along_x[0]
            sums_1 = along_x[1]
            sums_2 = along_x[2]
            for sub_column in range(cells):
                for tap in range(width):
                    c_0 = taps[0, sub_column, tap]
                    c_1 = taps[1, sub_column, tap]
                    c_2 = taps[2, sub_column, tap]
                    f = moments[0, sub_row, sub_column, row, tap : tap + side]
                    f_x = moments[1, sub_row, sub_column, row, tap : tap + side]
                    f_y = moments[2, sub_row, sub_column, row, tap : tap + side]
                    f_xx = moments[3, sub_row, sub_column, row, tap : tap + side]
                    f_xy = moments[4, sub_row, sub_column, row, tap : tap + side]
                    f_yy = moments[5, sub_row, sub_column, row, tap : tap + side]
                    for i in range(side):
                        sums_0[i] += c_0 * f[i] + c_1 * f_x[i] + c_2 * f_xx[i]
                        sums_1[i] += c_0 * f_y[i] + c_1 * f_xy[i]
                        sums_2[i] += c_0 * f_yy[i]
            for tap in range(max(0, width - rows + row), min(width, row + 1)):
                target = image[row - tap]
                c_0 = taps[0, sub_row, tap]
                c_1 = taps[1, sub_row, tap]
                c_2 = taps[2, sub_row, tap]
                for i in range(side):
                    target[i] += c_0 * sums_0[i] + c_1 * sums_1[i] + c_2 * sums_2[i]
    return image


def _convolve_by_fft(
    moments: FloatArray, psf: PointSpread, num_pix: int, pixel_scale: float
) -> FloatArray:
    cells, side = moments.shape[1], moments.shape[3]
    length = fft.next_fast_len(side * cells, real=True)
    planes = moments.transpose(0, 3, 1, 4, 2).reshape(MOMENTS, side * cells, side * cells)
    spectra = fft.rfft2(planes, s=(length, length))
    spectrum = np.sum(spectra * transfers(psf, cells, length, pixel_scale), axis=0)
    image = fft.irfft2(spectrum, s=(length, length))
    first = (side - num_pix) // 2 * cells + (cells - 1) // 2
    pixels = slice(first, first + num_pix * cells, cells)
    return np.ascontiguousarray(image[pixels, pixels])


@lru_cache(maxsize=8)
def transfers(psf: PointSpread, cells: int, length: int, pixel_scale: float) -> ComplexArray:
    """Multipliers of the moments' spectra, with the frequencies that sub-cells alias folded in.

    Of even numbers of sub-cells none lies on the centre of the pixel: the result is shifted by
    half a sub-cell.

    Returns:
        arcsec to minus the order, shape (MOMENTS, length, length // 2 + 1).
    """
    size = pixel_scale / cells
    k_y = 2.0 * math.pi * fft.fftfreq(length, size)
    k_x = 2.0 * math.pi * fft.rfftfreq(length, size)
    period = 2.0 * math.pi / size
    folds = max(math.ceil(psf.bandwidth / period - 0.5), 0)
    shift = 0.0 if cells % 2 else 0.5 * size
    result = np.zeros((MOMENTS, k_y.size, k_x.size), dtype=np.complex128)
    for fold_y in range(-folds, folds + 1):
        for fold_x in range(-folds, folds + 1):
            true_x, true_y = k_x + fold_x * period, k_y + fold_y * period
            transfer = psf.transfer(true_x, true_y)
            axis_x, axis_y = (
                np.exp(1j * k * shift) * np.sinc(0.5 * k * pixel_scale / math.pi)
                for k in (true_x, true_y)
            )
            for moment, (order_x, order_y) in enumerate(_ORDERS):
                factor_x = axis_x * (-1j * true_x) ** order_x / math.factorial(order_x)
                factor_y = axis_y * (-1j * true_y) ** order_y / math.factorial(order_y)
                factor_x *= cells * cells  # area of a pixel over that of a sub-cell
                result[moment] += transfer * factor_x * factor_y[:, np.newaxis]
    return result
