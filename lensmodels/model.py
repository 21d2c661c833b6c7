"""The model that a run ends with: raw image in, the task's outputs out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder
from lensmodels.tasks import Task
from lensmodels.views import SYMMETRIES, apply_dihedral


class LensModel(nn.Module):
    """Input scaling, encoder and head.

    Args:
        scaling: of raw images, measured on the train split.
        encoder: scaled images to features.
        task: decides the head's size and says what its outputs mean.

    Attributes:
        average_symmetries: whether features are the mean over the eight symmetries of an image,
            and with them the outputs: nothing then depends on how a lens lies on the sky by right
            angles, at eight times the work.
        run: folder that it was loaded from, which holds its calibration; None of a new model.
    """

    average_symmetries = False
    run: Path | None = None

    def __init__(self, scaling: InputScaling, encoder: Encoder, task: Task) -> None:
        super().__init__()
        self.scaling = scaling
        self.encoder = encoder
        self.task = task
        self.head = _head(encoder.num_features, task.settings.bottleneck, task.output_size)

    def embed(self, images: Tensor) -> Tensor:
        """Features, (n, num_features), of raw images, e-/s, (n, 1, height, width)."""
        scaled = self.scaling(images)
        if not self.average_symmetries:
            return self.encoder(scaled)
        same = torch.zeros(len(scaled), dtype=torch.long, device=scaled.device)
        symmetric = (apply_dihedral(scaled, same + element) for element in range(SYMMETRIES))
        return torch.stack([self.encoder(image) for image in symmetric]).mean(0)

    def forward(self, images: Tensor) -> Tensor:
        """The task's outputs, (n, output_size), for raw images, e-/s, (n, 1, height, width)."""
        return self.head(self.embed(images))


def _head(features: int, units: int, outputs: int) -> nn.Module:
    """From features to outputs: linear, or by way of a layer of so many units."""
    if units == 0:
        return nn.Linear(features, outputs)
    return nn.Sequential(nn.Linear(features, units), nn.GELU(), nn.Linear(units, outputs))
