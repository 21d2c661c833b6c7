"""What is streamed, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from lensmodels.schema import Settings

ClassName = Literal["axion", "cdm", "no_sub", "unlabelled"]

CLASSES: tuple[ClassName, ...] = ("axion", "cdm", "no_sub")
"""Classes in the order of their labels."""

GROUP_CLASSES: tuple[ClassName, ...] = (*CLASSES, "unlabelled")
"""What groups of an archive hold: a class, or images without labels, which are pretrained on."""

ScalingKind = Literal["whitened", "asinh", "min-max"]

InputKind = Literal["image", "residual", "both"]

ScalingImages = Literal["labelled", "unlabelled", "all"]

COMPONENTS = 256
"""Components that whitening keeps: for model B 64 are too few, and 1024 no better
(docs/explanation/findings.md)."""

LABELS: dict[str, int] = {
    **{name: label for label, name in enumerate(CLASSES)},
    "unlabelled": -1,
}


class DataSettings(Settings):
    """Which images of an archive are streamed, and how."""

    url: str
    """Folder or URL of the archive to learn from; or live:MODEL, to learn from images that are
    simulated meanwhile, none of which comes twice."""
    batch_size: int = Field(256, ge=1)
    """Images in a training step, over all devices together."""
    classes: tuple[ClassName, ...] = Field(CLASSES, min_length=1)
    """Classes that are streamed; each must be in the archive. Those of the task."""
    train_size: int | None = Field(None, ge=1)
    """Images of each class that are taken from the train split, the first ones; all if not given,
    or if there are fewer. The validation images are among them."""
    test_size: int | None = Field(None, ge=1)
    """Images of each class that are taken from the test split, the first ones; all if not given."""
    min_refit_snr: float | None = Field(None, gt=0)
    """S/N after a refit of the lens below which an image is neither trained on nor validated on, of
    a task with one class; all are if not given. Test images stay. The prior of what is learned is
    then that of strong images."""
    validation_fraction: float = Field(0.05, ge=0, lt=1)
    """Share of the train images, the last ones of each class, that is kept for validation."""
    labels: float = Field(1.0, gt=0, le=1)
    """Share of the training images, the same of every class, whose labels are used, as in 0.01; at
    least one image of a class."""
    seed: int = Field(0, ge=0)
    """Decides the order of every epoch and which images are labelled."""
    workers: int = Field(1, ge=0)
    """Threads that read and assemble batches, or processes that simulate them for live:MODEL; 0
    does it in the training thread."""
    epoch_size: int = Field(30_000, ge=1)
    """Images of an epoch of live:MODEL, of all classes together."""
    live_images: Literal["new", "same"] = "new"
    """Of live:MODEL, whether every epoch has new images, or those of the first epoch, which stay in
    memory, in another order."""
    test_archive: str | None = None
    """Folder or URL of the archive that a training on live:MODEL is validated and tested on; if not
    given, on simulated images that it does not learn from."""
    cache: Literal["none", "memory", "device", "auto"] = "auto"
    """Where train images stay once they are read: memory, of the host; device, which trains; none,
    read again every epoch; auto, the device or the host if a quarter of its free memory is
    enough."""
    cache_dir: Path | None = None
    """Folder for copies of what a remote archive sends; ~/.cache/lensmodels if not given."""
    format: Literal["auto", "zarr", "shards"] = "auto"
    """What is read; auto is Zarr if the archive has it."""
    input: InputKind = "image"
    """What a model sees of an image: the image, or the residual of the smooth model that `lenssim
    fit` fitted to it, in units of the noise; or both, as two channels, of which the residual is the
    first: a residual alone does not tell where the arcs are."""
    scaling: ScalingKind = "whitened"
    """Input scaling; of residuals, if not given, asinh with a softening of 20."""
    scaling_images: ScalingImages = "all"
    """Train images that the scaling is measured on: labelled, those whose labels are used;
    unlabelled, the others; all. A run that is only supervised takes labelled by default, so that it
    learns from no other image."""
    softening: float | None = Field(None, gt=0)
    """Softening of the asinh stretch, in units of the sky noise; what suits the scaling if not
    given."""
    noise_unit: float | None = Field(None, gt=0)
    """Unit of the noise that views add, as a share of the brightest pixel of a typical image; the
    sky noise if not given. Images without noise need it for a pretext of noise."""
    components: int = Field(COMPONENTS, ge=1)
    """Principal components that a whitened image keeps. They must hold what the images differ in,
    to below the noise: priors wider than model A's and B's need more."""
    num_pix: int = Field(64, ge=1)
    """Side of the images, pixels: that of the archive; an archive of another size is refused."""

    @property
    def test_url(self) -> str:
        """Folder or URL of the archive to test on, or live:MODEL."""
        return self.test_archive or self.url

    @property
    def channels(self) -> int:
        """Of what a model sees of an image."""
        return 2 if self.input == "both" else 1
