"""The PSF of an image, as its specification and the image's own draw give it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from lenssim.errors import UsageError
from lenssim.population import LensSystem
from lenssim.rendering.point_spread import Gaussian, Kernel, Moffat, PointSpread
from lenssim.rendering.psf_file import read_kernel
from lenssim.spec import Instrument, Prior


def point_spreads(
    instrument: Instrument, systems: Sequence[LensSystem]
) -> list[PointSpread] | None:
    """PSF of each system; None if the PSF is applied to pixel fluxes, as in 1.0.0.

    Args:
        instrument: of the specification.
        systems: a `psf_fwhm` of their own goes before that of the instrument.
    """
    if instrument.psf_sampling == "pixel":
        return None
    return [_point_spread(instrument, system.psf_fwhm) for system in systems]


def _point_spread(instrument: Instrument, own_fwhm: float) -> PointSpread:
    """The PSF of one image, whose own width in arcsec may be NaN."""
    psf = instrument.psf
    if psf is None:
        return Gaussian(_width(instrument.psf_width, own_fwhm))
    if psf.file is not None:
        return _kernel(psf.file, psf.oversampling, instrument.pixel_scale)
    if psf.moffat is not None:
        return Moffat(_width(psf.width, own_fwhm), psf.moffat.beta)
    return Gaussian(_width(psf.width, own_fwhm))


def _width(specified: Prior | None, own: float) -> float:
    """Width of an image's own, or the one that a specification has for all."""
    if not math.isnan(own):
        return own
    assert specified is not None  # a kernel of a file has no width to be drawn
    low, high = specified.support
    if low != high:
        raise UsageError(
            f"instrument.psf has a width between {low:g} and {high:g} arcsec, drawn for each "
            "image: give the system a psf_fwhm."
        )
    return low


def typical_fwhm(instrument: Instrument) -> float:
    """FWHM of the PSF in arcsec, the middle of its range where it is drawn for each image."""
    if instrument.psf_width is not None:
        low, high = instrument.psf_width.support
        return 0.5 * (low + high)
    assert instrument.psf is not None  # the specification is validated
    assert instrument.psf.file is not None
    return _kernel(instrument.psf.file, instrument.psf.oversampling, instrument.pixel_scale).fwhm


@lru_cache(maxsize=8)
def _kernel(path: str, oversampling: int, pixel_scale: float) -> Kernel:
    """The kernel of a file, read once in a process."""
    return read_kernel(path, oversampling, pixel_scale)
