"""BYOL: predict what a slowly moving average of oneself makes of another view.

Grill et al. 2020, arXiv:2006.07733.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from lensmodels.data import Batch
from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import BYOL_DEFAULTS, AveragingSettings


class BYOL(Pretraining):
    """An online network predicts the target network's projection; the target is its average."""

    defaults = BYOL_DEFAULTS
    stage: AveragingSettings
    # two views forward and backward, and forward through the target
    relative_cost = 2 + 2 / 3

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        # hidden layers of 1024 in place of 4096, as the encoders here have 64 to 512 features and
        # not the 2048 of a ResNet50
        self.online = nn.Sequential(
            self.encoder, BYOLProjectionHead(self.encoder.num_features, 1024, 256)
        )
        self.prediction_head = BYOLPredictionHead(256, 1024, 256)
        self.target = copy.deepcopy(self.online)
        deactivate_requires_grad(self.target)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor]) -> Tensor:
        """Symmetric negative cosine between prediction and target, equation 2 there less 2."""
        first, second = views
        with torch.no_grad():
            first_target, second_target = self.target(first), self.target(second)
        first_prediction = self.prediction_head(self.online(first))
        second_prediction = self.prediction_head(self.online(second))
        return 0.5 * (
            self.criterion(first_prediction, second_target)
            + self.criterion(second_prediction, first_target)
        )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Moves the target towards the online network of the step before, ever more slowly."""
        super().on_train_batch_start(batch, batch_idx)
        momentum = self.stage.momentum_at(self.global_step, self.total_steps)
        update_momentum(self.online, self.target, momentum)

    def configure_optimizers(self) -> Any:
        """AdamW in place of LARS, which the paper needs for batches of thousands."""
        return self.adamw()
