"""Which substructure class: one neuron a class, cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lensmodels.data import CLASSES, Batch
from lensmodels.statistics import auc
from lensmodels.tasks.base import Task
from lensmodels.tasks.settings import TaskName, TaskSettings


def macro_auc(probabilities: Tensor, labels: Tensor) -> float:
    """Mean over classes of the area under the one-against-rest ROC curve.

    Args:
        probabilities: or any scores that rank as they do, (n, classes).
        labels: (n,).

    Returns:
        The mean over the classes; NaN if it is undefined for any, as it has no image or all.
    """
    area = auc.macro_auc(labels.cpu().numpy(), probabilities.detach().cpu().double().numpy())
    return float("nan") if area is None else area


class Classification(Task):
    """Probabilities of the classes of the task: of axion, cdm and no_sub, or of two of them.

    Args:
        settings: which classes.
    """

    name: TaskName = "classification"

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self.output_size = len(self.classes)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return functional.cross_entropy(outputs, self._neurons(batch["label"]))

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """Probability of each class, as in p_axion, p_cdm, p_no_sub, each (n,)."""
        probabilities = torch.softmax(outputs.float(), dim=1)
        return {f"p_{name}": probabilities[:, neuron] for neuron, name in enumerate(self.classes)}

    def score(self, outputs: Tensor, batch: Batch) -> dict[str, float]:
        """val_macro_auc."""
        probabilities = torch.softmax(outputs.float(), 1)
        return {"val_macro_auc": macro_auc(probabilities, self._neurons(batch["label"]))}

    def _neurons(self, labels: Tensor) -> Tensor:
        """Neuron of the class of each label of an archive, (n,)."""
        if self.classes == CLASSES:
            return labels
        own = torch.tensor([CLASSES.index(name) for name in self.classes], device=labels.device)
        return torch.searchsorted(own, labels)
