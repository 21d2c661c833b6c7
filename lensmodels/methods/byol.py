"""BYOL: predict what a slowly moving average of oneself makes of another view.

Grill et al. 2020, arXiv:2006.07733.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor, nn

from lensmodels.methods.average import Averaging


class BYOL(Averaging):
    """An online network predicts the target network's projection; the target is its average."""

    # two views forward and backward, and forward through the target
    relative_cost = 2 + 2 / 3
    averaged = (("online", "target"),)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        features = self.encoder.num_features
        # 4096 for the 2048 features of a ResNet-50, as in the paper
        hidden = self.stage.width(features, per_feature=2, at_least=1024)
        self.online = nn.Sequential(self.encoder, BYOLProjectionHead(features, hidden, 256))
        self.prediction_head = BYOLPredictionHead(256, hidden, 256)
        self.target = self.start_equal(self.online, copy.deepcopy(self.online))
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
