"""What the stages of a run need, checked before the first of them begins.

A pretraining takes hours: what the finetuning or the test after it lacks is to be found before.
"""

from __future__ import annotations

import os
from pathlib import Path

from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data.archives import how_to_add
from lensmodels.data.datamodule import TrainedPart
from lensmodels.data.order import check_shares
from lensmodels.devices import choose_device
from lensmodels.errors import DataError, UsageError
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.runs import ENCODER, MODEL, RunConfig
from lensmodels.startup import announce, check_logger
from lensmodels.tasks import Task, measure_task
from lensmodels.training.probing import probe_finetuning, probe_pretraining
from lenssim.storage.output_paths import check_output_folder


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
    announce(f"opening {config.data.url}, and checking what every stage needs")
    if is_pretrained_here(config) and not (run / ENCODER).exists():
        data = open_pretraining_data(config)
        check_shares(data.sizes["train"], config.data.batch_size, config.devices)
        probe_pretraining(config, data)
    if not finetuned:
        return
    data = open_task_data(config)
    if tested and "test" not in data.sizes:
        raise DataError(
            f"{config.data.url} has no test images, and a run ends with a test: "
            f"{how_to_add(data.manifest, 'test')}, or stop before it with `lensmodels pretrain`."
        )
    if (run / MODEL).exists():
        return
    check_shares(data.sizes["labelled"], config.data.batch_size, config.devices)
    if config.pretrained is None:
        probe_finetuning(config, data)
    if is_pretrained_here(config):
        measure_task_of(config, data)


def is_pretrained_here(config: RunConfig) -> bool:
    """Whether a run begins with a pretraining of its own."""
    return config.method in PRETRAINING_DEFAULTS and config.pretrained is None


def open_pretraining_data(config: RunConfig) -> LensDataModule:
    """The data of the pretraining.

    Raises:
        DataError: if the archive has no train split.
    """
    return _open(config.data.model_copy(update={"classes": config.pretrain_classes}), "train")


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


def _open(settings: DataSettings, trained_part: TrainedPart = "labelled") -> LensDataModule:
    data = LensDataModule(settings, trained_part)
    data.setup()
    data.steps()  # refuses an archive without a train split
    return data
