"""The task that settings name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from lensmodels.tasks.axion_mass import AxionMass
from lensmodels.tasks.axion_mass_posterior import AxionMassPosterior
from lensmodels.tasks.base import Task
from lensmodels.tasks.classification import Classification
from lensmodels.tasks.settings import TaskSettings


def measure_task(settings: TaskSettings, batches: Iterable[Mapping[str, Tensor]]) -> Task:
    """The task, with constants measured on the labelled train images where it has any."""
    if settings.name == "classification":
        return Classification(settings)
    return _mass_task(settings).measure(settings, batches)


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """The task that its `to_dict` described."""
    rest = dict(values)
    settings = TaskSettings.model_validate(rest.pop("settings"))
    kind = Classification if settings.name == "classification" else _mass_task(settings)
    return kind(settings, **rest)


def _mass_task(settings: TaskSettings) -> type[AxionMass]:
    return AxionMassPosterior if settings.head == "posterior" else AxionMass
