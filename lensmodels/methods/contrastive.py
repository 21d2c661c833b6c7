"""Contrastive learning: two views of an image attract, those of different images repel.

SimCLR's loss and head (Chen et al. 2020, arXiv:2002.05709) on the two pretexts of the study:
an image and the same image rotated, or the same image with Gaussian noise. Which of them is
decided by the views alone.
"""

from __future__ import annotations

from typing import Any

from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from torch import Tensor

from lensmodels.errors import UsageError
from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import ContrastiveSettings
from lensmodels.views import Recipe, ViewSettings


class Contrastive(Pretraining):
    """NT-Xent between two views; the other images of the batch, of all processes, are negatives."""

    stage: ContrastiveSettings

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        size = self.encoder.num_features
        # one hidden layer as in section 2.1 there; with norms, without which a transformer can fall
        # into giving every image the same projection in its first steps
        hidden = self.stage.width(size, per_feature=1, at_least=1)
        self.projection_head = SimCLRProjectionHead(size, hidden, 128)
        if self.scaling.is_noiseless and _differ_by_noise_alone(self.views.recipe):
            raise UsageError(
                "The images have no noise, and the two views of contrastive-noise would be the "
                "same: give the noise a unit, as by --set data.noise_unit=0.01, a hundredth of the "
                "brightest pixel."
            )
        self.criterion = NTXentLoss(self.stage.temperature, gather_distributed=True)

    def loss(self, views: list[Tensor]) -> Tensor:
        """NT-Xent, equation 1 there, of the projections of two views."""
        first, second = (self.projection_head(self.encoder(view)) for view in views)
        return self.criterion(first, second)


def _differ_by_noise_alone(recipe: Recipe) -> bool:
    """Whether nothing but noise tells the views of a recipe from each other."""
    return all(
        view.model_copy(update={"noise": (0.0, 0.0), "count": 1}) == ViewSettings()
        for view in recipe
    )
