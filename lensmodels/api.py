"""What the commands do, as functions: streams, encoders, models and training from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lensmodels import training
from lensmodels.data import GROUP_CLASSES, ClassName, DataSettings, InputScaling
from lensmodels.data.archives import read_archive
from lensmodels.data.datamodule import LensDataModule
from lensmodels.data.stream import EpochStream
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import DataError, UsageError
from lensmodels.evaluation.calibration import Calibration, load_calibration
from lensmodels.model import LensModel
from lensmodels.reporting.run_page import evaluate
from lensmodels.runs import RunConfig
from lensmodels.sets import train_sets
from lensmodels.settings import config_from_options


def open_stream(
    url: str | os.PathLike[str],
    *,
    split: str = "train",
    classes: Sequence[ClassName] | None = None,
    batch_size: int = 256,
    seed: int | None = 0,
    workers: int = 1,
    cache_dir: Path | None = None,
) -> EpochStream:
    """Batches of an archive; iterating over the stream is one epoch.

    Args:
        url: folder or URL of an archive; or live:MODEL, whose train images are simulated meanwhile
            and are others in every epoch.
        split: "train" or "test".
        classes: substructure classes; all that the archive has if None.
        batch_size: images in a batch.
        seed: decides the order of every epoch; None keeps the archive's order.
        workers: threads that read ahead, or processes that simulate.
        cache_dir: folder for copies of what a remote archive sends.

    Returns:
        An iterable of batches. A batch is a mapping of tensors: "image", (n, 1, height, width) in
        e-/s; "label", (n,), 0 axion, 1 cdm, 2 no_sub, -1 unlabelled; and the columns that tasks
        learn.

    Raises:
        DataError: if there is no archive, or it lacks the split or a class.
    """
    if split not in ("train", "test"):
        raise UsageError(f"split = {split!r} must be train or test.")
    manifest = read_archive(url).manifest
    held = [name for name in GROUP_CLASSES if manifest.group(f"{split}/{name}")]
    if not held:
        raise DataError(f"{url} has no {split} split.")
    settings = DataSettings(
        url=os.fspath(url),
        batch_size=batch_size,
        classes=tuple(classes or held),
        validation_fraction=0.0,
        seed=seed or 0,
        workers=workers,
        cache="none",
        cache_dir=cache_dir,
        num_pix=manifest.model.num_pix,
    )
    data = LensDataModule(settings, "train")
    data.setup()
    if data.is_live and split == "train":
        return data.train_dataloader()
    return data.stream("train" if split == "train" else "test", shuffle=seed is not None)


def build_encoder(name: str = "resnet50", num_pix: int = 64, **settings: Any) -> Encoder:
    """An encoder with random weights.

    Args:
        name: of a timm model, or "vit", the study's.
        num_pix: side of the images, pixels.
        settings: of `EncoderSettings`: patch_size, small_stem, arguments.

    Returns:
        A torch module from scaled images, (n, 1, num_pix, num_pix), to features,
        (n, num_features).

    Raises:
        UsageError: if timm has no such model, or it does not take the settings or the size.
    """
    return Encoder(EncoderSettings(name=name, **settings), num_pix)


def predict_images(
    model: LensModel, images: NDArray[np.floating], *, batch_size: int = 256
) -> dict[str, NDArray[Any]]:
    """Predictions of a model on an array of images, calibrated as those of `lensmodels predict`.

    Whether the images are of a kind that the model knows is not asked: the command does that.

    Args:
        model: from `load_model`; its run holds the calibration, if enough validation images were
            there for one.
        images: in e-/s, (n, num_pix, num_pix), of the instrument that the model was trained on.
        batch_size: images at a time.

    Returns:
        Columns by name, each (n,): class probabilities p_*, or log10_mass in log10(eV); with a
        calibration `set_90`, or `log10_mass_low_90` and `log10_mass_high_90`, too.

    Raises:
        UsageError: if the images are not of the shape (n, height, width).
    """
    outputs = _in_batches(model, images, batch_size)
    calibration = Calibration() if model.run is None else load_calibration(model.run, model.task)
    return calibration.predictions(model.task, outputs)


def embed_images(
    encoder: nn.Module,
    scaling: InputScaling,
    images: NDArray[np.floating],
    *,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """Features of an array of images.

    Args:
        encoder, scaling: from `load_encoder`.
        images: in e-/s, (n, num_pix, num_pix).
        batch_size: images at a time.

    Returns:
        Features, (n, num_features).
    """
    return _in_batches(nn.Sequential(scaling, encoder), images, batch_size).cpu().numpy()


def _in_batches(
    network: Callable[[Tensor], Tensor], images: NDArray[np.floating], batch_size: int
) -> Tensor:
    """Outputs of a network, in evaluation mode, for all images."""
    if images.ndim != 3:
        raise UsageError(f"Images must have the shape (n, height, width), not {images.shape}.")
    assert isinstance(network, nn.Module)
    device = next((weights.device for weights in network.parameters()), torch.device("cpu"))
    network.eval()
    with torch.inference_mode():
        parts = [
            network(
                torch.as_tensor(images[start : start + batch_size], dtype=torch.float32)[
                    :, None
                ].to(device)
            )
            for start in range(0, len(images), batch_size)
        ]
    return torch.cat(parts)


def run_config(data: str | os.PathLike[str], **options: Any) -> RunConfig:
    """Settings of a run.

    Args:
        data: folder or URL of an archive.
        options: those of `lensmodels train`, with underscores: method, encoder, task, labels,
            pretrain_epochs, finetune_epochs, batch_size, lr, seed, device...; and
            overrides=["KEY=VALUE", ...] for any other setting.

    Returns:
        Settings, complete and validated.

    Raises:
        UsageError: naming the option, its value and what is allowed.
    """
    return config_from_options({"data": os.fspath(data), **options})


def train(
    config: RunConfig, out: str | os.PathLike[str], *, resume: bool = False
) -> dict[str, Any]:
    """Pretrains, finetunes and evaluates, as `lensmodels train`.

    Args:
        config: from `run_config`.
        out: folder of the run.
        resume: continue the run that is there.

    Returns:
        The content of RUN/metrics.json; nothing on other processes than the first.

    Raises:
        UsageError: if the settings cannot be met, or the folder holds another run.
        DataError: if the archive lacks a split, a class or the masses of the task.
        LensmodelsError: if the training failed.
    """
    folder = Path(out)
    if config.task.name == "set-level":
        return train_sets(config, folder, resume=resume)
    training.train(config, folder, resume=resume, tested=True)
    return evaluate(folder) if training.rank_zero() else {}
