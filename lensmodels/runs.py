"""Runs: the folder of what was trained, and how.

config.yaml            every setting, and what was measured on the train split
scaling.safetensors    the tensors of the input scaling, where it whitens
encoder.safetensors    the encoder: as pretrained, or of the model where nothing was
model.safetensors      encoder and head, finetuned
checkpoints/           state of the training, to resume from
logs/                  CSV and TensorBoard
metrics.json, predictions.csv, plots/, report.html      of the evaluation
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from lensmodels.data import CLASSES, ClassName, DataSettings, ImageContract, InputScaling
from lensmodels.data.whitening import Whitening
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.methods import METHODS, PRETRAINING, StageSettings
from lensmodels.model import LensModel
from lensmodels.tasks import Task, TaskSettings, task_from_dict
from lensmodels.views import Recipe
from lenssim.version import VERSION
from lenssim.yaml_reading import format_yaml, read_yaml

CONFIG = "config.yaml"
SCALING = "scaling.safetensors"
ENCODER = "encoder.safetensors"
MODEL = "model.safetensors"
CHECKPOINTS = "checkpoints"
LOGS = "logs"

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


class Measured(BaseModel):
    """What was measured on the data, without which the weights mean nothing.

    Attributes:
        num_pix: side of the images, pixels.
        scaling: of the input, as `InputScaling.to_dict` gives it; a whitening is beside it, in
            a file of its own.
        task: with its constants, as `Task.to_dict` gives it; None before finetuning.
        sizes: images of each part of the data set.
        contract: what the images of the training are: unit, pixel scale, zero point, PSF, noise
            and brightness; None in runs of version 0.1.0, which did not keep it.
    """

    model_config = ConfigDict(extra="forbid")

    num_pix: int
    scaling: dict[str, Any]
    task: dict[str, Any] | None = None
    sizes: dict[str, int] = {}
    contract: ImageContract | None = None


class RunConfig(BaseModel):
    """Everything that decides what a run ends with.

    Attributes:
        method: "supervised", or the self-supervised method of the pretraining.
        encoder: which encoder.
        task: which task, and its loss.
        data: which images; its classes are the task's.
        pretrain_classes: whose images are pretrained on.
        pretrain, finetune: epochs, learning rate, weight decay of each stage; of a pretraining
            also what its method has besides, such as a temperature.
        pretrain_views, finetune_views: what each stage looks at.
        pretrained: run whose encoder is finetuned; None for this run's own, or random weights.
        frozen: whether finetuning leaves the encoder as it is.
        seed: of weights, order and views.
        device: "auto" is a GPU where there is one.
        devices: how many.
        precision: of the training.
        deterministic: slower algorithms on a GPU, that give the same figures every time.
        version: of the software.
        measured: filled in by the training.
    """

    model_config = ConfigDict(extra="forbid")

    method: str = Field(pattern="^(" + "|".join(METHODS) + ")$")
    encoder: EncoderSettings = EncoderSettings()
    task: TaskSettings = TaskSettings()
    data: DataSettings
    pretrain_classes: tuple[ClassName, ...] = CLASSES
    pretrain: SerializeAsAny[StageSettings]
    finetune: StageSettings
    pretrain_views: Recipe = ()
    finetune_views: Recipe
    pretrained: str | None = None
    frozen: bool = False
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(1, ge=1)
    precision: Precision = "32-true"
    deterministic: bool = True
    version: str = VERSION
    measured: Measured | None = None

    @field_validator("pretrain", mode="before")
    @classmethod
    def _settings_of_the_method(cls, value: Any, info: ValidationInfo) -> Any:
        """The method's own kind of settings, which has its temperature or momentum, too."""
        method = PRETRAINING.get(info.data.get("method", ""))
        kind = type(method.defaults) if method else StageSettings
        plain = value.model_dump() if isinstance(value, StageSettings) else value
        return kind.model_validate(plain)


def write_config(run: Path, config: RunConfig) -> None:
    """Writes RUN/config.yaml."""
    run.mkdir(parents=True, exist_ok=True)
    text = format_yaml(config.model_dump(mode="json"))
    _replace(run / CONFIG, lambda part: part.write_text(text, encoding="utf-8"))


def read_config(run: Path) -> RunConfig:
    """The settings of a run.

    Raises:
        UsageError: where there is no run, or its settings are not ours.
    """
    file = Path(run) / CONFIG
    if not file.exists():
        raise UsageError(f"{run} is not a run: it has no {CONFIG}.")
    values = read_yaml(file, UsageError)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        reason = str(error).splitlines()
        raise UsageError(f"{file} is not the settings of a run: {' '.join(reason[:3])}.") from None


def write_measured(run: Path, config: RunConfig, scaling: InputScaling) -> None:
    """Writes RUN/config.yaml of a run whose data were measured, and the tensors of its scaling."""
    if scaling.whitening is not None:
        run.mkdir(parents=True, exist_ok=True)
        tensors = scaling.whitening.tensors()
        _replace(run / SCALING, lambda part: save_file(tensors, part))
    write_config(run, config)


def load_scaling(run: Path, config: RunConfig) -> InputScaling:
    """The input scaling that was measured for a run.

    Raises:
        UsageError: where the settings lack a constant.
        LensmodelsError: where its file is missing, damaged or of images of another size.
    """
    assert config.measured is not None
    values = config.measured.scaling
    if values.get("kind") != "whitened":
        return InputScaling.from_dict(values)
    try:
        whitening = Whitening.from_tensors(load_file(run / SCALING))
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise LensmodelsError(
            f"{run / SCALING} cannot be read: {error}; without it the weights mean nothing: train "
            "the run again."
        ) from None
    if whitening.num_pix != config.measured.num_pix:
        raise LensmodelsError(
            f"{run / SCALING} is of images of {whitening.num_pix} pixels, and the run of "
            f"{config.measured.num_pix}: it is of another run; train this one again."
        )
    return InputScaling.from_dict(values, whitening)


def save_encoder(run: Path, encoder: nn.Module) -> None:
    """Writes RUN/encoder.safetensors."""
    _save_weights(run / ENCODER, encoder)


def save_model(run: Path, model: LensModel, config: RunConfig) -> None:
    """Writes a model and its settings and, where nothing was pretrained, the encoder by itself.

    Args:
        run: folder of the run.
        model: that was trained.
        config: of the run, with what was measured.
    """
    write_measured(run, config, model.scaling)
    if not (run / ENCODER).exists():
        save_encoder(run, model.encoder)
    _save_weights(run / MODEL, model)


def load_model(
    run: Path, device: str | torch.device = "cpu", *, average_symmetries: bool = False
) -> LensModel:
    """The model of a run, for evaluation.

    Args:
        run: its folder.
        device: to put it on.
        average_symmetries: see `LensModel`.

    Raises:
        UsageError: where the run was not finetuned.
        LensmodelsError: where its weights are damaged or of another encoder or task.
    """
    run = Path(run)
    config = read_config(run)
    if config.measured is None or config.measured.task is None or not (run / MODEL).exists():
        raise UsageError(f"{run} has no model yet; make one with `lensmodels finetune`.")
    model = build_model(config, task_from_dict(config.measured.task), load_scaling(run, config))
    model.average_symmetries = average_symmetries
    _load_weights(run / MODEL, model, config)
    return model.to(device).eval()


def load_encoder(run: Path, device: str | torch.device = "cpu") -> tuple[Encoder, InputScaling]:
    """The encoder that a run pretrained, or trained with its task, and the scaling of its input.

    Raises:
        UsageError: where it was not trained to the end.
        LensmodelsError: where its weights are damaged or of another encoder.
    """
    run = Path(run)
    config = read_config(run)
    if config.measured is None or not (run / ENCODER).exists():
        raise UsageError(f"{run} has no trained encoder yet; finish it with --resume.")
    encoder = Encoder(config.encoder, config.measured.num_pix)
    _load_weights(run / ENCODER, encoder, config)
    return encoder.to(device).eval(), load_scaling(run, config).to(device)


def build_model(config: RunConfig, task: Task, scaling: InputScaling) -> LensModel:
    """A model of random weights for a run whose data were measured."""
    assert config.measured is not None
    return LensModel(scaling, Encoder(config.encoder, config.measured.num_pix), task)


def _save_weights(file: Path, module: nn.Module) -> None:
    weights = {name: value.contiguous().cpu() for name, value in module.state_dict().items()}
    _replace(file, lambda part: save_file(weights, part))


def _load_weights(file: Path, module: nn.Module, config: RunConfig) -> None:
    try:
        module.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise LensmodelsError(f"{file} cannot be read: {error}; train it again.") from None
    except RuntimeError:
        raise LensmodelsError(
            f"{file} does not hold the weights of encoder {config.encoder.name} for the task "
            f"{config.task.name}, as its {CONFIG} says."
        ) from None


def _replace(file: Path, write: Any) -> None:
    """Writes a file whole: a reader sees the old content or the new, never a part."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    write(part)
    part.replace(file)
