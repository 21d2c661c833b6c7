"""What happens beside the steps of a training: checkpoints, signals, logs, and progress on stderr.

Progress is a bar on a terminal, and a line after epochs.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from tqdm import tqdm

from lensmodels.methods.base import check_finite
from lenssim.storage.atomic import replacing


def rank_zero() -> bool:
    """Whether this is the only process, or the one that writes."""
    return getattr(rank_zero_only, "rank", None) in (0, None)


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """The mean of a number over all processes that train, on each of them."""
    if not torch.distributed.is_initialized():
        return value
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def wait_for_all() -> None:
    """Returns once every process that trains has come here; at once if there is no other."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


_STOPPING = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a training: Ctrl-C, and what batch systems send before they end a job."""


class KeepCheckpoint(Checkpoint):
    """Keeps the state after epochs, and when a signal asks to stop, in a file that is always whole.

    Args:
        file: to write.
        means: callback of the same trainer, which logs before.
        every: how many epochs apart; after the last epoch in any case.

    Attributes:
        interrupted: whether this process was asked to stop, or another that trains with it.
        stopped: where the training is, as in "in epoch 3" or "after epoch 3".
        logged: what is logged of the epoch that has just ended, with its "epoch" and "step". It is
            part of the checkpoint, as the log is written after it, and a kill may come in between.
    """

    def __init__(self, file: Path, means: EpochMeans, every: int = 1) -> None:
        self.file, self.every, self._means = file, every, means
        self.interrupted = False
        self.stopped = "before epoch 1"
        self.logged: dict[str, float] = {}
        self._previous: dict[int, Any] = {}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Takes the signals over: one asks to stop after the step, a second stops at once."""

        def ask(*_: Any) -> None:
            self.interrupted = True
            self.give_back()

        for number in _STOPPING:
            before = signal.getsignal(number)
            if before is None:  # not Python's, which cannot be given back
                continue
            with suppress(ValueError):  # not the main thread
                signal.signal(number, ask)
                self._previous[number] = before

    def give_back(self) -> None:
        """Gives the signals back to whom they were before; does nothing the second time."""
        with suppress(KeyError):  # a signal may come in between, and do it
            while self._previous:
                signal.signal(*self._previous.popitem())

    def is_asked_anywhere(self, trainer: lightning.Trainer) -> bool:
        """Whether to stop now: of several processes, which save together, a signal may reach one.

        Every process has to call it at the same place, and to act on its answer.
        """
        answer: bool = trainer.strategy.reduce_boolean_decision(self.interrupted, all=False)
        self.interrupted |= answer
        return answer

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        """Saves and stops, if that was asked for and the epoch is not over.

        Raises:
            LensmodelsError: if the loss is not finite: that state is not worth keeping.
        """
        if not trainer.is_last_batch and self.is_asked_anywhere(trainer):
            check_finite([outputs["loss"]], "loss", trainer.current_epoch)
            self.save(trainer)
            self.stopped = f"in epoch {trainer.current_epoch + 1}"
            trainer.should_stop = True
            trainer.limit_val_batches = 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Saves after the epoch."""
        if trainer.should_stop:
            return
        done = trainer.current_epoch + 1
        is_asked = self.is_asked_anywhere(trainer)
        if is_asked or done % self.every == 0 or done == trainer.max_epochs:
            logged_now = {*self._means.names, "images_per_second"}
            # every process asks for the values, as they are means over all
            values = {
                name: float(value)
                for name, value in trainer.logged_metrics.items()
                if name in logged_now  # others may be of an earlier validation
            }
            place = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1}
            self.logged = values | place
            self.save(trainer)
            self.logged = {}
        self.stopped = f"after epoch {done}"
        trainer.should_stop = is_asked

    def state_dict(self) -> dict[str, Any]:
        """What is logged of the epoch that has just ended; nothing in the middle of one."""
        return {"logged": self.logged}

    def save(self, trainer: lightning.Trainer) -> None:
        """Writes the checkpoint, whole or not at all."""
        if not trainer.is_global_zero:  # takes part in collecting the state, and writes nothing
            trainer.save_checkpoint(self.file)
            return
        with replacing(self.file) as scratch:
            trainer.save_checkpoint(scratch)


class EpochMeans(Callback):
    """Logs the mean over an epoch of every value that the module records in its steps.

    Sums are part of the checkpoint, so that an epoch that is stopped and resumed is logged once and
    as if it had not been stopped. Lightning's own means start again with a resume.
    """

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.steps = 0
        self.names: set[str] = set()  # of what was logged last

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any
    ) -> None:
        """Adds the values of the step.

        Raises:
            LensmodelsError: if the mean over the epoch is not finite.
        """
        for name, value in pl_module.step_values.items():
            before = self.sums.get(name, torch.zeros(()))
            self.sums[name] = before.to(value.device) + value.double()
        pl_module.step_values.clear()
        self.steps += 1
        if trainer.is_last_batch:
            check_finite(self.means().values(), "loss", trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Logs the means of a whole epoch."""
        if not trainer.is_last_batch:
            return
        for name, mean in self.means().items():
            pl_module.log(name, mean, sync_dist=True)
        self.names = set(self.sums)
        self.sums, self.steps = {}, 0

    def means(self) -> dict[str, torch.Tensor]:
        """Means over the steps of the epoch so far, on this process."""
        return {name: value / max(1, self.steps) for name, value in self.sums.items()}

    def state_dict(self) -> dict[str, Any]:
        """Sums, as means over all processes: each of them resumes with the same."""
        return {
            "sums": {name: mean_over_processes(value) for name, value in self.sums.items()},
            "steps": self.steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues the sums of a checkpoint."""
        self.sums, self.steps = dict(state_dict["sums"]), state_dict["steps"]


class Throughput(Callback):
    """Logs images a second, over all devices, of every epoch; validation is not counted.

    Lightning's ThroughputMonitor logs a rate over its last steps, for each device, under names of
    its own, and forgets an epoch that is resumed.
    """

    def __init__(self) -> None:
        self.images, self.seconds = 0, 0.0
        self._clock = 0.0

    @property
    def rate(self) -> float:
        """Images a second in the epoch so far."""
        return self.images / self.seconds if self.seconds else 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Starts the clock, also in the middle of an epoch."""
        self._clock = time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Starts the clock."""
        self._clock = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Counts images and time."""
        now = time.perf_counter()
        self.images += len(batch["image"]) * trainer.world_size
        self.seconds += now - self._clock
        self._clock = now

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Logs the rate of a whole epoch."""
        if trainer.is_last_batch:
            pl_module.log("images_per_second", self.rate)
            self.images, self.seconds = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Images and seconds of the epoch so far."""
        return {"images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues the epoch of a checkpoint."""
        self.images, self.seconds = state_dict["images"], state_dict["seconds"]


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
