"""SimSiam: predict one's own projection of another view, which is held still meanwhile.

Chen & He 2021, arXiv:2011.10566.
"""

from __future__ import annotations

from typing import Any

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor

from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import SimSiamSettings


class SimSiam(Pretraining):
    """BYOL without the average: what keeps it from collapse is that the target gets no gradient."""

    stage: SimSiamSettings

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        features = self.encoder.num_features
        # 2048 for as many features, as in the paper; the predictor's bottleneck is a quarter
        width = self.stage.width(features, per_feature=1, at_least=512)
        self.projection_head = SimSiamProjectionHead(features, width, width)
        self.prediction_head = SimSiamPredictionHead(width, max(1, width // 4), width)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor]) -> Tensor:
        """Symmetric negative cosine with the gradient stopped, algorithm 1 there."""
        first, second = (self.projection_head(self.encoder(view)) for view in views)
        return 0.5 * (
            self.criterion(self.prediction_head(first), second.detach())
            + self.criterion(self.prediction_head(second), first.detach())
        )

    def configure_optimizers(self) -> Any:
        """AdamW in place of SGD; the predictor's learning rate stays (appendix A there)."""
        return self.adamw(self.encoder, unscheduled=self.prediction_head)
