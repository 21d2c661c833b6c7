"""The physical contract of a run: what images must be for its model to mean anything.

It holds what the training archive says of its instrument, and how noisy and bright its train
images are. It is measured once, on the train split, and kept in the run's settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from lensmodels.data.settings import InputKind
from lenssim.cutouts.settings import PIXEL_SCALE_TOLERANCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from lenssim.archive import Manifest
    from lenssim.spec import Instrument

UNIT = "e-/s"
"""Unit of every simulated image."""

MEASURED_IMAGES = 8192
"""Train images that the ranges are measured on."""

ZERO_POINT_TOLERANCE = 0.1
"""Difference of zero points that is accepted, magnitudes."""

PSF_TOLERANCE = 0.1
"""Relative difference of the PSF's width that is accepted."""

TRIMMED = 0.001
"""Share of the train images beyond each end of a range: a damaged image must not widen it."""

WIDENING = 0.5
"""How far an image may lie outside a range, in widths of the range."""

MIN_FACTOR = 1.25
"""Noise, flux and peak may differ from the range by this factor in any case."""

MIN_SKY_MARGIN = 0.3
"""The sky level may differ from the range by this much in any case, in units of the noise."""

Statistic = Literal["noise", "sky", "flux", "peak"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)

NAMES: dict[Statistic, str] = {
    "noise": "noise",
    "sky": "sky level",
    "flux": "total flux",
    "peak": "peak",
}
"""Names of the statistics in messages."""


class InstrumentFacts(BaseModel):
    """What an archive says of the instrument of its images; None if it does not state it.

    Attributes:
        unit: of a pixel's value.
        pixel_scale: arcsec.
        zero_point: magnitude of one electron per second.
        psf_fwhm: arcsec.
    """

    model_config = ConfigDict(extra="forbid")

    unit: str | None = None
    pixel_scale: float | None = None
    zero_point: float | None = None
    psf_fwhm: float | None = None

    @classmethod
    def of_archive(cls, manifest: Manifest, pixels: InputKind = "image") -> InstrumentFacts:
        """What the manifest of an archive tells: of imported images the pixel scale, at most, and
        of telescope images the unit and zero point that they were brought to.

        Args:
            manifest: of the archive.
            pixels: what a model sees of an image.
        """
        pixel_scale = manifest.model.pixel_scale
        if pixels != "image":
            return cls(pixel_scale=pixel_scale)
        if manifest.imported is not None:
            cutouts = manifest.imported.cutouts
            if cutouts is None:
                return cls(pixel_scale=pixel_scale)
            return cls(unit=UNIT, pixel_scale=pixel_scale, zero_point=cutouts.zero_point)
        return cls.of_instrument(manifest.specification().instrument)

    @classmethod
    def of_instrument(cls, instrument: Instrument) -> InstrumentFacts:
        """What a specification states of its instrument."""
        return cls(
            unit=UNIT,
            pixel_scale=instrument.pixel_scale,
            zero_point=_number(instrument.zero_point),
            psf_fwhm=_number(instrument.psf_fwhm),
        )

    def differences(self, other: InstrumentFacts) -> list[str]:
        """What another instrument has different, as in "pixel scale 0.08 instead of 0.101 arcsec".

        Facts that either side does not know are not compared.
        """
        texts = []
        if differs(self.pixel_scale, other.pixel_scale, relative=PIXEL_SCALE_TOLERANCE):
            texts.append(
                f"pixel scale {other.pixel_scale:.4g} instead of {self.pixel_scale:.4g} arcsec"
            )
        if differs(self.zero_point, other.zero_point, absolute=ZERO_POINT_TOLERANCE):
            texts.append(f"zero point {other.zero_point:.5g} instead of {self.zero_point:.5g} mag")
        if differs(self.psf_fwhm, other.psf_fwhm, relative=PSF_TOLERANCE):
            texts.append(f"PSF FWHM {other.psf_fwhm:.3g} instead of {self.psf_fwhm:.3g} arcsec")
        return texts


@dataclass(frozen=True)
class Departure:
    """A statistic of an image that lies outside the limits of the training set.

    Attributes:
        statistic: which.
        value: of the image.
        low, high: range of the train images.
        unit: of all three; None if it is not known.
    """

    statistic: Statistic
    value: float
    low: float
    high: float
    unit: str | None

    @property
    def side(self) -> str:
        """Which side of the range: above or below."""
        return "above" if self.value > self.high else "below"

    @property
    def problem(self) -> str:
        """As in "noise above the training set's 0.0101 to 0.0119 e-/s"."""
        unit = "" if self.unit is None else f" {self.unit}"
        return (
            f"{NAMES[self.statistic]} {self.side} the training set's {self.low:.4g} to "
            f"{self.high:.4g}{unit}"
        )

    def __str__(self) -> str:
        return (
            f"{NAMES[self.statistic]} {self.value:.3g} {self.side} {self.low:.4g}..{self.high:.4g}"
        )


class ImageContract(InstrumentFacts):
    """What the images of a run's training are.

    Attributes:
        sky_noise: standard deviation of the background in a pixel, e-/s, the median over images.
        ranges: smallest and largest value of each of `STATISTICS` over the train images but for the
            share `TRIMMED` at each end, e-/s.
    """

    sky_noise: float
    ranges: dict[Statistic, tuple[float, float]]

    @classmethod
    def measure(
        cls, facts: InstrumentFacts, batches: Iterable[Mapping[str, Tensor]]
    ) -> ImageContract:
        """The contract of an archive, from the first images of a stream of its train split.

        Args:
            facts: of the archive.
            batches: in a random order, with "image", shape (n, 1, height, width), in each.
        """
        import numpy as np
        import torch

        from lensmodels.data.scaling import image_statistics

        measured: list[dict[str, Tensor]] = []
        count = 0
        for batch in batches:
            measured.append(image_statistics(batch["image"].cpu()))
            count += len(batch["image"])
            if count >= MEASURED_IMAGES:
                break
        ranges: dict[Statistic, tuple[float, float]] = {}
        for name in STATISTICS:
            values = torch.cat([batch[name] for batch in measured]).numpy()
            low, high = np.quantile(values, [TRIMMED, 1 - TRIMMED])
            ranges[name] = (_rounded(low), _rounded(high))
        noise = torch.cat([batch["noise"] for batch in measured]).median()
        return cls(**facts.model_dump(), sky_noise=_rounded(noise), ranges=ranges)

    def limits(self, statistic: Statistic) -> tuple[float, float]:
        """Values of a statistic that count as near to the training set, e-/s."""
        low, high = self.ranges[statistic]
        if statistic == "sky" or low <= 0:
            min_margin = MIN_SKY_MARGIN * self.sky_noise if statistic == "sky" else 0.0
            margin = max(WIDENING * (high - low), min_margin)
            return low - margin, high + margin
        factor = max(MIN_FACTOR, (high / low) ** WIDENING)
        return low / factor, high * factor

    def departures(self, images: Tensor) -> list[list[Departure]]:
        """What in each of some images is far from the training set.

        Args:
            images: shape (n, 1, height, width), e-/s per pixel.

        Returns:
            For each image, the statistics that lie outside their limits.
        """
        import numpy as np

        from lensmodels.data.scaling import image_statistics

        departures: list[list[Departure]] = [[] for _ in range(len(images))]
        statistics = image_statistics(images.cpu())
        for name in STATISTICS:
            low, high = self.limits(name)
            values = statistics[name].numpy()
            for place in np.flatnonzero((values < low) | (values > high)):
                departures[place].append(
                    Departure(name, float(values[place]), *self.ranges[name], self.unit)
                )
        return departures


def differs(
    ours: float | None, theirs: float | None, *, relative: float = 0.0, absolute: float = 0.0
) -> bool:
    """Whether two numbers, both known, differ by more than a tolerance.

    Args:
        ours: of the training images; None if not known.
        theirs: of the images compared with them; None if not known.
        relative: tolerance as a share of `ours`.
        absolute: tolerance that is added to it.
    """
    if ours is None or theirs is None:
        return False
    return abs(theirs - ours) > absolute + relative * abs(ours)


def without_pixel(
    fwhm: NDArray[np.float64], pixel_scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The FWHM of a PSF before it is integrated over a pixel, as specifications state it.

    Variances add up: that of a pixel is a twelfth of its area.

    Args:
        fwhm: of a star in an image, arcsec.
        pixel_scale: arcsec, of the same shape.

    Returns:
        Arcsec; zero where the star is sharper than a pixel.
    """
    of_pixel = 8.0 * math.log(2.0) * pixel_scale**2 / 12.0
    squared: NDArray[np.float64] = (fwhm**2 - of_pixel).clip(min=0.0)
    return squared**0.5


def _number(value: Any) -> float | None:
    """A value of a specification where it is one number, and not a distribution."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _rounded(value: Any) -> float:
    """Six significant digits, which are enough for a range and keep the settings readable."""
    return float(f"{float(value):.6g}")
