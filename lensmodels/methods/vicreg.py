"""VICReg: two views are alike, and the outputs vary and are uncorrelated over the batch.

Bardes, Ponce & LeCun 2022, arXiv:2105.04906.
"""

from __future__ import annotations

from typing import Any

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from torch import Tensor

from lensmodels.data.whitening import full_precision
from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import VICRegSettings


class VICReg(Pretraining):
    """Neither negatives nor a teacher: the spread of every output keeps it from collapse."""

    stage: VICRegSettings

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        features = self.encoder.num_features
        # a quarter of the paper's 8192 for a ResNet-50: covariances of a few hundred images have no
        # more independent entries
        width = self.stage.width(features, per_feature=1, at_least=512)
        self.projection_head = VICRegProjectionHead(features, width, width)
        self.criterion = VICRegLoss(
            self.stage.invariance,
            self.stage.variance,
            self.stage.covariance,
            gather_distributed=True,
        )

    def loss(self, views: list[Tensor]) -> Tensor:
        """Invariance, variance and covariance, equation 6 there, of the outputs for two views."""
        first, second = (self.projection_head(self.encoder(view)) for view in views)
        # a covariance is a small difference of large sums
        with full_precision(first.device):
            return self.criterion(first.float(), second.float())
