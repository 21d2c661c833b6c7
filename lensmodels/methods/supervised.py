"""Supervised learning: the baseline from random weights, and the finetuning of what was pretrained.

Both are the same class with the same views and schedule, so that they differ in nothing but the
weights that they start from.
"""

from __future__ import annotations

from typing import Any

import torch
from lightly.models.utils import deactivate_requires_grad
from torch import Tensor, nn

from lensmodels.data import Batch
from lensmodels.methods.base import Module, check_finite
from lensmodels.methods.settings import SUPERVISED_DEFAULTS, StageSettings
from lensmodels.model import LensModel
from lensmodels.views import Recipe, Views


class Supervised(Module):
    """Trains a model on its task, and with it a second head where the task has a second target.

    Args:
        model: to be trained, in place.
        views: a recipe for one view.
        stage: epochs, learning rate, weight decay.
        frozen: whether only the head is trained, a linear probe; the encoder's norms are kept, too.
        batch_size: over all processes.
        total_steps: optimiser steps in the whole stage.
        seed: of the run.
    """

    defaults = SUPERVISED_DEFAULTS

    def __init__(
        self,
        model: LensModel,
        views: Recipe,
        stage: StageSettings,
        *,
        frozen: bool = False,
        batch_size: int,
        total_steps: int,
        seed: int,
    ) -> None:
        super().__init__(stage, batch_size=batch_size, total_steps=total_steps, seed=seed)
        self.model = model
        self.views = Views(views, model.scaling)
        size = model.task.auxiliary_size
        self.auxiliary_head = nn.Linear(model.encoder.num_features, size) if size else None
        self.frozen = frozen
        if frozen:
            deactivate_requires_grad(model.encoder)
            model.encoder.eval()
        self._outputs: list[Tensor] = []
        self._batches: list[Batch] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of the task on one view of each image."""
        (view,) = self.views.draw(batch["image"], self.draws(batch["image"]))
        features = self.model.encoder(view.image)
        loss = self.model.task.loss(self.model.head(features), batch)
        self.record("train_loss", loss)
        if self.auxiliary_head is None:
            return loss
        seen = batch | {"vortex_angle": view.orientation.of_angle(batch["vortex_angle"])}
        second = self.model.task.auxiliary_loss(self.auxiliary_head(features), seen)
        self.record("train_auxiliary_loss", second)
        return loss + second

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss of images as they are; outputs are kept for the score."""
        outputs = self.model(batch["image"])
        loss = self.model.task.loss(outputs, batch)
        size = len(batch["image"])
        self.log("val_loss", loss, sync_dist=True, batch_size=size)
        self._outputs.append(outputs)
        self._batches.append({key: batch[key] for key in ("label", "axion_mass")})

    def on_validation_epoch_end(self) -> None:
        """Logs the task's score."""
        whole = {key: torch.cat([part[key] for part in self._batches]) for key in self._batches[0]}
        outputs = torch.cat(self._outputs)
        self._outputs, self._batches = [], []
        check_finite([outputs], "outputs", self.current_epoch)
        self.log_dict(self.model.task.score(outputs, whole), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, as for every method here."""
        return self.adamw(self.model.encoder)
