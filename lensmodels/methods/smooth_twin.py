"""Smooth twin: paint what the substructure changes, the image less the same lens without it.

Supervised by the simulator, which makes both images of a pair: `--data live:MODEL` does, and no
telescope. The difference is in units of the noise, so that a bright arc weighs no more than a faint
one. The twin has the same deviates of the noise, so that little but the substructure is left in the
difference.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lensmodels.data import Batch
from lensmodels.errors import UsageError
from lensmodels.methods.base import Pretraining
from lensmodels.methods.mae import in_noise_units
from lensmodels.views import Draws, Views

HIDDEN_UNITS = 256
CHANNELS = 8
"""Of the painted image before its last convolution, which joins the regions."""


class SmoothTwin(Pretraining):
    """A small decoder paints the patch of every region from its features and the pooled ones."""

    relative_cost = 1.2  # the decoder is small beside any encoder

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        count, features = self.encoder.region_shape()
        self.side = math.isqrt(count)
        patch = self.encoder.num_pix // self.side
        if (patch * self.side, self.side**2) != (self.encoder.num_pix, count):
            raise UsageError(
                f"Encoder {self.encoder.settings.name} has {count} regions, which do not cut an "
                f"image of {self.encoder.num_pix} pixels into squares: choose another --encoder."
            )
        self.of_region = nn.Linear(features, HIDDEN_UNITS)
        self.of_image = nn.Linear(self.encoder.num_features, HIDDEN_UNITS)
        self.to_pixels = nn.Linear(HIDDEN_UNITS, CHANNELS * patch**2)
        self.shuffle = nn.PixelShuffle(patch)
        self.join = nn.Conv2d(CHANNELS, 1, 3, padding=1)
        target, _ = in_noise_units(self.scaling)
        self.targets = Views(self.views.recipe, target)

    def draw_views(self, batch: Batch, seed: int, **part: int) -> list[Tensor]:
        """The view of each image, and what it has more than its twin, in units of the noise."""
        images = batch["image"]
        own, twin = (
            self.targets(each, Draws(seed, len(images), images.device, **part))[0]
            for each in (images, batch["second_image"])
        )
        return [*super().draw_views({"image": images}, seed, **part), own - twin]

    def loss(self, views: list[Tensor]) -> Tensor:
        """Mean square error over the pixels, in units of the noise."""
        image, residual = views
        return functional.mse_loss(self.paint(image).float(), residual)

    def paint(self, image: Tensor) -> Tensor:
        """The residual that the encoder sees in scaled images, (n, 1, height, width)."""
        pooled, regions = self.encoder.pooled_and_regions(image)
        hidden = functional.gelu(self.of_region(regions) + self.of_image(pooled)[:, None])
        patches = self.to_pixels(hidden).transpose(1, 2).unflatten(2, (self.side, self.side))
        return self.join(functional.gelu(self.shuffle(patches)))
