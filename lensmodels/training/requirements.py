"""What the stages of a run need, checked before the first of them begins.

A pretraining takes hours, so what the finetuning or the test after it lacks must be found before.
Each stage is also tried on a few blank images, to see whether encoder, views and batch size fit
together: encoders come from other projects and fail in the middle of a step with messages of their
own, on image sizes that they do not accept or on a single image if they need batch statistics.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lensmodels.data import Batch, DataSettings, InputScaling, LensDataModule
from lensmodels.data.archives import how_to_add
from lensmodels.data.mixing import MixedDataModule
from lensmodels.data.order import check_shares
from lensmodels.data.parts import TrainedPart
from lensmodels.devices import choose_device, enough_memory
from lensmodels.encoders import Encoder
from lensmodels.encoders.domain_norms import with_domain_norms
from lensmodels.encoders.timm_encoder import ANY_SIZE, explain
from lensmodels.errors import DataError, UsageError
from lensmodels.methods import PRETRAINING
from lensmodels.methods.settings import METHOD_NAMES, PRETRAINING_DEFAULTS
from lensmodels.methods.supervision import pairs_of
from lensmodels.runs import ENCODER, MODEL, RunConfig
from lensmodels.startup import announce, check_logger
from lensmodels.tasks import Task, measure_task
from lensmodels.views import Draws, Recipe, Views
from lenssim.errors import LenssimError
from lenssim.storage.output_paths import check_output_folder

PROBED_IMAGES = 2
"""Images that are tried, at most: the smallest number that has a spread."""


def probe_pretraining(config: RunConfig, data: LensDataModule) -> None:
    """Take the loss of a pretraining on a few blank images.

    Raises:
        UsageError: if the encoder does not take the views of the method, or the method not the
            number of images in a step.
    """
    method_name = METHOD_NAMES[config.method]
    with _isolated(config):
        encoder = Encoder(config.encoder, data.num_pix, channels=config.data.channels)
        if config.domain_norms:
            with_domain_norms(copy.deepcopy(encoder), domain_parts(config, data))
        method = PRETRAINING[config.method](
            encoder,
            config.pretrain_views,
            InputScaling.of_channels(config.data.channels),
            config.pretrain,
            batch_size=config.data.batch_size,
            total_steps=1,
            seed=0,
        )
        views = _blank_views(config.pretrain_views, data.num_pix, config.data.channels)
        _check_views(encoder, views(1), method_name)
        _check_step(
            config,
            images_in_step(config, data.sizes["train"]),
            lambda count: method.loss(method.draw_views(_blank_batch(count, data), seed=0)),
            method_name,
        )


def probe_finetuning(config: RunConfig, data: LensDataModule) -> None:
    """Take the features of a few blank images as in a step of the finetuning.

    Raises:
        UsageError: if the encoder does not take the views, or not the number of images in a step.
    """
    with _isolated(config):
        encoder = Encoder(config.encoder, data.num_pix, channels=config.data.channels)
        views = _blank_views(config.finetune_views, data.num_pix, config.data.channels)
        _check_views(encoder, views(1), "the finetuning")
        encoder.train(not config.frozen)
        _check_step(
            config,
            images_in_step(config, data.sizes["labelled"]),
            lambda count: encoder(views(count)[0]),
            "the finetuning",
        )


def domain_parts(config: RunConfig, data: LensDataModule) -> list[int]:
    """Images of each archive in a batch of one process."""
    assert isinstance(data, MixedDataModule)  # domain_norms goes with unlabelled archives
    return [share // config.devices for share in data.shares]


def images_in_step(config: RunConfig, count: int) -> int:
    """Images over which batch norms take their statistics in a step.

    Args:
        config: of the run.
        count: images in an epoch.

    Returns:
        Images of all GPUs, or of one process on CPUs.
    """
    together = min(config.data.batch_size, count)
    # on GPUs these are collected from all devices
    device = choose_device(config.device, config.devices)
    return together if device.type == "cuda" else together // config.devices


def _blank_batch(count: int, data: LensDataModule) -> Batch:
    """So many images of noise alone, with what batches of the data have besides."""
    names = ["image"] if data.pairs is None else ["image", "second_image"]
    images = {
        name: torch.randn(count, data.settings.channels, data.num_pix, data.num_pix)
        for name in names
    }
    return images | {name: torch.zeros(count) for name in data.columns}


def _blank_views(recipe: Recipe, num_pix: int, channels: int) -> Callable[[int], list[Tensor]]:
    """A function from a number of images to their views, as a step draws them."""
    views = Views(recipe, InputScaling.of_channels(channels))

    def draw(count: int) -> list[Tensor]:
        images = torch.randn(count, channels, num_pix, num_pix)
        return views(images, Draws(0, count, images.device))

    return draw


def _check_views(encoder: Encoder, views: Sequence[Tensor], user: str) -> None:
    """Refuse views of a size that the encoder does not take."""
    for size in sorted({view.shape[-1] for view in views}):
        refusal = encoder.refusal(size)
        if refusal is not None:
            raise UsageError(
                f"Encoder {encoder.settings.name} does not take the views of {size} x {size} "
                f"pixels that {user} draws from images of {encoder.num_pix}{explain(refusal)}; "
                f"choose {ANY_SIZE}, or other --views."
            ) from refusal


def _check_step(config: RunConfig, images: int, step: Callable[[int], Tensor], user: str) -> None:
    """Refuse a step that fails on as many images as it will have, or on two if it has more."""
    reason = _failure(step, min(images, PROBED_IMAGES))
    if reason is None:
        return
    if images < PROBED_IMAGES and _failure(step, PROBED_IMAGES) is None:
        raise UsageError(
            f"A step of {user} has {images} image on each device, and encoder "
            f"{config.encoder.name} needs {PROBED_IMAGES} or more: choose a larger --batch-size, "
            "fewer --devices or more train images."
        )
    raise UsageError(
        f"{user[0].upper()}{user[1:]} does not work with encoder {config.encoder.name} and these "
        f"settings: {reason}; choose another --encoder."
    )


def _failure(step: Callable[[int], Tensor], images: int) -> str | None:
    """Why a step fails; None if it does not."""
    try:
        step(images)
    except (LenssimError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # third-party networks raise what they like
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return None


@contextmanager
def _isolated(config: RunConfig) -> Iterator[None]:
    """Without gradients, and without a trace in the random numbers of the training."""
    about = f"encoder {config.encoder.name}"
    with (
        enough_memory(about, "choose a smaller encoder"),
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
    ):
        yield


def check_requirements(
    config: RunConfig, run: Path, *, finetuned: bool = True, tested: bool = False
) -> None:
    """Refuse a run if one of its stages would fail, before anything is written.

    Args:
        config: of the run.
        run: folder that will be written.
        finetuned: whether a finetuning follows the pretraining.
        tested: whether a test follows.

    Raises:
        UsageError: if there are too few devices, the folder cannot be written, or the encoder, the
            views and the batch size do not fit together.
        DataError: if the archive lacks a split, a class or the masses of the task, or its images
            are of another size.
    """
    choose_device(config.device, config.devices)
    check_logger(config.logger)
    check_folder(run)
    _check_epochs(config, finetuned=finetuned)
    announce(f"opening {config.data.url}, and checking what every stage needs")
    if is_pretrained_here(config) and not (run / ENCODER).exists():
        data = open_pretraining_data(config)
        check_shares(data.sizes["train"], config.data.batch_size, config.devices)
        probe_pretraining(config, data)
    if not finetuned:
        return
    data = open_task_data(config)
    if tested and not data.sizes.get("test"):
        raise DataError(
            f"{config.data.test_url} has no test images, and a run ends with a test: "
            f"{how_to_add(data.manifest, 'test')}, or stop before it with `lensmodels pretrain`."
        )
    if (run / MODEL).exists():
        return
    check_shares(data.sizes["labelled"], config.data.batch_size, config.devices)
    if config.pretrained is None:
        probe_finetuning(config, data)
    if is_pretrained_here(config):
        measure_task_of(config, data)


def _check_epochs(config: RunConfig, *, finetuned: bool) -> None:
    """Refuse a stage of no epochs: the run would be named for what was never done."""
    if is_pretrained_here(config) and config.pretrain.epochs == 0:
        raise UsageError(
            f"pretrain.epochs is 0, and {METHOD_NAMES[config.method]} learns nothing in none: "
            "choose more --pretrain-epochs, or --method supervised for a network from random "
            "weights."
        )
    if finetuned and config.finetune.epochs == 0:
        raise UsageError(
            "finetune.epochs is 0, and a head of random weights says nothing: choose more "
            "--finetune-epochs, or stop after the pretraining with `lensmodels pretrain`."
        )


def is_pretrained_here(config: RunConfig) -> bool:
    """Whether a run begins with a pretraining of its own."""
    return config.method in PRETRAINING_DEFAULTS and config.pretrained is None


def open_pretraining_data(config: RunConfig) -> LensDataModule:
    """The data of the pretraining.

    Raises:
        DataError: if the archive has no train split.
    """
    settings = config.data.model_copy(update={"classes": config.pretrain_classes})
    columns = PRETRAINING[config.method].columns
    if config.pretrain_unlabelled:
        data = MixedDataModule(settings, config.pretrain_unlabelled, columns=columns)
        data.setup()
        return data
    pairs = pairs_of(config.method, config.pretrain)
    return _open(settings, "train", columns=columns, pairs=pairs)


def open_task_data(config: RunConfig) -> LensDataModule:
    """The data of the finetuning and the test.

    Raises:
        DataError: if the archive has no train split.
    """
    return _open(config.data.model_copy(update={"classes": config.task.classes}))


def open_scaling_data(config: RunConfig, data: LensDataModule) -> LensDataModule:
    """The data that the input scaling is measured on: of the classes that are pretrained on.

    So the scaling of a baseline does not depend on which of them its task has.

    Args:
        config: of the run.
        data: that it trains on.
    """
    held = [name for name in config.pretrain_classes if data.manifest.group(f"train/{name}")]
    if data.settings.classes == tuple(held):
        return data
    return _open(data.settings.model_copy(update={"classes": tuple(held), "cache": "none"}))


def measure_task_of(config: RunConfig, data: LensDataModule) -> Task:
    """The task of a run, with the constants that are measured on the labelled images.

    Raises:
        DataError: if the images lack what the task learns.
    """
    # not from the module that trains: a cache would be filled before its device is known
    uncached = _open(data.settings.model_copy(update={"cache": "none"}))
    if uncached.is_live:
        return measure_task(config.task, uncached.measured_batches())
    return measure_task(config.task, uncached.stream("labelled", shuffle=True))


def check_folder(run: Path) -> None:
    """Refuse a run's folder that cannot be written.

    Raises:
        UsageError: if the path is a file or a broken link, lies below one, or may not be written.
    """
    check_output_folder(run)
    existing = next(place for place in (run, *run.absolute().parents) if place.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"{existing} may not be written: choose another --out.")


def _open(
    settings: DataSettings, trained_part: TrainedPart = "labelled", **extra: Any
) -> LensDataModule:
    data = LensDataModule(settings, trained_part, **extra)
    data.setup()
    data.steps()  # refuses an archive without a train split
    return data
