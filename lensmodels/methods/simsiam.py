"""SimSiam: predict one's own projection of another view, which is held still meanwhile.

Chen & He 2021, arXiv:2011.10566.
"""

from __future__ import annotations

from typing import Any

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
from torch import Tensor

from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import SIMSIAM_DEFAULTS


class SimSiam(Pretraining):
    """BYOL without the average: what keeps it from collapse is that the target gets no gradient."""

    defaults = SIMSIAM_DEFAULTS

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        # 512 in place of the paper's 2048, as the encoders here have 64 to 512 features; the
        # predictor's bottleneck is a quarter, as there
        self.projection_head = SimSiamProjectionHead(self.encoder.num_features, 512, 512)
        self.prediction_head = SimSiamPredictionHead(512, 128, 512)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: list[Tensor]) -> Tensor:
        """Symmetric negative cosine with the gradient stopped, algorithm 1 there."""
        first, second = (self.projection_head(self.encoder(view)) for view in views)
        return 0.5 * (
            self.criterion(self.prediction_head(first), second.detach())
            + self.criterion(self.prediction_head(second), first.detach())
        )

    def configure_optimizers(self) -> Any:
        """AdamW in place of SGD, as for every method here."""
        return self.adamw()
