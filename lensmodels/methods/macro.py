"""Macro parameters: tell from the image the parameters of the smooth lens and of the source.

Supervised by the simulator, which wrote them into the columns of an archive: real images come
without. What a network has to know for it, it must see through to find the substructure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lensmodels.data import Batch
from lensmodels.errors import DataError
from lensmodels.methods.base import Pretraining
from lensmodels.views import Draws, Orientation

SCALARS = (
    "lens_theta_e",
    "lens_slope",
    "source_magnitude",
    "source_r_sersic",
    "source_n_sersic",
)
"""Columns that do not change if the image is turned."""

VECTORS = (("lens_x", "lens_y"), ("source_x", "source_y"))
"""Positions, which turn with the image."""

SPINORS = (
    ("lens_e1", "lens_e2"),
    ("lens_gamma1", "lens_gamma2"),
    ("source_e1", "source_e2"),
)
"""Components of an ellipticity or shear, along twice its angle, which turn twice as far."""

COLUMNS = (*SCALARS, *(name for pair in (*VECTORS, *SPINORS) for name in pair))

MIN_SPREAD = 1e-6
"""Of a parameter, in its own unit: below, the specification does not vary it."""


class Macro(Pretraining):
    """Linear regression of the standardised parameters on the features.

    A parameter that is the same in all images, or that the archive does not state, has no weight.
    """

    relative_cost = 1.0
    columns = COLUMNS
    mean: Tensor
    spread: Tensor
    weight: Tensor

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.head = nn.Linear(self.encoder.num_features, len(COLUMNS))
        for name, values in (("mean", torch.zeros), ("spread", torch.ones), ("weight", torch.ones)):
            self.register_buffer(name, values(len(COLUMNS)))

    def measure(self, batches: Iterable[Batch]) -> None:
        """Measures the mean and spread of every parameter; those of a pair have one spread.

        Raises:
            DataError: if the images state none of the parameters, or all are the same.
        """
        values = torch.cat([parameters(batch) for batch in batches]).double()
        pairs = torch.arange(len(SCALARS), len(COLUMNS)).reshape(-1, 2)
        # turned at will, the components of a pair have the mean 0 and one spread
        mean = values.mean(0)
        mean[pairs] = 0
        spread = (values - mean).square().mean(0).sqrt()
        spread[pairs] = spread[pairs].square().mean(1, keepdim=True).sqrt().expand(-1, 2)
        varies = spread > MIN_SPREAD  # False for NaN, too
        if not varies.any():
            raise DataError(
                "The images do not tell their lens and source, or these are all alike: the method "
                "macro learns from simulated images, such as --data live:B."
            )
        self.mean.copy_(mean.where(varies, 0))
        self.spread.copy_(spread.where(varies, 1))
        self.weight.copy_(varies / varies.double().mean())

    def draw_views(self, batch: Batch, seed: int, **part: int) -> list[Tensor]:
        """The view of each image, and its parameters as it shows them, (n, parameters)."""
        images = batch["image"]
        draws = Draws(seed, len(images), images.device, **part)
        (view,) = self.views.draw(images, draws)
        return [view.image, turned(parameters(batch), view.orientation)]

    def loss(self, views: list[Tensor]) -> Tensor:
        """Mean square error of the parameters in units of their spread: 1 for their mean."""
        image, values = views
        wanted = ((values - self.mean) / self.spread).where(self.weight > 0, 0)
        error = self.head(self.encoder(image)).float() - wanted
        return (self.weight * error.square()).mean()


def parameters(batch: Batch) -> Tensor:
    """The parameters of the images of a batch, in the order of `COLUMNS`, (n, parameters)."""
    return torch.stack([batch[name] for name in COLUMNS], dim=1)


def turned(values: Tensor, orientation: Orientation) -> Tensor:
    """Parameters as they are seen in turned and mirrored images.

    Args:
        values: in the order of `COLUMNS`, (n, parameters).
        orientation: of each image.

    Returns:
        The same shape.
    """
    parts = [values[:, : len(SCALARS)]]
    pairs = values[:, len(SCALARS) :].unflatten(1, (-1, 2))
    for number, spin in enumerate([1] * len(VECTORS) + [2] * len(SPINORS)):
        cosine = torch.cos(spin * orientation.rotation)
        sine = torch.sin(spin * orientation.rotation)
        first, second = pairs[:, number, 0], orientation.parity * pairs[:, number, 1]
        parts.append(
            torch.stack([cosine * first - sine * second, sine * first + cosine * second], 1)
        )
    return torch.cat(parts, dim=1)
