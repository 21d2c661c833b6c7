"""The PSF of an image, as its specification and the image's own draw give it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lenssim.errors import UsageError
from lenssim.population import LensSystem
from lenssim.rendering.point_spread import Gaussian, Kernel, Moffat, PointSpread
from lenssim.rendering.psf_file import read_kernel
from lenssim.spec import Instrument


def point_spreads(
    instrument: Instrument, systems: Sequence[LensSystem]
) -> list[PointSpread] | None:
    """PSF of each system; None where the PSF is applied to pixel fluxes, as in 1.0.0.

    `instrument.psf` has one of the keys gaussian (fwhm), moffat (fwhm, beta) and file (a path, with
    oversampling beside it); where it is null, the PSF is a Gaussian of `instrument.psf_fwhm`.

    Args:
        instrument: of the specification.
        systems: a `psf_fwhm` of their own goes before that of the instrument.
    """
    if getattr(instrument, "psf_sampling", "pixel") == "pixel":
        return None
    return [_point_spread(instrument, system.psf_fwhm) for system in systems]


def _point_spread(instrument: Instrument, own_fwhm: float) -> PointSpread:
    """The PSF of one image, whose own width in arcsec may be NaN."""
    psf: Any = getattr(instrument, "psf", None)
    if psf is None:
        return Gaussian(_width(instrument.psf_fwhm, own_fwhm))
    if psf.file is not None:
        return _kernel(str(psf.file), psf.oversampling, instrument.pixel_scale)
    if psf.moffat is not None:
        return Moffat(_width(psf.moffat.fwhm, own_fwhm), psf.moffat.beta)
    return Gaussian(_width(psf.gaussian.fwhm, own_fwhm))


def _width(specified: Any, own: float) -> float:
    """Width of an image's own, or the one that a specification has for all."""
    if not math.isnan(own):
        return own
    low, high = getattr(specified, "support", (specified, specified))
    if low != high:
        raise UsageError(
            f"instrument.psf has a width between {low:g} and {high:g} arcsec, drawn for each "
            "image: give the system a psf_fwhm."
        )
    return float(low)


@lru_cache(maxsize=8)
def _kernel(path: str, oversampling: int, pixel_scale: float) -> Kernel:
    """The kernel of a file, read once in a process."""
    return read_kernel(path, oversampling, pixel_scale)
