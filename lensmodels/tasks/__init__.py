"""Tasks: what a head on the encoder says about an image, its loss and its score.

base             what a task has to say
classification   which substructure class
axion_mass       log10 of the axion mass in eV
quadrupole       what else of a vortex is learned beside its mass
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from lensmodels.tasks.axion_mass import AxionMass
from lensmodels.tasks.base import Task, TaskName, TaskSettings
from lensmodels.tasks.classification import Classification, macro_auc

__all__ = [
    "AxionMass",
    "Classification",
    "Task",
    "TaskName",
    "TaskSettings",
    "macro_auc",
    "measure_task",
    "task_from_dict",
]


def measure_task(settings: TaskSettings, batches: Iterable[Mapping[str, Tensor]]) -> Task:
    """The task, with constants measured on the labelled train images where it has any."""
    if settings.name == "classification":
        return Classification(settings)
    return AxionMass.measure(settings, batches)


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """The task that its `to_dict` described."""
    rest = dict(values)
    settings = TaskSettings.model_validate(rest.pop("settings"))
    kind = Classification if settings.name == "classification" else AxionMass
    return kind(settings, **rest)
