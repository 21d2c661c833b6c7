"""The model that a run ends with: raw image in, the task's outputs out."""

from __future__ import annotations

from torch import Tensor, nn

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder
from lensmodels.tasks import Task


class LensModel(nn.Module):
    """Input scaling, encoder and head.

    Args:
        scaling: of raw images, measured on the train split.
        encoder: scaled images to features.
        task: decides the head's size and says what its outputs mean.
    """

    def __init__(self, scaling: InputScaling, encoder: Encoder, task: Task) -> None:
        super().__init__()
        self.scaling = scaling
        self.encoder = encoder
        self.task = task
        self.head = nn.Linear(encoder.num_features, task.output_size)

    def embed(self, images: Tensor) -> Tensor:
        """Features, (n, num_features), of raw images, e-/s, (n, 1, height, width)."""
        return self.encoder(self.scaling(images))

    def forward(self, images: Tensor) -> Tensor:
        """The task's outputs, (n, output_size), for raw images, e-/s, (n, 1, height, width)."""
        return self.head(self.embed(images))
