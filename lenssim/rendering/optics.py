"""The PSF of an image, as its specification and the image's own draw give it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lenssim.population import LensSystem
from lenssim.rendering.point_spread import Gaussian, PointSpread
from lenssim.spec import Instrument


def point_spreads(
    instrument: Instrument, systems: Sequence[LensSystem]
) -> list[PointSpread] | None:
    """PSF of each system; None where the PSF is applied to pixel fluxes, as in 1.0.0.

    Args:
        instrument: of the specification.
        systems: a `psf_fwhm` of their own goes before that of the instrument.
    """
    if getattr(instrument, "psf_sampling", "pixel") == "pixel":
        return None
    return [
        Gaussian(instrument.psf_fwhm if math.isnan(system.psf_fwhm) else system.psf_fwhm)
        for system in systems
    ]
