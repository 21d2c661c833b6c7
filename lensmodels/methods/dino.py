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
from torch import Tensor, nn

from lensmodels.data import Batch
from lensmodels.encoders import Encoder
from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import COMPARED_VIEWS, DINO_DEFAULTS, DINOSettings


class DINO(Pretraining):
    """Self-distillation without labels; centring and a sharp teacher keep it from collapse."""

    defaults = DINO_DEFAULTS
    stage: DINOSettings
    # two whole views and two of a quarter of the pixels, and the whole ones through the teacher
    relative_cost = 2 + 2 / 4 + 2 / 3

    # the first two of the recipe are global, all others local
    global_views = COMPARED_VIEWS
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

    @property
    def trained_encoder(self) -> Encoder:
        """The teacher's, which is better than the student's throughout (section 5.2 there)."""
        encoder = self.teacher[0]
        assert isinstance(encoder, Encoder)
        return encoder

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
