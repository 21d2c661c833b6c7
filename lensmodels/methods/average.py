"""A teacher that is the exponential moving average of the network that it teaches.

Tarvainen & Valpola 2017, arXiv:1703.01780.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import nn

from lensmodels.data import Batch
from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import AveragingSettings

Network = TypeVar("Network", bound=nn.Module)


class Averaging(Pretraining):
    """A method with such a teacher.

    Attributes:
        averaged: names of the attributes that hold a network and its average, in pairs.
    """

    stage: AveragingSettings
    averaged: ClassVar[tuple[tuple[str, str], ...]] = (("student", "teacher"),)

    @staticmethod
    def start_equal(network: nn.Module, average: Network) -> Network:
        """The average, with the weights of the network and without gradients."""
        average.load_state_dict(network.state_dict())
        deactivate_requires_grad(average)
        return average

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Moves the average towards the network of the step before, ever more slowly."""
        super().on_train_batch_start(batch, batch_idx)
        momentum = self.stage.momentum_at(self.global_step, self.total_steps)
        for network, average in self.averaged:
            update_momentum(getattr(self, network), getattr(self, average), momentum)
