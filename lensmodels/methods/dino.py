"""DINO: a student learns the teacher's assignment of an image from smaller views of it.

Caron et al. 2021, arXiv:2104.14294. Departures from the paper: views without crops that are
resized, which would change the Einstein radius (views.yaml), and two local ones for eight; fewer
prototypes, and a head of 512 hidden units in place of 2048; a constant weight decay, no clipping of
gradients, and no first epoch with a frozen last layer.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from pydantic import Field
from torch import Tensor, nn

from lensmodels.data import Batch
from lensmodels.errors import UsageError
from lensmodels.methods.base import LEAST_TEMPERATURE, AveragingSettings, Pretraining
from lensmodels.views import Recipe


class DINOSettings(AveragingSettings):
    """How long and how fast to train, and how sharp the assignments are.

    Attributes:
        student_temperature: of the student's, as in the paper.
        teacher_temperature: of the teacher's once it has risen, as in the paper.
        prototypes: that images are assigned to; 1024 in place of 65,536, as there are not more
            kinds of lens in ten thousand images.
    """

    student_temperature: float = Field(0.1, ge=LEAST_TEMPERATURE, allow_inf_nan=False)
    teacher_temperature: float = Field(0.07, ge=LEAST_TEMPERATURE, allow_inf_nan=False)
    prototypes: int = Field(1024, ge=2)


class DINO(Pretraining):
    """Self-distillation without labels; centring and a sharp teacher keep it from collapse."""

    defaults = DINOSettings(epochs=100, learning_rate=1e-3)
    stage: DINOSettings
    # two whole views and two of a quarter of the pixels, and the whole ones through the teacher
    passes = 2 + 2 / 4 + 2 / 3

    # the first two of the recipe are global, all others local
    global_views = 2
    # the teacher's temperature rises from here over the first tenth, as in the paper's 30 epochs of
    # 300
    first_temperature, rise = 0.04, 0.1

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        size = self.encoder.num_features
        self.student = nn.Sequential(self.encoder, self._head(size))
        self.teacher = nn.Sequential(copy.deepcopy(self.encoder), self._head(size))
        self.teacher.load_state_dict(self.student.state_dict())
        deactivate_requires_grad(self.teacher)
        self.criterion = DINOLoss(
            self.stage.prototypes, student_temp=self.stage.student_temperature
        )

    def _head(self, size: int) -> nn.Module:
        with warnings.catch_warnings():  # of how lightly norms the weights of the last layer
            warnings.simplefilter("ignore", FutureWarning)
            return DINOProjectionHead(size, 512, 256, self.stage.prototypes)

    @classmethod
    def check_views(cls, recipe: Recipe) -> None:
        """Needs two global views; any number of local ones may follow."""
        count = sum(view.count for view in recipe)
        if count < cls.global_views:
            raise UsageError(f"DINO compares {cls.global_views} views or more, not {count}.")

    @property
    def trained_encoder(self) -> nn.Module:
        """The teacher's, which is better than the student's throughout (section 5.2 there)."""
        return self.teacher[0]

    def loss(self, views: list[Tensor]) -> Tensor:
        """Cross-entropy of every student's view against the teacher's other global views."""
        with torch.no_grad():
            teacher = [self.teacher(view) for view in views[: self.global_views]]
        student = [self.student(view) for view in views]
        rise = min(1.0, self.progress / self.rise)
        temperature = self.first_temperature + rise * (
            self.stage.teacher_temperature - self.first_temperature
        )
        return self.criterion(teacher, student, teacher_temp=temperature)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Moves the teacher towards the student of the step before, ever more slowly."""
        super().on_train_batch_start(batch, batch_idx)
        momentum = self.stage.momentum_at(self.global_step, self.total_steps)
        update_momentum(self.student, self.teacher, momentum)

    def configure_optimizers(self) -> Any:
        """AdamW, as in the paper."""
        return self.adamw()
