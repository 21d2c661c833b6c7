"""The live source: starts processes, takes their batches in order, and stops them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import lenssim
from lenssim.build.execution import thread_count
from lenssim.errors import LenssimError, UsageError
from lenssim.live.batches import BatchMaker, LiveBatch, LiveSettings
from lenssim.live.pairs import PAIRS, Pairs
from lenssim.live.worker import receive
from lenssim.pictures import with_checksum
from lenssim.progress import Phase
from lenssim.rendering import EngineName
from lenssim.simulation import compile_kernels
from lenssim.spec import (
    CLASSES,
    SPLITS,
    Specification,
    Split,
    SubstructureClass,
    load_spec,
)

MAX_BATCH_SIZE = 65_536

WORKER = [sys.executable, "-m", "lenssim.live.worker"]
"""Command of a process."""

_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


class LiveError(LenssimError):
    """A process of a live source failed."""


class LiveSource:
    """An endless iterator of batches. Made by `live_source`; a context manager.

    The processes end when it is closed, when it is no longer referred to, when the program ends,
    and when the program is killed.
    """

    def __init__(self, settings: LiveSettings, *, workers: int, ahead: int, start: int = 0) -> None:
        self._settings = settings
        self._position = start
        self._maker: BatchMaker | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._stop = weakref.finalize(self, _stop, self._processes, os.getpid())
        self._first = start
        if workers == 0:
            self._maker = BatchMaker(settings)
            return
        try:
            for place in range(workers):
                request = {
                    "settings": settings.model_dump(mode="json"),
                    "first": start + place,
                    "step": workers,
                    "ahead": ahead,
                }
                self._processes.append(_started(request))
        except BaseException:
            self._stop()
            raise

    @property
    def settings(self) -> LiveSettings:
        """What it makes."""
        return self._settings

    @property
    def position(self) -> int:
        """Number of the next batch: a source with `start=position` begins with it."""
        return self._position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveBatch:
        """The next batch, which is waited for.

        Raises:
            LiveError: if the process that makes it has ended or failed; the source is closed.
            StopIteration: where the source has been closed.
        """
        if not self._stop.alive:
            raise StopIteration
        if self._maker is not None:
            batch = self._maker.make(self._position)
        else:
            batch = self._received()
        self._position += 1
        return batch

    def close(self) -> None:
        """Ends the processes; can be called again."""
        self._stop()
        self._maker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _received(self) -> LiveBatch:
        process = self._processes[(self._position - self._first) % len(self._processes)]
        try:
            facts, arrays = receive(cast(BinaryIO, process.stdout))
        except EOFError:
            code = process.wait()
            self.close()
            raise LiveError(_how_it_ended(process.pid, code)) from None
        except BaseException:
            # a message that was read in part cannot be resumed
            self.close()
            raise
        if "error" in facts:
            self.close()
            if facts["is_known"]:
                raise LiveError(facts["error"])
            raise LiveError(f"A process of the live source failed with {facts['error']}.")
        second = _columns("second_columns/", arrays)
        return LiveBatch(
            facts["number"],
            arrays["images"],
            _columns("columns/", arrays),
            arrays.get("second_images"),
            second,
        )


def live_source(
    model: str | Path | Specification = "B",
    classes: Sequence[SubstructureClass] = CLASSES,
    *,
    batch_size: int = 256,
    workers: int | None = None,
    seed: int = 0,
    split: Split = "train",
    pairs: Pairs | None = None,
    first_index: int = 0,
    start: int = 0,
    prefetch: int = 1,
    overrides: Sequence[str] = (),
    engine: EngineName = "fast",
    phase: Phase | None = None,
) -> LiveSource:
    """An endless source of simulated batches, in the same order for any number of processes.

    Image k of the source is of class k mod (number of classes), and the same bits as an archive
    of this seed and split has at sample `first_index` + k div (number of classes).

    Args:
        model: name of a specification, YAML file, or a specification.
        classes: in the order in which they take turns.
        batch_size: images of a batch.
        workers: processes; all cores if not given, and none, so that batches are made by the
            caller's own thread, where 0.
        seed: of the random streams.
        split: "train" or "test".
        pairs: "source" draws for each image a second one that shares lens and substructure and
            differs in source, noise and sub-pixel phase; "smooth_twin" one with the same lens,
            source and deviates of the noise, and no substructure.
        first_index: sample index that the source begins with, for images that no archive has.
        start: number of the first batch, to continue a source from its `position`.
        prefetch: batches that each process may have ready, beside one that it is making and one
            that it is handing over: (prefetch + 2) workers batches are in memory at most.
        overrides: KEY=VALUE, as of `load_spec`.
        engine: "fast" or "lenstronomy".
        phase: called with a few words where kernels are compiled first.

    Returns:
        An iterator; to be closed, or used in a with statement.

    Raises:
        UsageError: if a value is not possible.
    """
    spec = model if isinstance(model, Specification) else load_spec(model, overrides)
    spec = with_checksum(spec)
    _check(classes, split, pairs)
    for name, value, low, high in (
        ("batch_size", batch_size, 1, MAX_BATCH_SIZE),
        ("prefetch", prefetch, 1, 1024),
        ("seed", seed, 0, 2**63 - 1),
        ("first_index", first_index, 0, 2**62),
        ("start", start, 0, 2**40),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} = {value} must be between {low} and {high}.")
    settings = LiveSettings(
        spec=spec.model_dump(mode="json"),
        classes=tuple(classes),
        batch_size=batch_size,
        seed=seed,
        split=split,
        first_index=first_index,
        pairs=pairs,
        engine=engine,
    )
    processes = 0 if workers == 0 else thread_count(workers)
    if engine == "fast":
        compile_kernels(phase)
    return LiveSource(settings, workers=processes, ahead=prefetch, start=start)


def _check(classes: Sequence[str], split: str, pairs: str | None) -> None:
    unknown = [name for name in classes if name not in CLASSES]
    if unknown or not classes or len(set(classes)) < len(classes):
        raise UsageError(
            f"classes = {list(classes)} must be one or more of {', '.join(CLASSES)}, each once."
        )
    if split not in SPLITS:
        raise UsageError(f"split = {split} must be one of {', '.join(SPLITS)}.")
    if pairs is not None and pairs not in PAIRS:
        raise UsageError(f"pairs = {pairs} must be one of {', '.join(PAIRS)}, or None.")


def _started(request: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A process that makes batches, and that Ctrl-C in the terminal does not reach."""
    package = str(Path(lenssim.__file__).resolve().parent.parent)
    path = os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREAD_SETTINGS, "1")}
    process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
        WORKER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,
    )
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(json.dumps(request).encode())
    return process


def _stop(processes: list[subprocess.Popen[bytes]], owner: int) -> None:
    """Ends processes at once; they hold nothing that would have to be put in order."""
    if os.getpid() != owner:  # a fork of the program, whose processes these are not
        return
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        if process.stdout is not None:
            process.stdout.close()
        process.wait()


def _columns(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }


def _how_it_ended(pid: int, code: int) -> str:
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    advice = "; the system may have run out of memory: use fewer workers or a smaller batch"
    return f"Process {pid} of the live source {how}{advice if code == -9 else ''}."
