"""Convolution with the PSF, integrated over pixels, from the moments of sub-cells.

A pixel's value is the integral of the surface brightness times P(centre - x), where P is the PSF
convolved with the square of the pixel. Each pixel is divided into s x s sub-cells, and about the
centre of each P is expanded to second order, so that of the light in a sub-cell only the moments

    f, f_x, f_y, f_xx, f_xy, f_yy = integral of I, I dx, I dy, I dx^2, I dx dy, I dy^2

are needed, (dx, dy) the distance from its centre: where in the sub-cell the light lies is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import erf, gammainc

from lenssim.compilation import kernel
from lenssim.rendering.point_spread import (
    FWHM_PER_SIGMA,
    RADIAL_STEP,
    Gaussian,
    Moffat,
    PointSpread,
    moffat_transform,
)
from lenssim.rendering.source import sersic_b

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


MAX_THIRD_ORDER = 3e-4
"""Largest third-order error, as a share of a galaxy's flux: 0.3 sigma where its S/N is 1,000."""


def subcells(
    psf: PointSpread, pixel_scale: float, profiles: Sequence[tuple[float, float]] = ()
) -> int:
    """Sub-cells along each side of a pixel that the expansion needs.

    The third order, which is left out, matters for light that is concentrated in one sub-cell: it
    is (d / sigma)^3 / 6 of the light within half a sub-cell d of the centre of a galaxy.

    Args:
        psf: of the image.
        pixel_scale: arcsec.
        profiles: half-light radius in arcsec and Sersic index of each galaxy, source or lens.

    Returns:
        a number from 1 to `MAX_SUBCELLS`.
    """
    sigma = psf.fwhm / FWHM_PER_SIGMA
    needed = max(math.ceil(SIGMA_PER_CELL * pixel_scale / sigma - 1e-9), 1)
    for r_sersic, n_sersic in profiles:
        b = float(sersic_b(n_sersic))
        while needed < MAX_SUBCELLS:
            half = 0.5 * pixel_scale / needed
            share = gammainc(2.0 * n_sersic, b * (half / r_sersic) ** (1.0 / n_sersic))
            if share * (half / sigma) ** 3 / 6.0 <= MAX_THIRD_ORDER:
                break
            needed += 1
    return min(needed, MAX_SUBCELLS)


def reach(psf: PointSpread, pixel_scale: float) -> int:
    """Pixels around the image whose light falls into it.

    Args:
        psf: of the image.
        pixel_scale: arcsec.

    Returns:
        the width of this border in whole pixels.
    """
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

    Args:
        psf: of the image.
        cells: sub-cells along each side of a pixel.
        pixel_scale: arcsec.

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
    if isinstance(psf, Moffat):
        spectrum = _moffat_spectrum(spectra, psf, cells, pixel_scale)
    else:
        spectrum = np.sum(spectra * transfers(psf, cells, length, pixel_scale), axis=0)
    image = fft.irfft2(spectrum, s=(length, length))
    first = (side - num_pix) // 2 * cells + (cells - 1) // 2
    pixels = slice(first, first + num_pix * cells, cells)
    return np.ascontiguousarray(image[pixels, pixels])


class _Frequencies(NamedTuple):
    """Wave numbers along an axis, one row for each multiple of the sampling frequency added."""

    k: FloatArray
    """Radians per arcsec, shape (2 folds + 1, n)."""
    pixel: ComplexArray
    """Transform of a pixel's top hat, moved to the pixel's centre; same shape."""


def _folded(k: FloatArray, folds: int, cells: int, pixel_scale: float) -> _Frequencies:
    size = pixel_scale / cells
    folded = k + 2.0 * math.pi / size * np.arange(-folds, folds + 1)[:, np.newaxis]
    # of even numbers of sub-cells none lies on the centre of the pixel
    shift = 0.0 if cells % 2 else 0.5 * size
    pixel: ComplexArray = np.exp(1j * folded * shift)
    pixel *= np.sinc(0.5 * folded * pixel_scale / math.pi)
    return _Frequencies(folded, pixel)


def _axes_of_spectrum(
    psf: PointSpread, cells: int, length: int, pixel_scale: float
) -> tuple[_Frequencies, _Frequencies]:
    """Frequencies along y and along x, with those that sub-cells alias."""
    size = pixel_scale / cells
    folds = max(math.ceil(psf.bandwidth * size / (2.0 * math.pi) - 0.5), 0)
    k_y = 2.0 * math.pi * fft.fftfreq(length, size)
    k_x = 2.0 * math.pi * fft.rfftfreq(length, size)
    return (
        _folded(k_y, folds, cells, pixel_scale),
        _folded(k_x, folds, cells, pixel_scale),
    )


def _moffat_spectrum(
    spectra: ComplexArray, psf: Moffat, cells: int, pixel_scale: float
) -> ComplexArray:
    """Spectrum of the image; the PSF may be another for each image, so nothing is tabulated."""
    along_y, along_x = _axes_of_spectrum(psf, cells, spectra.shape[1], pixel_scale)
    radial = moffat_transform(psf.beta)
    scale = psf.core_radius / RADIAL_STEP
    spectrum = np.empty(spectra.shape[1:], dtype=np.complex128)
    _sum_radial(spectra, along_y, along_x, radial, scale, psf.bandwidth, spectrum)
    return spectrum * cells**2  # area of a pixel over that of a sub-cell


@kernel
def _sum_radial(spectra, along_y, along_x, radial, scale, bandwidth, spectrum):
    """Sums the moments' spectra times the transfer of a round PSF, aliases included.

    Args:
        spectra: of the moments, shape (MOMENTS, m, n).
        along_y, along_x: `_Frequencies` of the axes.
        radial: transfer on a grid of radial wave numbers.
        scale: grid steps per wave number, arcsec.
        bandwidth: wave number above which the transfer is taken as zero, radians per arcsec.
        spectrum: receives the sum, shape (m, n).
    """
    for row in range(spectrum.shape[0]):
        for column in range(spectrum.shape[1]):
            total = 0.0j
            for fold_y in range(along_y.k.shape[0]):
                k_y = along_y.k[fold_y, row]
                for fold_x in range(along_x.k.shape[0]):
                    k_x = along_x.k[fold_x, column]
                    k = math.sqrt(k_x * k_x + k_y * k_y)
                    if k >= bandwidth:
                        continue
                    position = k * scale
                    index = int(position)
                    fraction = position - index
                    transfer = radial[index] * (1.0 - fraction) + radial[index + 1] * fraction
                    even = (
                        spectra[0, row, column]
                        - 0.5 * k_x * k_x * spectra[3, row, column]
                        - k_x * k_y * spectra[4, row, column]
                        - 0.5 * k_y * k_y * spectra[5, row, column]
                    )
                    odd = k_x * spectra[1, row, column] + k_y * spectra[2, row, column]
                    pixel = along_x.pixel[fold_x, column] * along_y.pixel[fold_y, row]
                    total += transfer * pixel * (even - 1j * odd)
            spectrum[row, column] = total


def flux_transfer(psf: PointSpread, cells: int, length: int, pixel_scale: float) -> ComplexArray:
    """The multiplier of the flux alone in `transfers`.

    Args:
        psf, cells, length, pixel_scale: as of `transfers`.

    Returns:
        dimensionless, shape (length, length // 2 + 1).
    """
    if not isinstance(psf, Moffat):
        return transfers(psf, cells, length, pixel_scale)[0]
    spectra = np.zeros((MOMENTS, length, length // 2 + 1), dtype=np.complex128)
    spectra[0] = 1.0
    return _moffat_spectrum(spectra, psf, cells, pixel_scale)


@lru_cache(maxsize=8)
def transfers(psf: PointSpread, cells: int, length: int, pixel_scale: float) -> ComplexArray:
    """Multipliers of the moments' spectra, with the frequencies that sub-cells alias folded in.

    Args:
        psf: of the image.
        cells: sub-cells along each side of a pixel.
        length: pixels along each side of the Fourier transform.
        pixel_scale: arcsec.

    Returns:
        arcsec to minus the order, shape (MOMENTS, length, length // 2 + 1).
    """
    along_y, along_x = _axes_of_spectrum(psf, cells, length, pixel_scale)
    result = np.zeros((MOMENTS, length, length // 2 + 1), dtype=np.complex128)
    for k_y, pixel_y in zip(*along_y, strict=True):
        for k_x, pixel_x in zip(*along_x, strict=True):
            transfer = psf.transfer(k_x, k_y)
            for moment, (order_x, order_y) in enumerate(_ORDERS):
                factor_x = pixel_x * (-1j * k_x) ** order_x / math.factorial(order_x)
                factor_y = pixel_y * (-1j * k_y) ** order_y / math.factorial(order_y)
                factor_x *= cells * cells  # area of a pixel over that of a sub-cell
                result[moment] += transfer * factor_x * factor_y[:, np.newaxis]
    return result
