"""The settings of a run, and what was measured for it: RUN/config.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from lensmodels.data import CLASSES, ClassName, DataSettings, ImageContract
from lensmodels.encoders import EncoderSettings
from lensmodels.errors import UsageError
from lensmodels.methods.settings import METHODS, PRETRAINING_DEFAULTS, StageSettings
from lensmodels.schema import Settings
from lensmodels.tasks import TaskSettings
from lensmodels.views import Recipe
from lenssim.configuration.yaml_reading import format_yaml, read_yaml
from lenssim.storage.atomic import replacing
from lenssim.version import VERSION

CONFIG = "config.yaml"
SCALING = "scaling.safetensors"
ENCODER = "encoder.safetensors"
MODEL = "model.safetensors"
SET_MODEL = "set_model.safetensors"
CALIBRATION = "calibration.safetensors"
OUT_OF_DISTRIBUTION = "out_of_distribution.safetensors"
CHECKPOINTS = "checkpoints"
LOGS = "logs"

_FIXED_WIDTHS = {"byol": 1024, "simsiam": 512, "dino": 512}
"""Hidden units of heads, where a run was begun before they followed the number of features."""

MIN_COMPARED = 2
"""Runs that a comparison needs."""

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Measured(Settings):
    """What was measured on the data, without which the weights mean nothing."""

    num_pix: int
    """Side of the images, pixels."""
    scaling: dict[str, Any]
    """Input scaling, as `InputScaling.to_dict` gives it; a whitening has a file of its own."""
    scaled_on: str | None = None
    """The images that the input scaling was measured on, in words; null in runs of version
    0.1.0."""
    task: dict[str, Any] | None = None
    """Task with its constants, as `Task.to_dict` gives it; null before finetuning."""
    sizes: dict[str, int] = Field({})
    """Images of each part of the data set."""
    contract: ImageContract | None = None
    """What the images of the training are: unit, pixel scale, zero point, PSF, noise and
    brightness; null in runs of version 0.1.0, which did not keep it."""


class RunConfig(Settings):
    """Everything that decides what a run ends with."""

    method: str = Field(pattern="^(" + "|".join(METHODS) + ")$")
    """supervised, or the method of the pretraining."""
    encoder: EncoderSettings = EncoderSettings()
    """Which encoder."""
    task: TaskSettings = TaskSettings()
    """Which task, and its loss."""
    data: DataSettings
    """Which images."""
    pretrain_classes: tuple[ClassName, ...] = CLASSES
    """Classes whose images are pretrained on, and measured for the input scaling: the same whatever
    the task, so that a baseline and what was pretrained can have the same scaling."""
    pretrain_unlabelled: dict[str, Weight] = Field({})
    """Folders or URLs of further archives that are pretrained on without labels, with their
    weights: images of each in a batch, where those of data.url have the weight 1."""
    domain_norms: bool = False
    """Take the statistics of the encoder's batch norms of each archive in a batch by itself, with
    --unlabelled; validation, and the encoder that is kept, have those of data.url."""
    pretrain: SerializeAsAny[StageSettings]
    """How long and how fast to pretrain, and what the method has to set besides."""
    finetune: StageSettings
    """How long and how fast to finetune."""
    pretrain_views: Recipe = ()
    """What the pretraining looks at: a list of views, numbered from 0."""
    finetune_views: Recipe
    """What the finetuning looks at: a list of one view."""
    pretrained: str | None = None
    """Run whose encoder is finetuned; if not given, this run's own, or random weights."""
    best_epoch: bool = False
    """Keep the finetuned weights of the epoch with the lowest validation loss, not the last."""
    frozen: bool = False
    """Train the head alone, a linear probe, and leave the encoder as it is."""
    reestimate_norms: bool = False
    """Before a frozen probe, take the means and variances of the encoder's batch norms anew, on the
    train images as they are: those of a pretraining are of its noisier views."""
    seed: int = Field(0, ge=0)
    """Seed of weights, order and views."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to compute on; auto is a GPU if there is one."""
    devices: int = Field(1, ge=1)
    """Devices that train together."""
    precision: Precision = "32-true"
    """Precision of the training."""
    deterministic: bool = True
    """Slower algorithms on a GPU that give the same numbers every time."""
    logger: Literal["files", "wandb"] = "files"
    """Where the training is logged: files, CSV and TensorBoard in the run; wandb, to Weights &
    Biases, too."""
    version: str = VERSION
    """Version of the software."""
    measured: Measured | None = None
    """Written by the training."""

    @field_validator("pretrain", mode="before")
    @classmethod
    def _settings_of_the_method(cls, value: Any, info: ValidationInfo) -> Any:
        """The method's own kind of settings, which has its temperature or momentum, too."""
        defaults = PRETRAINING_DEFAULTS.get(info.data.get("method", ""))
        kind = type(defaults) if defaults else StageSettings
        plain = value.model_dump() if isinstance(value, StageSettings) else value
        return kind.model_validate(plain)


def write_config(run: Path, config: RunConfig) -> None:
    """Writes RUN/config.yaml."""
    with replacing(run / CONFIG) as scratch:
        scratch.write_text(format_yaml(config.model_dump(mode="json")), encoding="utf-8")


def read_config(run: Path) -> RunConfig:
    """The settings of a run.

    Raises:
        UsageError: if there is no run, or its settings are not ours.
    """
    file = Path(run) / CONFIG
    if not file.exists():
        raise UsageError(f"{run} is not a run: it has no {CONFIG}.")
    values = _of_now(read_yaml(file, UsageError))
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        reason = str(error).splitlines()
        raise UsageError(f"{file} is not the settings of a run: {' '.join(reason[:3])}.") from None


def _of_now(values: Any) -> Any:
    """Settings of a run with those that runs of earlier versions do not name."""
    if isinstance(values, dict) and isinstance(values.get("pretrain"), dict):
        width = _FIXED_WIDTHS.get(values.get("method", ""))
        if width is not None:
            values["pretrain"].setdefault("hidden_units", width)
        if values.get("method") in ("dino", "esvit"):  # none had norms in its heads
            values["pretrain"].setdefault("head_norms", False)
    return values


def require_model(run: Path) -> RunConfig:
    """The settings of a run that has a model.

    Raises:
        UsageError: if there is no run, or it was not finetuned.
    """
    config = read_config(run)
    if config.task.name == "set-level":
        raise UsageError(
            f"{run} learned of sets of images, which its report.html is of: single images are "
            f"embedded by `lensmodels embed {run}`, and classified by another run."
        )
    if config.measured is None or config.measured.task is None or not (run / MODEL).exists():
        raise UsageError(f"{run} has no model yet; make one with `lensmodels finetune`.")
    return config


def require_encoder(run: Path) -> RunConfig:
    """The settings of a run that has an encoder.

    Raises:
        UsageError: if there is no run, or it was not trained to the end.
    """
    config = read_config(run)
    if config.measured is None or not (run / ENCODER).exists():
        raise UsageError(f"{run} has no trained encoder yet; finish it with --resume.")
    return config


def require_several(runs: Sequence[Path]) -> None:
    """Refuse what cannot be compared.

    Raises:
        UsageError: if there is one run only, or one of them is no run.
    """
    if len(runs) < MIN_COMPARED:
        raise UsageError("Name at least two runs to compare.")
    for run in runs:
        read_config(run)
