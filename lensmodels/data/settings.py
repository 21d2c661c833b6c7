"""What is streamed, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ClassName = Literal["axion", "cdm", "no_sub"]

CLASSES: tuple[ClassName, ...] = ("axion", "cdm", "no_sub")
"""Classes in the order of their labels."""

ScalingKind = Literal["whitened", "asinh", "min-max"]

COMPONENTS = 256
"""Components that whitening keeps: for model B 64 are too few, and 1024 no better
(docs/findings.md)."""

LABELS: dict[str, int] = {name: label for label, name in enumerate(CLASSES)}


class DataSettings(BaseModel):
    """Which images of an archive are streamed, and how.

    Attributes:
        url: folder or URL of an archive.
        batch_size: images in a training step, over all devices together.
        classes: which classes; each must be in the archive.
        train_size: images of each class that are taken from the train split, the first ones;
            all where None. The validation images are among them.
        test_size: images of each class that are taken from the test split, the first ones; all
            where None.
        validation_fraction: share of the train images, the last ones of each class, that is
            kept for validation.
        labels: share of the training images, the same of every class, whose labels are used.
        seed: decides the order of every epoch and which images are labelled.
        workers: threads that read and assemble batches; 0 reads in the training thread.
        cache: where train images stay once they are read: "memory", of the host; "device", which
            trains; "none", read again every epoch; "auto", the device or the host where a quarter
            of its free memory is enough.
        cache_dir: folder for copies of what a remote archive sends; one in the user's cache
            directory where None.
        format: "zarr" or "shards"; "auto" is Zarr where the archive has it.
        scaling: input scaling, "whitened", "asinh" or "min-max".
        softening: of the asinh stretch, in units of the sky noise; what suits the scaling where
            None.
        components: principal components that a whitened image keeps. They must hold what the
            images differ in, to below the noise: priors wider than model A's and B's need more.
        num_pix: pixels a side that are expected; an archive of another size is refused. The
            commands take it from the archive.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    batch_size: int = Field(256, ge=1)
    classes: tuple[ClassName, ...] = Field(CLASSES, min_length=1)
    train_size: int | None = Field(None, ge=1)
    test_size: int | None = Field(None, ge=1)
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    labels: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0)
    workers: int = Field(1, ge=0)
    cache: Literal["none", "memory", "device", "auto"] = "auto"
    cache_dir: Path | None = None
    format: Literal["auto", "zarr", "shards"] = "auto"
    scaling: ScalingKind = "whitened"
    softening: float | None = Field(None, gt=0)
    components: int = Field(COMPONENTS, ge=1)
    num_pix: int = Field(64, ge=1)
