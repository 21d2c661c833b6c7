"""Which task, and what it needs of the images of an archive, checked before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from lensmodels.data import CLASSES, ClassName
from lensmodels.errors import DataError
from lensmodels.schema import Settings

if TYPE_CHECKING:
    from lenssim.archive import Archive
    from lenssim.spec import Split

TaskName = Literal["classification", "axion-mass", "set-level"]


class TaskSettings(Settings):
    """Which task."""

    name: TaskName = "classification"
    """Task: the substructure class; log10 of the axion mass in eV; or set-level, the class, f_sub
    and axion mass that many images have in common, on a frozen encoder."""
    classes: tuple[ClassName, ...] = Field((), validate_default=True)
    """Classes whose images it is learned from and tested on, in the order of their labels: two or
    three for the classification, all if not given; axion for the axion mass."""
    loss: Literal["huber", "gaussian-nll"] = "huber"
    """Loss of the axion mass; gaussian-nll also learns an uncertainty of each image. With huber it
    is the scatter of test images with predictions about as large."""
    head: Literal["point", "posterior"] = "point"
    """What is learned of the axion mass: point, an estimate; posterior, its distribution given the
    image, a mixture of normal distributions, with mean, standard deviation and quantiles."""
    components: int = Field(5, ge=1)
    """Normal distributions in the posterior of the axion mass."""
    bottleneck: int = Field(0, ge=0)
    """Units of a layer between the encoder's features and the outputs, as after the study's vision
    transformer; 0 for none: the outputs are linear in the features."""
    quadrupole: float = Field(0.0, ge=0)
    """Weight of a second target while the axion mass is learned, the quadrupole of the vortex (see
    `tasks.quadrupole`); 0 for none."""

    set_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 10, 100, 1000), min_length=1)
    """Images in the sets of the task set-level; sizes above half of the images of a universe are
    left out."""
    bins: int = Field(0, ge=0)
    """Of f_sub and of the axion mass, of equal width in the logarithm, whose images count as of one
    universe in the task set-level; 0 for images with equal values alone."""

    @field_validator("head")
    @classmethod
    def _of_the_mass(cls, head: str, info: ValidationInfo) -> str:
        if head == "posterior" and info.data.get("name") != "axion-mass":
            raise ValueError("a posterior is of the axion mass; choose --task axion-mass")
        if head == "posterior" and info.data.get("loss") != "huber":
            raise ValueError("a posterior has a loss of its own; leave --loss out")
        return head

    @field_validator("classes")
    @classmethod
    def _of_the_task(
        cls, classes: tuple[ClassName, ...], info: ValidationInfo
    ) -> tuple[ClassName, ...]:
        if info.data.get("name") == "axion-mass":
            if set(classes) - {"axion"}:
                raise ValueError("only images of class axion have an axion mass")
            return ("axion",)
        if "unlabelled" in classes:
            raise ValueError("images without labels can be pretrained on, and no more")
        if info.data.get("name") == "set-level" and classes and "no_sub" not in classes:
            raise ValueError("sets are told from those without substructure; keep no_sub")
        if len(set(classes)) == 1:
            raise ValueError("a classification is of two classes at least")
        return tuple(name for name in CLASSES if name in classes) or CLASSES


def check_needs(
    task: TaskSettings, archive: Archive, splits: tuple[Split, ...] = ("train", "test")
) -> None:
    """Refuses an archive that does not state what a task is learned from or tested on.

    Args:
        task: which.
        archive: opened. Only imported images can lack a value.
        splits: whose images are used.

    Raises:
        DataError: if images have no axion mass and the task needs it, or it cannot be read.
    """
    if archive.manifest.imported is None:
        return
    if task.name == "set-level":
        raise DataError(
            f"{archive.location} holds imported images, which do not state the f_sub of their "
            "universe: the task set-level needs a simulated archive."
        )
    if task.name != "axion-mass":
        return
    import numpy as np

    from lenssim.archive import ArchiveError
    from lenssim.archive.content import scalar_blocks

    for split in splits:
        group = archive.manifest.group(f"{split}/axion")
        if group is None:
            continue
        try:
            blocks = list(scalar_blocks(archive, group, ["axion_mass"]))
        except ArchiveError as error:
            raise DataError(str(error)) from None
        unknown = int(sum(np.isnan(block["axion_mass"]).sum() for block in blocks))
        if unknown:
            raise DataError(
                f"{archive.location} does not state the axion mass of {unknown} of {group.count} "
                f"images of {group.name}, which the task axion-mass needs: train on the classes "
                "instead (--task classification), or let `lensmodels predict` say what a trained "
                "model makes of these images."
            )
