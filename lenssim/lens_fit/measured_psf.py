"""The PSF of a telescope image, as it was measured on its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenssim.rendering.point_spread import ComplexArray, FloatArray, Kernel


@dataclass(frozen=True, eq=False)
class PixelPsf(Kernel):
    """A PSF that holds the area of a pixel, as stars in an image show it.

    Its `step` is a pixel of the image. The transfer of a pixel, which is 0.64 at the bandwidth
    along an axis, is divided out, as a model is integrated over pixels itself. Where the optics
    are sharper than the pixels, what lies beyond the bandwidth is lost.
    """

    def transfer(self, k_x: FloatArray, k_y: FloatArray) -> ComplexArray:
        """See `PointSpread`."""
        sharpened = self._per_pixel(k_x) * self._per_pixel(k_y)[:, np.newaxis]
        return super().transfer(k_x, k_y) * sharpened

    def _per_pixel(self, k: FloatArray) -> FloatArray:
        """One over the transfer of a pixel along an axis; 0 beyond the bandwidth."""
        is_inside = np.abs(k) < self.bandwidth
        # numpy's sinc(x) is sin(pi x) / (pi x)
        return is_inside / np.sinc(np.where(is_inside, 0.5 * k * self.step / math.pi, 0.0))


def pixel_psf(psf: NDArray[np.floating] | None, pixel_scale: float) -> PixelPsf | None:
    """The PSF of an image.

    Args:
        psf: in pixels of the image, shape (m, m), its sum 1; None or NaN if it is not known.
        pixel_scale: of the image, arcsec.

    Returns:
        For `fit_image`; None if it is not known.
    """
    if psf is None or not np.isfinite(psf).all():
        return None
    return PixelPsf(np.asarray(psf, dtype=np.float64), pixel_scale)
