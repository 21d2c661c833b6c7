"""Training: the stages of a run, each of which can be stopped and gone on with.

A run pretrains an encoder without labels, where its method is a self-supervised one, and then
finetunes it, with a head, on its task. Each stage keeps a checkpoint of its last epoch.
"""

from __future__ import annotations

import csv
import logging
import pickle  # for the name of an error; nothing is unpickled
import signal
import sys
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lensmodels.data import DataSettings, InputScaling, LensDataModule
from lensmodels.encoders import Encoder
from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.memory import enough_memory
from lensmodels.methods import PRETRAINING, Module, Supervised
from lensmodels.methods.base import step_seed
from lensmodels.runs import (
    CHECKPOINTS,
    ENCODER,
    LOGS,
    MODEL,
    Measured,
    RunConfig,
    build_model,
    load_encoder,
    load_model,
    load_scaling,
    read_config,
    save_encoder,
    save_model,
    write_config,
    write_measured,
)
from lensmodels.tasks import measure_task

StageName = Literal["pretrain", "finetune"]

_LEAST_VALIDATION = 2

_LOOKS = 20
"""Times that a stage is validated and saved, at most: an epoch of few labels takes a moment."""


_INDIFFERENT = {
    "version",
    "device",
    "devices",
    "data.workers",
    "data.cache",
    "data.cache_dir",
}
"""Settings that may change when a run goes on."""


class InterruptedTrainingError(LensmodelsError):
    """The user stopped the training; what is done is kept."""


_PLACES = {"data.url", "pretrained"}
"""Settings that may change when a run and its data were moved."""


def train(config: RunConfig, run: Path, *, resume: bool = False, moved: bool = False) -> None:
    """Pretrains, where the method is self-supervised, and finetunes.

    Args:
        config: of the run.
        run: folder to write.
        resume: go on with what is there.
        moved: as in `begin`.

    Raises:
        UsageError: where the settings cannot be met, or the folder holds another run.
        DataError: where the archive lacks a class of the task, or its images are of another size.
        LensmodelsError: where the training failed.
    """
    _accelerator(config)
    has_pretraining = config.method in PRETRAINING and config.pretrained is None
    if has_pretraining:  # of hours, maybe: what the task lacks is to be found before
        _data_module(_data_of_task(config))
    config = begin(config, run, resume=resume, moved=moved)
    if has_pretraining:
        pretrain(config, run)
    finetune(config, run)


def begin(config: RunConfig, run: Path, *, resume: bool, moved: bool = False) -> RunConfig:
    """Writes the settings of a new run, or reads those of one that is to go on.

    Args:
        config: of the run.
        run: folder to write.
        resume: go on with what is there.
        moved: the same images, and the same pretrained encoder, may be at another place than they
            were; that they are the same, the caller knows.

    Raises:
        UsageError: where the folder holds a run and `resume` is not asked for, or holds a run of
            other settings.
    """
    config = config.model_copy()  # what is measured is filled in, and is of this run
    if not rank_zero():
        return config
    if not any((run / trace).exists() for trace in (ENCODER, MODEL, CHECKPOINTS)):
        write_config(run, config)
        return config
    if not resume:
        raise UsageError(
            f"{run} holds a run already; go on with it by --resume, or choose another --out."
        )
    stored = read_config(run)
    difference = first_difference(stored, config, _PLACES if moved else ())
    if difference is not None:
        key, old, new = difference
        raise UsageError(
            f"{run} was begun with {key} {old}, not {new}; resume it with the settings that it "
            "began with, or choose another --out."
        )
    return config.model_copy(update={"measured": stored.measured, "version": stored.version})


def first_difference(
    stored: RunConfig, wanted: RunConfig, besides: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """Name and values of a setting that two runs differ in, of those that matter to the result.

    Args:
        stored, wanted: settings of the runs.
        besides: settings that do not matter either.
    """
    ours, theirs = (_flat(config.model_dump(mode="json")) for config in (stored, wanted))
    for key in sorted(ours.keys() | theirs.keys()):
        matters = key not in {*_INDIFFERENT, *besides} and not key.startswith("measured")
        if matters and ours.get(key) != theirs.get(key):
            return key, ours.get(key), theirs.get(key)
    return None


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists, by dotted key."""
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def pretrain(config: RunConfig, run: Path) -> None:
    """Pretrains the encoder of a run without labels, and saves it; nothing where it is done.

    Args:
        config: of the run; what is measured is filled in.
        run: its folder.
    """
    data = _data_module(config.data.model_copy(update={"classes": config.pretrain_classes}))
    scaling = _input_scaling(config, run, data)
    _write(run, config, scaling)
    assert config.measured is not None
    if (run / ENCODER).exists():
        return
    seed_weights(config, "pretrain")
    method = PRETRAINING[config.method](
        Encoder(config.encoder, config.measured.num_pix),
        config.pretrain_views,
        scaling,
        config.pretrain,
        batch_size=config.data.batch_size,
        total_steps=config.pretrain.epochs * data.steps("train"),
        seed=config.seed,
    )
    _fit("pretrain", config, run, method, data)
    if rank_zero():
        if method.collapsed:
            warnings.warn(
                "The features have collapsed: images look alike to the encoder, or differ along "
                "one line only. See embedding_std and embedding_rank in the log; other views or a "
                "lower learning rate may help.",
                stacklevel=1,
            )
        save_encoder(run, method.trained_encoder)
    _wait_for_all()  # before another process reads it


def finetune(config: RunConfig, run: Path) -> None:
    """Trains encoder and head on the task, and saves the model; nothing where it is done.

    Starts from the encoder that was pretrained, in this run or in another, or from random weights.

    Args:
        config: of the run; what is measured is filled in.
        run: its folder.
    """
    if (run / MODEL).exists():
        load_model(run)
        return
    data = _data_module(_data_of_task(config))
    start = Path(config.pretrained) if config.pretrained else run
    begins_pretrained = config.pretrained is not None or config.method in PRETRAINING
    seed_weights(config, "finetune")
    if begins_pretrained:
        encoder, scaling = load_encoder(start)
        if encoder.settings != config.encoder:
            raise UsageError(
                f"{start} holds the encoder {encoder.settings.name}, not {config.encoder.name} "
                "with these settings; leave --encoder out."
            )
        if encoder.num_pix != data.num_pix:
            raise UsageError(
                f"{start} was pretrained on images of {encoder.num_pix} pixels, and "
                f"{config.data.url} has {data.num_pix}."
            )
        config.measured = Measured(num_pix=data.num_pix, scaling=scaling.to_dict())
    else:
        scaling = _input_scaling(config, run, data)
    # not from the module that trains: a cache would be filled before its device is known
    uncached = _data_module(data.settings.model_copy(update={"cache": "none"}))
    task = measure_task(config.task, uncached.stream("labelled", shuffle=True))
    assert config.measured is not None
    config.measured = config.measured.model_copy(
        update={"task": task.to_dict(), "sizes": dict(data.sizes)}
    )
    _write(run, config, scaling)
    model = build_model(config, task, scaling)
    if begins_pretrained:
        model.encoder.load_state_dict(encoder.state_dict())
    module = Supervised(
        model,
        config.finetune_views,
        config.finetune,
        frozen=config.frozen,
        batch_size=config.data.batch_size,
        total_steps=config.finetune.epochs * data.steps("labelled"),
        seed=config.seed,
    )
    _fit("finetune", config, run, module, data)
    if rank_zero():
        save_model(run, model, config)
    _wait_for_all()
    if torch.distributed.is_initialized():
        # so that what comes next, on one process, is given every image of a stream
        torch.distributed.destroy_process_group()


def seed_weights(config: RunConfig, stage: StageName) -> None:
    """Seeds what draws the initial weights of a stage."""
    torch.manual_seed(step_seed(config.seed, 0 if stage == "pretrain" else 1, 0x5EED))


def rank_zero() -> bool:
    """Whether this is the only process, or the one that writes."""
    return getattr(rank_zero_only, "rank", None) in (0, None)


def _wait_for_all() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def _write(run: Path, config: RunConfig, scaling: InputScaling) -> None:
    if rank_zero():
        write_measured(run, config, scaling)


def _data_of_task(config: RunConfig) -> DataSettings:
    return config.data.model_copy(update={"classes": config.task.classes})


def _data_module(settings: DataSettings) -> LensDataModule:
    data = LensDataModule(settings)
    data.setup()
    return data


def _input_scaling(config: RunConfig, run: Path, data: LensDataModule) -> InputScaling:
    """The scaling of a run that begins, measured and noted in its settings, or of one that goes on.

    Args:
        config: of the run; what is measured is filled in.
        run: its folder.
        data: what it trains on.
    """
    if config.measured is not None:
        return load_scaling(run, config)
    config.measured = Measured(
        num_pix=data.num_pix, scaling=data.scaling.to_dict(), sizes=dict(data.sizes)
    )
    return data.scaling


class StageData(lightning.LightningDataModule):
    """What a stage trains on: all train images, or the labelled ones."""

    def __init__(self, stage: StageName, data: LensDataModule) -> None:
        super().__init__()
        self.stage, self.data = stage, data

    def setup(self, stage: str | None = None) -> None:
        """Lets the data know on which device they are wanted."""
        self.data.trainer = self.trainer

    def train_dataloader(self) -> Any:
        """Shuffled train images."""
        if self.stage == "pretrain":
            return self.data.unlabelled_dataloader()
        return self.data.train_dataloader()

    def val_dataloader(self) -> Any:
        """Validation images, in order."""
        return self.data.val_dataloader()


def _fit(
    stage: StageName, config: RunConfig, run: Path, module: Module, data: LensDataModule
) -> None:
    """Trains a module for a stage, from its checkpoint where there is one."""
    settings: Any = getattr(config, stage)
    every = max(1, settings.epochs // _LOOKS)
    checkpoint = _Keep(run / CHECKPOINTS / f"{stage}.ckpt", every)
    has_validation = data.sizes["validation"] >= _LEAST_VALIDATION
    resumed = checkpoint.file if checkpoint.file.exists() else None
    callbacks: list[Callback] = [checkpoint, _Throughput()]
    accelerator = _accelerator(config)
    if accelerator == "gpu":
        torch.set_float32_matmul_precision("high")
    with _sentences(config, checkpoint.file), _quiet():
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=config.devices,
            strategy="ddp" if config.devices > 1 else "auto",
            # a method sees the statistics of the whole batch; on CPUs torch has no such norm
            sync_batchnorm=config.devices > 1 and accelerator == "gpu",
            precision=config.precision,
            deterministic="warn" if config.deterministic else False,
            max_epochs=settings.epochs,
            limit_val_batches=1.0 if has_validation else 0,
            check_val_every_n_epoch=every,
            num_sanity_val_steps=0,
            callbacks=[*callbacks, _Progress() if sys.stderr.isatty() else _Lines(every)],
            enable_progress_bar=sys.stderr.isatty(),
            logger=_loggers(run, stage, resumed),
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, StageData(stage, data), ckpt_path=resumed, weights_only=True)
    if checkpoint.interrupted:
        raise InterruptedTrainingError(
            f"Stopped in epoch {trainer.current_epoch + 1} of {settings.epochs}; what is done is "
            f"kept: go on with --resume --out {run}."
        )


def _accelerator(config: RunConfig) -> str:
    """Lightning's name of what trains.

    Raises:
        UsageError: where there are fewer GPUs than asked for.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.device == "cpu" or (config.device == "auto" and not available):
        return "cpu"
    if available < config.devices:
        there = f"there are only {available}" if available else "there is none here"
        raise UsageError(
            f"{config.devices} GPU(s) were asked for, and {there}; choose fewer --devices, or "
            "--device cpu."
        )
    return "gpu"


def _loggers(run: Path, stage: StageName, resumed: Path | None) -> list[Any]:
    """CSV and TensorBoard logs; those of a stage that goes on keep their lines up to there."""
    folder = run / LOGS / stage
    rows: list[dict[str, Any]] = []
    if resumed is not None and rank_zero():
        steps = _steps_done(resumed)
        with suppress(OSError), (folder / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < steps]
    text = CSVLogger(run / LOGS, name=stage, version="", flush_logs_every_n_steps=1)
    if rows:
        text.experiment.metrics = [
            {key: value for key, value in row.items() if value != ""} for row in rows
        ]
        text.save()
    return [text, TensorBoardLogger(run / LOGS, name="tensorboard", version=stage)]


def _steps_done(checkpoint: Path) -> int:
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        return int(state["global_step"])
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError):
        raise LensmodelsError(
            f"{checkpoint} is damaged or not a checkpoint of this software; delete it to begin "
            "the stage again."
        ) from None


class _Keep(Checkpoint):
    """Keeps the state after epochs, and at Ctrl-C, in one file that is always whole.

    Args:
        file: to write.
        every: how many epochs apart; after the last epoch in any case.
    """

    def __init__(self, file: Path, every: int = 1) -> None:
        self.file, self.every = file, every
        self.interrupted = False
        self._previous: Any = None

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Takes Ctrl-C over: the first asks to stop after the step, the second stops at once."""

        def ask(*_: Any) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        with suppress(ValueError):  # not the main thread
            self._previous = signal.signal(signal.SIGINT, ask)

    def teardown(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Gives Ctrl-C back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        """Saves and stops, where that was asked for and the epoch goes on.

        Raises:
            LensmodelsError: where an epoch ends with a loss that is no number.
        """
        if trainer.is_last_batch and not torch.isfinite(outputs["loss"]):
            raise LensmodelsError(
                f"The loss became {float(outputs['loss'])} in epoch {trainer.current_epoch + 1}; "
                "train again with a lower --lr."
            )
        if self.interrupted and not trainer.is_last_batch:
            self._save(trainer)
            trainer.should_stop = True
            trainer.limit_val_batches = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Saves after the epoch."""
        if trainer.should_stop:
            return
        done = trainer.current_epoch + 1
        if self.interrupted or done % self.every == 0 or done == trainer.max_epochs:
            self._save(trainer)
        trainer.should_stop = self.interrupted

    def _save(self, trainer: lightning.Trainer) -> None:
        part = self.file.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self.file)


class _Throughput(Callback):
    """Logs images a second, over all devices, of every epoch."""

    def __init__(self) -> None:
        self.images, self.start, self.rate = 0, 0.0, 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Starts the clock, also in the middle of an epoch."""
        self.images, self.start = 0, time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Starts the clock."""
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Counts, and stops the clock before the validation."""
        self.images += len(batch["image"]) * trainer.world_size
        self.rate = self.images / (time.perf_counter() - self.start)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Logs."""
        pl_module.log("images_per_second", self.rate)


class _Progress(TQDMProgressBar):
    """A progress bar with images a second."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: Any) -> dict[str, Any]:
        """What stands at the end of the bar."""
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        throughput = next(call for call in trainer.callbacks if isinstance(call, _Throughput))  # type: ignore[attr-defined]
        return {"images/s": f"{throughput.rate:,.0f}", **shown}


class _Lines(Callback):
    """A line after epochs, where nobody watches a bar.

    Args:
        every: how many epochs apart.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Prints what was logged."""
        if (trainer.current_epoch + 1) % self.every:
            return
        # every process asks for the figures, as they are means over all
        figures = {key: f"{float(value):.4g}" for key, value in trainer.logged_metrics.items()}
        if trainer.is_global_zero:
            text = ", ".join(f"{key} {value}" for key, value in figures.items())
            print(f"epoch {trainer.current_epoch + 1}: {text}", file=sys.stderr, flush=True)


@contextmanager
def _sentences(config: RunConfig, checkpoint: Path) -> Iterator[None]:
    """Turns what a user can act on into one sentence."""
    about = f"encoder {config.encoder.name} and batches of {config.data.batch_size} images"
    with enough_memory(about, "choose a smaller --batch-size or encoder"):
        try:
            yield
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            raise LensmodelsError(
                f"{checkpoint} is of another encoder or task than this run; delete it to begin the "
                "stage again."
            ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what Lightning says of itself, and advice that does not apply to our streams."""
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
