"""The weights of a run, in safetensors: its scaling, encoder and model."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from lensmodels.data import InputScaling
from lensmodels.data.whitening import Whitening
from lensmodels.encoders import Encoder
from lensmodels.errors import LensmodelsError
from lensmodels.model import LensModel
from lensmodels.runs.config import (
    CONFIG,
    ENCODER,
    MODEL,
    SCALING,
    RunConfig,
    require_encoder,
    require_model,
    write_config,
)
from lensmodels.runs.published import local_run
from lensmodels.tasks import Task, task_from_dict
from lenssim.storage.atomic import replacing


def write_measured(run: Path, config: RunConfig, scaling: InputScaling) -> None:
    """Writes RUN/config.yaml of a run whose data were measured, and the tensors of its scaling.

    Args:
        run: folder of the run.
        config: its settings, with what was measured.
        scaling: of the input; has tensors only if it whitens.
    """
    if scaling.whitening is not None:
        _save_tensors(run / SCALING, scaling.whitening.tensors())
    write_config(run, config)


def load_scaling(run: Path, config: RunConfig) -> InputScaling:
    """The input scaling that was measured for a run.

    Raises:
        UsageError: if the settings lack a constant.
        LensmodelsError: if its file is missing, damaged or of images of another size.
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


def save_encoder(run: Path, encoder: Encoder) -> None:
    """Writes RUN/encoder.safetensors: weights by the names that timm's model gives them."""
    _save_weights(run / ENCODER, encoder.network)


def save_model(run: Path, model: LensModel, config: RunConfig) -> None:
    """Writes a model and its settings and, if nothing was pretrained, the encoder by itself.

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
    run: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    *,
    average_symmetries: bool = False,
) -> LensModel:
    """The model of a run, for evaluation.

    Args:
        run: its folder, or the URL of a published model.
        device: to put it on.
        average_symmetries: see `LensModel`.

    Raises:
        UsageError: if the run was not finetuned.
        LensmodelsError: if its weights are damaged or of another encoder or task.
    """
    run = local_run(run)
    config = require_model(run)
    assert config.measured is not None and config.measured.task is not None
    task, scaling = task_from_dict(config.measured.task), load_scaling(run, config)
    model = build_model(config, task, scaling, is_loaded=True)
    model.average_symmetries, model.run = average_symmetries, run
    _load_weights(run / MODEL, model, config)
    return model.to(device).eval()


def load_encoder(
    run: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> tuple[Encoder, InputScaling]:
    """The encoder that a run pretrained, or trained with its task, and the scaling of its input.

    Args:
        run: its folder, or the URL of a published model.
        device: to put both on.

    Returns:
        The encoder, from scaled images to features, and the scaling of raw images.

    Raises:
        UsageError: if it was not trained to the end.
        LensmodelsError: if its weights are damaged or of another encoder.
    """
    run = local_run(run)
    config = require_encoder(run)
    assert config.measured is not None
    encoder = _encoder_of(config, is_loaded=True)
    _load_weights(run / ENCODER, encoder.network, config)
    return encoder.to(device).eval(), load_scaling(run, config).to(device)


def build_model(
    config: RunConfig, task: Task, scaling: InputScaling, *, is_loaded: bool = False
) -> LensModel:
    """A model with initial weights for a run whose data were measured.

    Args:
        config: of the run.
        task: decides the head.
        scaling: of the input.
        is_loaded: whether weights are loaded into it, so that pretrained ones are not fetched.
    """
    assert config.measured is not None
    encoder = _encoder_of(config, is_loaded=is_loaded)
    return LensModel(scaling, encoder, task)


def _encoder_of(config: RunConfig, *, is_loaded: bool) -> Encoder:
    assert config.measured is not None
    return Encoder(
        config.encoder,
        config.measured.num_pix,
        channels=config.data.channels,
        is_loaded=is_loaded,
    )


def _save_weights(file: Path, module: nn.Module) -> None:
    weights = {name: value.contiguous().cpu() for name, value in module.state_dict().items()}
    _save_tensors(file, weights)


def _save_tensors(file: Path, tensors: dict[str, torch.Tensor]) -> None:
    with replacing(file) as scratch:
        save_file(tensors, scratch)


def _without_prefix(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of an encoder without the prefix that files of version 0.1.0 have."""
    prefix = "network."
    if not all(name.startswith(prefix) for name in weights):
        return weights
    return {name.removeprefix(prefix): values for name, values in weights.items()}


def _load_weights(file: Path, module: nn.Module, config: RunConfig) -> None:
    try:
        module.load_state_dict(_without_prefix(load_file(file)))
    except (OSError, SafetensorError) as error:
        raise LensmodelsError(f"{file} cannot be read: {error}; train it again.") from None
    except RuntimeError:
        raise LensmodelsError(
            f"{file} does not hold the weights of encoder {config.encoder.name} for the task "
            f"{config.task.name}, as its {CONFIG} says."
        ) from None
