"""Several cells of a grid at once, each in a process of its own.

A small network keeps neither a GPU nor many processor cores busy: its steps are over before the
next is prepared. Processes that share the device do.

DIR/logs/PROCESS.txt    what a process says of the cells that it runs
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Protocol

import torch
from loky import ProcessPoolExecutor
from loky.backend import get_context
from loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from lensmodels.errors import LensmodelsError
from lensmodels.study.grid import Cell
from lensmodels.training import InterruptedTrainingError
from lenssim.command_line.interruption import end_with_parent

_LOGS = "logs"


class CellRunner(Protocol):
    """What runs a cell; copied into every process."""

    out: Path

    def pretrain(self, cell: Cell) -> None:
        """Pretrains what the cell begins with."""

    def finetune(self, cell: Cell) -> None:
        """Does the rest."""


def run_at_once(
    runner: CellRunner,
    cells: Sequence[Cell],
    jobs: int,
    *,
    has_time: Callable[[Cell], bool],
    begin: Callable[[Cell], None],
    end: Callable[[Cell, LensmodelsError | None], None],
) -> None:
    """Runs cells in processes, in their order as far as what they begin with is done.

    Args:
        runner: of a cell.
        cells: to run.
        jobs: processes.
        has_time: whether there is time for a cell; one that has none is left out.
        begin: called when a cell is begun.
        end: called when it is over, with its error if it failed.

    Raises:
        InterruptedTrainingError: if the user stopped a training.
        LensmodelsError: if a process died.
    """
    pool = ProcessPoolExecutor(
        jobs,
        # no forks, in which a GPU that was used before cannot be used
        context=get_context("loky"),
        initializer=_begin_process,
        initargs=(runner.out / _LOGS, jobs),
    )
    running: dict[Future[None], tuple[Cell, bool]] = {}
    try:
        _run_queue(pool, runner, jobs, _Queue(cells, has_time), running, begin, end)
    except TerminatedWorkerError:
        raise LensmodelsError(
            "A process ended in the middle of a cell, as where memory runs out; run the same "
            "command with fewer --jobs to go on."
        ) from None
    except BrokenProcessPool:
        raise LensmodelsError(
            f"A process could not be started; what it said is in {runner.out / _LOGS}."
        ) from None
    finally:
        for future in running:
            future.cancel()
        pool.shutdown(wait=True)


def _run_queue(
    pool: ProcessPoolExecutor,
    runner: CellRunner,
    jobs: int,
    queue: _Queue,
    running: dict[Future[None], tuple[Cell, bool]],
    begin: Callable[[Cell], None],
    end: Callable[[Cell, LensmodelsError | None], None],
) -> None:
    """Keeps the processes busy until nothing is left; `running` holds what is on its way."""
    while True:
        while len(running) < jobs and (job := queue.take()):
            cell, is_pretraining = job
            if not is_pretraining:
                begin(cell)
            running[pool.submit(_run, runner, cell, is_pretraining)] = job
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            cell, is_pretraining = running.pop(future)
            error = _error(future)
            if not is_pretraining:
                end(cell, error)
            elif error is None:
                queue.pretrained(cell)
            else:
                for follower in queue.drop(cell):
                    end(follower, error)


class _Queue:
    """Cells that wait, in order, and the pretrainings that they wait for."""

    def __init__(self, cells: Sequence[Cell], has_time: Callable[[Cell], bool]) -> None:
        self.waiting, self.has_time = list(cells), has_time
        self.begun: set[str] = set()
        self.ready: set[str] = set()

    def take(self) -> tuple[Cell, bool] | None:
        """The next cell that can be run, or whose pretraining can (True); None if none can."""
        for cell in list(self.waiting):
            is_ready = cell.is_baseline or cell.family in self.ready
            if not is_ready and cell.family in self.begun:
                continue
            if not self.has_time(cell):
                self.waiting.remove(cell)
                continue
            if is_ready:
                self.waiting.remove(cell)
                return cell, False
            self.begun.add(cell.family)
            return cell, True
        return None

    def pretrained(self, cell: Cell) -> None:
        """Notes that the pretraining of a cell is done, which is that of its family."""
        self.ready.add(cell.family)

    def drop(self, cell: Cell) -> list[Cell]:
        """Takes out the cells of a family whose pretraining failed."""
        dropped = [other for other in self.waiting if other.family == cell.family]
        self.waiting = [other for other in self.waiting if other not in dropped]
        return dropped


def _error(future: Future[None]) -> LensmodelsError | None:
    """What a cell failed with; raises what must end all."""
    try:
        future.result()
    except InterruptedTrainingError:
        raise
    except LensmodelsError as error:
        return error
    return None


def _begin_process(logs: Path, jobs: int) -> None:
    """Shares the processor's cores, and has a file for what is said."""
    end_with_parent()
    cores = min(torch.get_num_threads(), len(os.sched_getaffinity(0)))
    torch.set_num_threads(max(1, cores // jobs))
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{os.getpid()}.txt").open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())


def _run(runner: CellRunner, cell: Cell, is_pretraining: bool) -> None:
    print(f"{'what precedes ' if is_pretraining else ''}{cell.name}", file=sys.stderr, flush=True)
    if is_pretraining:
        runner.pretrain(cell)
    else:
        runner.finetune(cell)
