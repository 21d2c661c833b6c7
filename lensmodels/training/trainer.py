"""One stage of a run in Lightning's loop: devices, logs, checkpoints."""

from __future__ import annotations

import csv
import logging
import pickle  # for the name of an error; nothing is unpickled
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from lensmodels.data import LensDataModule
from lensmodels.devices import choose_device, enough_memory
from lensmodels.errors import LensmodelsError
from lensmodels.methods import Module
from lensmodels.methods.settings import METHOD_NAMES
from lensmodels.runs import CHECKPOINTS, LOGS, RunConfig
from lensmodels.startup import announce
from lensmodels.training.best_epoch import KeepBestEpoch
from lensmodels.training.callbacks import (
    EpochLines,
    EpochMeans,
    KeepCheckpoint,
    ProgressBar,
    Throughput,
    rank_zero,
)

StageName = Literal["pretrain", "finetune"]

_MIN_VALIDATION = 2

_LOOKS = 20
"""Times that a stage is validated and saved, at most: an epoch of few labels takes a moment."""


class InterruptedTrainingError(LensmodelsError):
    """The user stopped the training; what is done is kept."""


def fit_stage(
    stage: StageName, config: RunConfig, run: Path, module: Module, data: LensDataModule
) -> None:
    """Trains a module for a stage, from the stage's checkpoint if there is one.

    Args:
        stage: "pretrain" or "finetune".
        config: settings of the run.
        run: its folder, which gets checkpoints and logs.
        module: that is trained, in place.
        data: its batches.

    Raises:
        InterruptedTrainingError: if training was stopped by a signal; the checkpoint is kept.
        LensmodelsError: if there is not enough memory, or the checkpoint does not fit the module.
    """
    settings: Any = getattr(config, stage)
    every = max(1, settings.epochs // _LOOKS)
    means, throughput = EpochMeans(), Throughput()
    checkpoint = KeepCheckpoint(run / CHECKPOINTS / f"{stage}.ckpt", means, every)
    has_validation = data.sizes["validation"] >= _MIN_VALIDATION
    resumed = checkpoint.file if checkpoint.file.exists() else None
    # in this order: what is logged comes before what shows it
    callbacks: list[Callback] = [means, throughput, EpochLines(every), checkpoint]
    best = KeepBestEpoch()
    if stage == "finetune" and config.best_epoch:
        callbacks.insert(0, best)  # before the checkpoint, which holds it
    if sys.stderr.isatty():
        callbacks.insert(-2, ProgressBar(means, throughput))
    device = choose_device(config.device, config.devices).type
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    announce(_phase(stage, config, data))
    with _sentences(config, checkpoint.file), _quiet():
        trainer = lightning.Trainer(
            accelerator="gpu" if device == "cuda" else device,
            devices=config.devices,
            strategy="ddp" if config.devices > 1 else "auto",
            # a method sees the statistics of the whole batch; on CPUs torch has no such norm
            sync_batchnorm=config.devices > 1 and device == "cuda",
            precision=config.precision,
            deterministic="warn" if config.deterministic else False,
            max_epochs=settings.epochs,
            limit_val_batches=1.0 if has_validation else 0,
            check_val_every_n_epoch=every,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            enable_progress_bar=False,
            logger=_loggers(config, run, stage, resumed),
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        # those of Lightning end a training at SIGTERM with exit code 0 and no word
        trainer._signal_connector.register_signal_handlers = _no_handlers  # type: ignore[method-assign]
        try:
            trainer.fit(module, data, ckpt_path=resumed, weights_only=True)
            is_interrupted = checkpoint.is_asked_anywhere(trainer)
        finally:
            checkpoint.give_back()
            data.close()
    if is_interrupted:
        raise InterruptedTrainingError(
            f"Stopped {checkpoint.stopped} of {settings.epochs}; what is done is kept: continue by "
            f"--resume --out {run}."
        )
    best.restore(module)


def _no_handlers() -> None:
    """In place of Lightning's handlers of signals."""


def _phase(stage: StageName, config: RunConfig, data: LensDataModule) -> str:
    """What begins now, for the user."""
    if stage == "pretrain":
        name = f"pretraining with {METHOD_NAMES[config.method]}"
    else:
        name = f"training on the {config.task.name} task"
    epochs, steps = getattr(config, stage).epochs, data.steps()
    counted = f"{epochs} epoch{'s' * (epochs != 1)} of {steps} step{'s' * (steps != 1)}"
    return f"{name}: {counted}, {data.sizes[data.trained_part]:,} images"


def _loggers(config: RunConfig, run: Path, stage: StageName, resumed: Path | None) -> list[Any]:
    """CSV and TensorBoard logs, and another; a resumed stage keeps its lines up to there."""
    folder = run / LOGS / stage
    rows: list[dict[str, Any]] = []
    if resumed is not None and rank_zero():
        steps, logged = _progress(resumed)
        with suppress(OSError), (folder / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < steps]
        # the log may have been cut off before the line of the checkpoint's epoch
        there = {
            name
            for row in rows
            if int(row["step"]) == logged.get("step")
            for name in row
            if row[name]
        }
        lacking = {name: value for name, value in logged.items() if name not in there}
        if lacking:
            rows.append(lacking | {key: logged[key] for key in ("epoch", "step")})
    text = CSVLogger(run / LOGS, name=stage, version="", flush_logs_every_n_steps=1)
    if rows:
        text.experiment.metrics = [
            {key: value for key, value in row.items() if value != ""} for row in rows
        ]
        text.save()
    logs: list[Any] = [text, TensorBoardLogger(run / LOGS, name="tensorboard", version=stage)]
    if config.logger == "wandb":
        logs.append(WandbLogger(name=f"{run.resolve().name}/{stage}", save_dir=run / LOGS))
    return logs


def _progress(checkpoint: Path) -> tuple[int, dict[str, Any]]:
    """Steps that a checkpoint has done, and what is logged of its epoch, if it ends with one."""
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        kept = state["callbacks"].get(KeepCheckpoint.__qualname__, {})
        return int(state["global_step"]), kept.get("logged", {})
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError):
        raise LensmodelsError(
            f"{checkpoint} is damaged or not a checkpoint of this software; delete it to begin "
            "the stage again."
        ) from None


@contextmanager
def _sentences(config: RunConfig, checkpoint: Path) -> Iterator[None]:
    """Raises what a user can act on as one sentence."""
    about = f"encoder {config.encoder.name} and batches of {config.data.batch_size} images"
    with enough_memory(about, "choose a smaller --batch-size or encoder"):
        try:
            yield
        except (RuntimeError, ValueError) as error:
            if "loading state_dict" in str(error):
                reason = "of another encoder or task than this run"
            elif "loaded state dict" in str(error):  # of an optimiser
                reason = "of a version that grouped the weights otherwise"
            else:
                raise
            raise LensmodelsError(
                f"{checkpoint} is {reason}; delete it to begin the stage again."
            ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Lightning's own messages, and advice that does not apply to our streams."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        try:
            yield
        finally:
            logger.setLevel(level)
