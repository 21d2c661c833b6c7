"""DINO: a student learns the teacher's assignment of an image from smaller views of it.

Caron et al. 2021, arXiv:2104.14294. Departures from the paper: views without crops that are
resized, which would change the Einstein radius (views.yaml), and two local ones for eight; fewer
prototypes; a constant weight decay, no clipping of gradients, and no first epoch with a frozen last
layer; batch norms in the heads of encoders that do not end in one themselves (`head_norms`).
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lensmodels.encoders import Encoder
from lensmodels.methods.average import Averaging
from lensmodels.methods.settings import DINOSettings


class DINO(Averaging):
    """Self-distillation without labels; centring and a sharp teacher keep it from collapse."""

    stage: DINOSettings
    # two whole views and two of a quarter of the pixels, and the whole ones through the teacher
    relative_cost = 2 + 2 / 4 + 2 / 3

    # the first two of the recipe are global, all others local
    global_views = 2
    # the teacher's temperature rises from here over the first tenth, as in the paper's 30 epochs of
    # 300
    first_temperature, rise = 0.04, 0.1

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        features = self.encoder.num_features
        self.student = nn.Sequential(self.encoder, self.head(features))
        teacher = nn.Sequential(copy.deepcopy(self.encoder), self.head(features))
        self.teacher = self.start_equal(self.student, teacher)
        self.criterion = DINOLoss(
            self.stage.prototypes, student_temp=self.stage.student_temperature
        )

    def head(self, features: int) -> nn.Module:
        """A head from features to prototypes: 2048 hidden units for as many features."""
        hidden = self.stage.width(features, per_feature=1, at_least=512)
        norms = self.stage.head_norms
        if norms is None:
            norms = not ends_in_batch_norm(self.encoder)
        with warnings.catch_warnings():  # of how lightly norms the weights of the last layer
            warnings.simplefilter("ignore", FutureWarning)
            return DINOProjectionHead(
                features, hidden, 256, self.stage.prototypes, batch_norm=norms
            )

    @property
    def trained_encoder(self) -> Encoder:
        """The teacher's, which is better than the student's throughout (section 5.2 there)."""
        encoder = self.teacher[0]
        assert isinstance(encoder, Encoder)
        return encoder

    @property
    def teacher_temperature(self) -> float:
        """Of this step."""
        rise = min(1.0, self.progress / self.rise)
        first, last = self.first_temperature, self.stage.teacher_temperature
        return first + rise * (last - first)

    def loss(self, views: list[Tensor]) -> Tensor:
        """Cross-entropy of every student's view against the teacher's other global views."""
        with torch.no_grad():
            teacher = [self.teacher(view) for view in views[: self.global_views]]
        student = [self.student(view) for view in views]
        return self.criterion(teacher, student, teacher_temp=self.teacher_temperature)


def ends_in_batch_norm(encoder: nn.Module) -> bool:
    """Whether the last norm of an encoder is over the batch, so that features differ by image."""
    norms = [part for part in encoder.modules() if isinstance(part, (_BatchNorm, nn.LayerNorm))]
    return bool(norms) and isinstance(norms[-1], _BatchNorm)
