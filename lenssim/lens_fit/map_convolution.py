"""Convolution of many maps with one PSF, integrated over pixels.

Like `lenssim.rendering.psf_convolution` of moments of order zero alone: the light of a sub-cell is
taken to lie in its centre, which is good to 1e-3 where the sub-cells are as small as here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lenssim.compilation import kernel
from lenssim.rendering.point_spread import Gaussian, PointSpread
from lenssim.rendering.psf_convolution import flux_transfer, gaussian_taps

FloatArray = NDArray[np.float64]


def convolve_maps(
    maps: FloatArray, psf: PointSpread, num_pix: int, pixel_scale: float
) -> FloatArray:
    """Maps of the sub-cells of pixels as images, PSF included.

    Args:
        maps: of the image and a border of `psf_convolution.reach` pixels around it, shape
            (p, s, s, n, n), axes (map, sub-row, sub-column, row, column).
        psf: of the image.
        num_pix: pixels on a side.
        pixel_scale: arcsec.

    Returns:
        Shape (p, num_pix, num_pix), unit of the maps.
    """
    if isinstance(psf, Gaussian):
        return _convolve_separable(maps, gaussian_taps(psf, maps.shape[1], pixel_scale)[0])
    return _convolve_by_fft(maps, psf, num_pix, pixel_scale)


@kernel
def _convolve_separable(maps, taps):
    """Convolution with a PSF that is a product of equal functions of x and y.

    Args:
        maps: see `convolve_maps`.
        taps: light of a sub-cell on the pixels around its own, along one axis, shape (s, t).

    Returns:
        Shape (p, n - t + 1, n - t + 1).
    """
    count, cells, rows = maps.shape[0], maps.shape[1], maps.shape[3]
    width = taps.shape[1]
    side = rows - width + 1
    images = np.zeros((count, side, side))
    along_x = np.empty(side)
    for k in range(count):
        for row in range(rows):
            for sub_row in range(cells):
                along_x[:] = 0.0
                for sub_column in range(cells):
                    light = maps[k, sub_row, sub_column, row]
                    for tap in range(width):
                        weight = taps[sub_column, tap]
                        shifted = light[tap : tap + side]
                        for i in range(side):
                            along_x[i] += weight * shifted[i]
                for tap in range(max(0, width - rows + row), min(width, row + 1)):
                    target = images[k, row - tap]
                    weight = taps[sub_row, tap]
                    for i in range(side):
                        target[i] += weight * along_x[i]
    return images


def _convolve_by_fft(
    maps: FloatArray, psf: PointSpread, num_pix: int, pixel_scale: float
) -> FloatArray:
    count, cells, _, side, _ = maps.shape
    length = fft.next_fast_len(side * cells, real=True)
    planes = maps.transpose(0, 3, 1, 4, 2).reshape(count, side * cells, side * cells)
    spectra = fft.rfft2(planes, s=(length, length))
    spectra *= flux_transfer(psf, cells, length, pixel_scale)
    first = (side - num_pix) // 2 * cells + (cells - 1) // 2
    pixels = slice(first, first + num_pix * cells, cells)
    images = fft.irfft2(spectra, s=(length, length))[:, pixels, pixels]
    return np.ascontiguousarray(images)
