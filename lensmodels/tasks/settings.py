"""Which task."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from lensmodels.data import CLASSES, ClassName

TaskName = Literal["classification", "axion-mass"]


class TaskSettings(BaseModel):
    """Which task.

    Attributes:
        name: "classification" or "axion-mass".
        classes: whose images it is learned from and tested on, in the order of their labels: for
            the classification two or three, all where none are given; for the axion mass "axion".
        loss: of the axion mass: "huber", or "gaussian-nll", which also predicts an uncertainty.
        quadrupole: weight of a second target while the axion mass is learned, the quadrupole of the
            vortex (see `tasks.quadrupole`); 0 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: TaskName = "classification"
    classes: tuple[ClassName, ...] = Field((), validate_default=True)
    loss: Literal["huber", "gaussian-nll"] = "huber"
    quadrupole: float = Field(0.0, ge=0)

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
