"""What a task has to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from lensmodels.data import CLASSES, Batch, ClassName

TaskName = Literal["classification", "axion-mass"]


class TaskSettings(BaseModel):
    """Which task.

    Attributes:
        name: "classification" or "axion-mass".
        loss: of the axion mass: "huber", or "gaussian-nll", which also predicts an uncertainty.
        quadrupole: weight of a second target while the axion mass is learned, the quadrupole of the
            vortex (see `tasks.quadrupole`); 0 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: TaskName = "classification"
    loss: Literal["huber", "gaussian-nll"] = "huber"
    quadrupole: float = Field(0.0, ge=0)

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """Classes whose images it is learned from and tested on."""
        return CLASSES if self.name == "classification" else ("axion",)


class Task(ABC):
    """A head's size, loss, predictions and score.

    Attributes:
        settings: as given.
        name: "classification" or "axion-mass".
        output_size: neurons of the head.
        auxiliary_size: neurons of a second head, which is there for the training only; 0 for none.
    """

    name: TaskName
    output_size: int
    auxiliary_size: int = 0

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings

    @property
    def classes(self) -> tuple[ClassName, ...]:
        """Classes whose images it is learned from and tested on."""
        return self.settings.classes

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch; outputs are the head's, (n, output_size)."""

    def auxiliary_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """What is added to the loss: of the second head's outputs, (n, auxiliary_size)."""
        raise NotImplementedError

    @abstractmethod
    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """Columns of predictions, each (n,)."""

    @abstractmethod
    def score(self, outputs: Tensor, batch: Batch) -> dict[str, float]:
        """The score that validation shows, by its name in the log."""

    def to_dict(self) -> dict[str, Any]:
        """Settings and constants, for a YAML or JSON file."""
        return {"settings": self.settings.model_dump()}
