"""Keeping the weights of the epoch that validation prefers."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

WATCHED = "val_loss"


class KeepBestEpoch(Callback):
    """Notes the weights of the epoch whose validation loss was lowest; a checkpoint holds them.

    A long training from random weights overfits a few labels: stopped where validation says, it is
    the baseline that compute alone can buy.
    """

    def __init__(self) -> None:
        self.loss = math.inf
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Copies the weights if the loss is the lowest so far."""
        loss = float(trainer.callback_metrics.get(WATCHED, math.inf))
        if loss < self.loss:
            self.loss = loss
            weights = pl_module.state_dict()
            self.weights = {name: value.detach().clone() for name, value in weights.items()}

    def restore(self, module: torch.nn.Module) -> None:
        """Gives a module the weights of its best epoch; its last if none was validated."""
        if self.weights:
            module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """For a resume."""
        return {"loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.loss, self.weights = state_dict["loss"], state_dict["weights"]
