"""The contract that every engine keeps, and the engines by name.

To add an engine (`reference.py` is the shorter example):

1. Write a module here with a function `pixel_fluxes` that is an `Engine`.
2. Give it a name in `EngineName`, and return it from `engine`, imported there.
3. Offer the name by `--engine` in lenssim/cli.py.
4. Add it to the tests in tests/lenssim/rendering that compare the engines.

To add a lens profile to the engines, see `lenssim.profiles` and docs/how-to/lens-profile.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from lenssim.population import LensSystem
from lenssim.rendering.point_spread import PointSpread
from lenssim.spec import Sampling, Specification

EngineName = Literal["fast", "lenstronomy"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


class PixelNoise(NamedTuple):
    """Noise of a pixel: variance(flux) = background_variance + flux / exposure_time.

    `background_variance` is in (e-/s)^2, `exposure_time` in seconds.
    """

    background_variance: float
    exposure_time: float


class Engine(Protocol):
    """Renders systems: the flux that falls on each pixel, without noise."""

    def __call__(
        self,
        systems: Sequence[LensSystem],
        spec: Specification,
        sampling: Sampling,
        noise: PixelNoise,
        psfs: Sequence[PointSpread] | None = None,
    ) -> NDArray[np.float64]:
        """Pixel fluxes.

        Args:
            systems: what to render, n of them.
            spec: its instrument, and how its vortex is made.
            sampling: how to integrate over pixels, the specification's own as a rule.
            noise: what an adaptive tolerance is measured in.
            psfs: PSF of each system, taken into the integral over pixels; if not given, the
                fluxes are those before any PSF.

        Returns:
            e-/s, shape (n, num_pix, num_pix), axes (sample, y, x), the last two both rising.
        """
        ...


def engine(name: EngineName) -> Engine:
    """The engine of a name, which is imported now: lenstronomy takes a while.

    Raises:
        ValueError: if there is no such engine.
    """
    if name == "fast":
        from lenssim.rendering.fast import pixel_fluxes

        return pixel_fluxes
    if name == "lenstronomy":
        from lenssim.rendering.reference import pixel_fluxes as reference_fluxes

        return reference_fluxes
    raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {name!r}.")
