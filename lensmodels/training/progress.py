"""Progress of a stage on stderr: a bar on a terminal, and a line after epochs."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from lensmodels.training.callbacks import EpochMeans, Throughput

BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
"""Without the rate in steps, which images a second replace, so that the bar has room."""

_REFRESH = 0.1
"""Seconds between two looks at the loss, each of which waits for a GPU."""


class ProgressBar(Callback):
    """A bar over the steps of the epoch, with images a second and the mean loss so far.

    Args:
        means, throughput: callbacks of the same trainer.
    """

    def __init__(self, means: EpochMeans, throughput: Throughput) -> None:
        self._means, self._throughput = means, throughput
        self._bar: tqdm | None = None
        self._shown = 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the bar."""
        if self._bar is None:
            self._bar = self._new_bar(trainer)
        done = batch_idx + 1
        if trainer.is_last_batch or time.monotonic() - self._shown > _REFRESH:
            self._shown = time.monotonic()
            self._bar.n = done
            self._bar.set_postfix_str(self._postfix())

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Removes the bar; the line of the epoch takes its place."""
        self._close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Removes the bar, so that the error has a line of its own."""
        self._close()

    def _new_bar(self, trainer: lightning.Trainer) -> tqdm:
        return tqdm(
            total=int(trainer.num_training_batches),
            desc=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
            bar_format=BAR_FORMAT,
            disable=not trainer.is_global_zero,
        )

    def _postfix(self) -> str:
        text = f"{self._throughput.rate:,.0f} images/s"
        loss = self._means.means().get("train_loss")
        return text if loss is None else f"{text}, loss {float(loss):.3g}"

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class EpochLines(Callback):
    """A line with what was logged after epochs.

    Args:
        every: how many epochs apart.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Prints what was logged."""
        done = trainer.current_epoch + 1
        if done % self.every or not trainer.is_last_batch:
            return
        # every process asks for the values, as they are means over all
        values = {key: f"{float(value):.4g}" for key, value in trainer.logged_metrics.items()}
        if trainer.is_global_zero:
            text = ", ".join(f"{key} {value}" for key, value in values.items())
            print(f"epoch {done}/{trainer.max_epochs}: {text}", file=sys.stderr, flush=True)
