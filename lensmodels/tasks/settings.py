"""Which task."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lensmodels.data import CLASSES, ClassName

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
