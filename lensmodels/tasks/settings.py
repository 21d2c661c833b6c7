"""Which task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from lensmodels.data import CLASSES, ClassName
from lensmodels.schema import Settings

TaskName = Literal["classification", "axion-mass"]


class TaskSettings(Settings):
    """Which task."""

    name: TaskName = "classification"
    """Task: the substructure class, or log10 of the axion mass in eV."""
    classes: tuple[ClassName, ...] = Field((), validate_default=True)
    """Classes whose images it is learned from and tested on, in the order of their labels: two or
    three for the classification, all if not given; axion for the axion mass."""
    loss: Literal["huber", "gaussian-nll"] = "huber"
    """Loss of the axion mass; gaussian-nll also predicts an uncertainty."""
    quadrupole: float = Field(0.0, ge=0)
    """Weight of a second target while the axion mass is learned, the quadrupole of the vortex (see
    `tasks.quadrupole`); 0 for none."""

    @field_validator("classes")
    @classmethod
    def _of_the_task(
        cls, classes: tuple[ClassName, ...], info: ValidationInfo
    ) -> tuple[ClassName, ...]:
        if info.data.get("name") == "axion-mass":
            if set(classes) - {"axion"}:
                raise ValueError("only images of class axion have an axion mass")
            return ("axion",)
        if len(set(classes)) == 1:
            raise ValueError("a classification is of two classes at least")
        return tuple(name for name in CLASSES if name in classes) or CLASSES
