"""What happens beside the steps of a training: checkpoints, Ctrl-C, throughput and progress."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar

from lensmodels.errors import LensmodelsError


class KeepCheckpoint(Checkpoint):
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
            self.save(trainer)
            trainer.should_stop = True
            trainer.limit_val_batches = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Saves after the epoch."""
        if trainer.should_stop:
            return
        done = trainer.current_epoch + 1
        if self.interrupted or done % self.every == 0 or done == trainer.max_epochs:
            self.save(trainer)
        trainer.should_stop = self.interrupted

    def save(self, trainer: lightning.Trainer) -> None:
        """Writes the checkpoint, whole or not at all."""
        part = self.file.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self.file)


class Throughput(Callback):
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


class ProgressBar(TQDMProgressBar):
    """A progress bar with images a second."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: Any) -> dict[str, Any]:
        """What stands at the end of the bar."""
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        throughput = next(call for call in trainer.callbacks if isinstance(call, Throughput))  # type: ignore[attr-defined]
        return {"images/s": f"{throughput.rate:,.0f}", **shown}


class EpochLines(Callback):
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
