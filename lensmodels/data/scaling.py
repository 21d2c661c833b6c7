"""Scaling of images, in e-/s per pixel, to the range that networks learn from.

The constants are measured once, on the train split, and travel with the model: an image is scaled
the same way in training, in evaluation and on the night a new one is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from lensmodels.data.settings import COMPONENTS, ScalingKind
from lensmodels.data.whitening import Whitening
from lensmodels.errors import DataError, UsageError

NORMAL_OVER_MAD = 1.4826
"""Standard deviation over median absolute deviation, of a normal distribution."""


def sky_rows(images: Tensor) -> Tensor:
    """The outermost rows of images, an eighth of the height on each side, where light is least.

    Args:
        images: shape (n, 1, height, width), any unit.

    Returns:
        Shape (n, 1, rows, width).
    """
    height = max(2, images.shape[-2] // 8)
    return torch.cat([images[..., :height, :], images[..., -height:, :]], dim=-2)


def image_statistics(images: Tensor) -> dict[str, Tensor]:
    """Four numbers an image that tell other units, exposures and instruments apart.

    Args:
        images: shape (n, channels, height, width), e-/s per pixel; of several channels, the first.

    Returns:
        Each of shape (n,), float64, e-/s:
        noise: standard deviation of the background in a pixel, from the differences of neighbours
            in the outermost rows by their median absolute deviation;
        sky: median of the outermost rows;
        flux: sum of all pixels above the sky level;
        peak: brightest pixel above the sky level.
    """
    images = images[:, :1]
    rows = sky_rows(images).double()
    differences = (rows[..., 1:] - rows[..., :-1]).flatten(1)
    centred = differences - differences.median(1, keepdim=True).values
    noise = NORMAL_OVER_MAD / 2**0.5 * centred.abs().median(1).values
    sky = rows.flatten(1).median(1).values
    above = images.double().flatten(1) - sky[:, None]
    return {"noise": noise, "sky": sky, "flux": above.sum(1), "peak": above.amax(1)}


MEASURED_IMAGES = 8192
"""Images that the constants are measured on: their scatter is then below a percent, and whitening
tells its components from the noise."""

SOFTENING: dict[ScalingKind, float] = {"whitened": 50.0, "asinh": 5.0, "min-max": 5.0}
"""Where the asinh stretch turns from linear to logarithmic, in units of the sky noise.

Whitening wants the same noise in every pixel: photon noise and the sky's are about alike after a
stretch that turns at 50. Without it, one that turns early makes the share by which substructure
changes an arc's brightness the same in bright arcs and faint ones; on model B one that turns at 50
is better by 0.01 macro AUC after four epochs (docs/explanation/findings.md).
"""

_MIN_SOFTENING = 1e-3
"""Smallest softening, as a share of the median peak: simulations without noise are scaled too."""


_NOISELESS = 1 / 200
"""Noise over the softening of the stretch below which images count as noise-free: the softening is
5 to 100 times the noise, and a thousandth of the peak at least."""


def estimate_sky_noise(images: Tensor) -> float:
    """Standard deviation of the background in one pixel, from the images alone.

    From the differences of neighbours in the outermost eighth of the image, where there is least
    light: a smooth background drops out of a difference, and the median absolute deviation does
    not feel the few pixels that a bright arc reaches.

    Args:
        images: e-/s, (n, 1, height, width).

    Returns:
        Noise in e-/s; 0 where the images have none.
    """
    rows = sky_rows(images)
    differences = (rows[..., 1:] - rows[..., :-1]).flatten().double()
    deviation = (differences - differences.median()).abs().median()
    return float(NORMAL_OVER_MAD * deviation / 2**0.5)


class InputScaling(nn.Module):
    """Scales raw images, e-/s, (n, channels, height, width), to float32 of order one.

    Of two channels the first, a residual, is scaled as asked for, and the second, an image, by an
    asinh stretch of its own.

    Kinds:
        asinh: asinh(image / softening), less its mean, over its standard deviation, the same three
            constants for every image, so that brightness is kept.
        whitened: the same, and then its principal components brought to one variance.
        min-max: each image to [0, 1] by its own extremes, as in Deshmukh et al. 2023.

    Args:
        kind: "whitened", "asinh" or "min-max".
        sky_noise: standard deviation of the background in one pixel, e-/s.
        softening: e-/s, of the asinh.
        noise_unit: of noise that views add, e-/s; the sky noise if not given.
        mean, standard_deviation: of the stretched pixels of the train split.
        whitening: of the stretched images, where that is the kind.
        beside: of the second channel, if images have two.
    """

    def __init__(
        self,
        kind: ScalingKind = "asinh",
        *,
        sky_noise: float = 0.0,
        softening: float = 1.0,
        noise_unit: float | None = None,
        mean: float = 0.0,
        standard_deviation: float = 1.0,
        whitening: Whitening | None = None,
        beside: InputScaling | None = None,
    ) -> None:
        super().__init__()
        if kind not in get_args(ScalingKind):
            known = ", ".join(get_args(ScalingKind))
            raise UsageError(f"Input scaling {kind!r} is unknown; choose one of {known}.")
        if (kind == "whitened") != (whitening is not None):
            raise UsageError("A whitening goes with the input scaling of that kind, and no other.")
        self.kind = kind
        self.sky_noise = sky_noise
        self.softening = softening
        self.noise_unit = sky_noise if noise_unit is None else noise_unit
        self.mean = mean
        self.standard_deviation = standard_deviation
        self.whitening = whitening
        self.beside = beside

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images, float32, of the same shape."""
        images = images.float()
        if self.beside is not None:
            first = self._scaled(images[..., :1, :, :])
            return torch.cat([first, self.beside(images[..., 1:, :, :])], dim=-3)
        return self._scaled(images)

    def _scaled(self, images: Tensor) -> Tensor:
        if self.kind == "min-max":
            low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
            return (images - low) / (high - low).clamp_min(torch.finfo(images.dtype).tiny)
        stretched = self.stretched(images)
        return stretched if self.whitening is None else self.whitening(stretched)

    @property
    def is_noiseless(self) -> bool:
        """Whether the unit of the noise is far below what noise the softening suits."""
        return self.noise_unit < _NOISELESS * self.softening

    @property
    def noise_units(self) -> tuple[float, ...]:
        """Unit of the noise that views add, e-/s, by channel."""
        beside = () if self.beside is None else (self.beside.noise_unit,)
        return (self.noise_unit, *beside)

    def stretched(self, images: Tensor) -> Tensor:
        """The asinh of raw images, e-/s, standardised: what a whitening works on.

        Of images with two channels, that of the first, shape (n, 1, height, width).
        """
        return (
            torch.asinh(images[..., :1, :, :].float() / self.softening) - self.mean
        ) / self.standard_deviation

    @classmethod
    def of_channels(cls, channels: int) -> InputScaling:
        """A scaling of unit constants for images with one channel or two, to try an encoder by."""
        unit = cls(noise_unit=1.0)
        return unit if channels == 1 else cls(noise_unit=1.0, beside=unit)

    @classmethod
    def measure(
        cls,
        batches: Iterable[Mapping[str, Tensor]],
        kind: ScalingKind = "whitened",
        *,
        softening: float | None = None,
        noise_unit: float | None = None,
        components: int = COMPONENTS,
    ) -> InputScaling:
        """The scaling for a data set, from the first images of a stream of it.

        Args:
            batches: of the train split, in a random order, with "image" in each.
            kind: "whitened", "asinh" or "min-max".
            softening: of the asinh, in units of the sky noise; what suits the kind if not given.
            noise_unit: of noise that views add, as a share of the median peak; the sky noise if not
                given.
            components: that whitening keeps.

        Raises:
            DataError: if there are no images, they are all of one value, or hold NaN.
        """
        collected, count = [], 0
        for batch in batches:
            collected.append(batch["image"].cpu())
            count += len(collected[-1])
            if count >= MEASURED_IMAGES:
                break
        if not collected:
            raise DataError("There are no train images to measure the input scaling on.")
        images = torch.cat(collected)[:MEASURED_IMAGES].float()
        if not images.isfinite().all():
            raise DataError("Train images hold values that are not finite; see `lenssim verify`.")
        scaling = cls._of_channel(images[:, :1], kind, softening, noise_unit, components)
        if images.shape[1] > 1:
            scaling.beside = cls._of_channel(images[:, 1:], "asinh", None, noise_unit, components)
        return scaling

    @classmethod
    def _of_channel(
        cls,
        images: Tensor,
        kind: ScalingKind,
        softening: float | None,
        noise_unit: float | None,
        components: int,
    ) -> InputScaling:
        """The scaling of one channel, (n, 1, height, width); see `measure`."""
        sky_noise = estimate_sky_noise(images)
        peak = float(images.abs().amax((-2, -1)).median())
        softening = SOFTENING[kind] if softening is None else softening
        scale = max(softening * sky_noise, _MIN_SOFTENING * peak)
        if scale == 0 or images.std() == 0:
            raise DataError("The train images are blank: every pixel has the same value.")
        stretched = torch.asinh(images / scale).double()
        mean, deviation = float(stretched.mean()), float(stretched.std())
        whitening = None
        if kind == "whitened":
            whitening = Whitening.measure(((stretched - mean) / deviation).float(), components)
        return cls(
            kind,
            sky_noise=sky_noise,
            softening=scale,
            noise_unit=None if noise_unit is None else noise_unit * peak,
            mean=mean,
            standard_deviation=deviation,
            whitening=whitening,
        )

    def to_dict(self) -> dict[str, Any]:
        """The kind and every number, for a YAML or JSON file; a whitening is tensors besides."""
        constants = {
            "kind": self.kind,
            "sky_noise": self.sky_noise,
            "softening": self.softening,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
        }
        if self.noise_unit != self.sky_noise:
            constants["noise_unit"] = self.noise_unit
        return constants if self.beside is None else constants | {"beside": self.beside.to_dict()}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], whitening: Whitening | None = None
    ) -> InputScaling:
        """The scaling that `to_dict` described.

        Raises:
            UsageError: if a constant is missing or unknown.
        """
        try:
            given = dict(values)
            beside = given.pop("beside", None)
            if beside is not None:
                given["beside"] = cls.from_dict(beside)
            return cls(**given, whitening=whitening)
        except TypeError:
            raise UsageError(
                f"An input scaling has {', '.join(cls().to_dict())}; this one has "
                f"{', '.join(values) or 'nothing'}."
            ) from None

    def extra_repr(self) -> str:
        """Constants, as shown when a model is printed."""
        return ", ".join(f"{name}={value}" for name, value in self.to_dict().items())
