"""What a task has to say.

To add a task (`classification.py` is the shortest example):

1. Write one file here: subclass `Task`, with the size of its head, its loss, its predictions and
   its score.
2. Add its name, its settings and the columns that it learns from to `settings.py`, and choose it in
   `choice.py`.
3. Give its measurements and plots to `lensmodels/evaluation` and `lensmodels/reporting`.
4. Test it in `tests/lensmodels/tasks/`, against a case computed by hand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from lensmodels.data import Batch, ClassName
from lensmodels.tasks.settings import TaskName, TaskSettings


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
        """What is added to the loss: of the second head's outputs, (n, auxiliary_size).

        Raises:
            NotImplementedError: if a task has a second head and does not define it.
        """
        raise NotImplementedError

    @abstractmethod
    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """Columns of predictions, each (n,)."""

    def diagnostics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Further columns of a test, which need the truth, each (n,); none by default."""
        return {}

    @abstractmethod
    def score(self, outputs: Tensor, batch: Batch) -> dict[str, float]:
        """The score that validation shows, by its name in the log."""

    def to_dict(self) -> dict[str, Any]:
        """Settings and constants, for a YAML or JSON file."""
        return {"settings": self.settings.model_dump(mode="json")}
