"""Running tasks on a dask.distributed cluster, whose workers come late, get lost and differ."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenssim.command_line.interruption import is_interrupted
from lenssim.errors import KEPT, LenssimError, UsageError
from lenssim.version import VERSION

if TYPE_CHECKING:
    from lenssim.build.execution import Run
    from lenssim.progress import Phase, Progress

RETRIES = 2
"""Times that a task is given to another worker when its own is lost."""

CONNECT_TIMEOUT = "10s"

WORKER_TIMEOUT = 600.0
"""Seconds that a cluster may be without any worker before the run ends.

Batch systems and adaptive clusters start workers within minutes. A longer wait in the queue should
not hold the lock of the archive; the same command continues once there are workers.
"""

_POLL_INTERVAL = 0.1
"""Seconds between two looks at which tasks have finished on a cluster."""

_WORKER_CHECK_INTERVAL = 2.0
"""Seconds without a finished task after which the scheduler is asked for its workers."""

_ADDRESS = re.compile(r"(?:tcp|tls|ws|wss)://(?:\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+):([0-9]{1,5})")
"""Address of a scheduler: scheme, host (or IPv6 address in brackets), and port."""


class ClusterError(LenssimError):
    """A cluster cannot be reached, or was lost with what ran on it."""


@contextmanager
def connect(
    scheduler: str, folder: str | None, doing: str, phase: Phase | None
) -> Iterator[Cluster]:
    """A cluster that has at least one worker, which can do the work.

    Arguments and errors are those of `execution.executor`.
    """
    address = _ADDRESS.fullmatch(scheduler)
    if address is None or not 1 <= int(address[1]) <= 65535:  # dask's client would not get over it
        raise UsageError(
            f"scheduler = {scheduler} must be tcp://HOST:PORT, with a port between 1 and 65535."
        )
    from distributed import Client

    with _quiet():
        try:
            client = Client(scheduler, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except OSError:
            raise ClusterError(
                f"No dask scheduler answers at {scheduler}: start one there, or leave out "
                "--scheduler."
            ) from None
        with client, client.as_current():
            cluster = Cluster(client, scheduler, folder, doing, phase)
            cluster.check_worker()
            yield cluster


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps dask's client from logging what is raised here as one sentence."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Cluster:
    """A dask.distributed cluster, whose workers may come late or leave.

    Args:
        client: connected.
        address: of the scheduler, for messages.
        folder: local one that tasks read and write, absolute; None if they use a server.
        doing: what its tasks do, in a word.
        phase: told when workers are waited for, and when the tasks start again.
    """

    def __init__(
        self, client: Any, address: str, folder: str | None, doing: str, phase: Phase | None
    ) -> None:
        self._client = client
        self._address = address
        self._folder = folder
        self._doing = doing
        self._phase = phase

    def check_worker(self) -> None:
        """Waits for a worker that can run this version of lenssim and sees the folder.

        The wait is for a task, not for a worker: an adaptive cluster starts workers only when there
        is something to do.

        Raises:
            ClusterError: if no worker comes in time, none can run this version, or one does not see
                the folder.
        """
        try:
            self._run([(check_machine, VERSION, self._folder)], lambda index, result: None)
        except LenssimError:
            raise
        except Exception as error:
            reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
            raise ClusterError(
                f"The cluster at {self._address} cannot run lenssim ({reason}): install lenssim "
                f"{VERSION} where its scheduler and its workers run."
            ) from None

    def runner(self, task: Callable[..., int]) -> Run:
        """The function that `executor` gives."""

        def run(
            arguments: Sequence[tuple[Any, ...]],
            finished: Callable[[int], None],
            progress: Progress | None,
        ) -> None:
            def report(index: int, made: int) -> None:
                if progress is not None:
                    progress(made)
                finished(index)

            calls = [(run_task, VERSION, self._folder, task, *call) for call in arguments]
            self._run(calls, report)

        return run

    def _run(self, calls: Sequence[tuple[Any, ...]], finished: Callable[[int, Any], None]) -> None:
        """Runs calls, each a function and its arguments; cancels the rest where one fails."""
        from distributed import as_completed

        futures = {
            self._client.submit(*call, pure=False, retries=RETRIES): index
            for index, call in enumerate(calls)
        }
        completed = as_completed(futures)
        watch = _WorkerWatch(self._has_workers, self._announce)
        try:
            while not completed.is_empty():
                if is_interrupted():
                    raise KeyboardInterrupt
                batch = completed.next_batch(block=False)
                for future in batch:
                    finished(futures[future], _result(future))
                if not watch.is_alive(bool(batch)):
                    raise ClusterError(
                        f"The scheduler at {self._address} has had no worker for "
                        f"{WORKER_TIMEOUT / 60:.3g} minutes: start workers there by `dask worker "
                        f"{self._address}`; {KEPT}"
                    )
                if not batch:
                    time.sleep(_POLL_INTERVAL)
        finally:
            if self._client.status == "running":
                self._client.cancel(list(futures))

    def _announce(self, is_waiting: bool) -> None:
        if self._phase is not None:
            self._phase(f"waiting for workers at {self._address}" if is_waiting else self._doing)

    def _has_workers(self) -> bool:
        """Whether any worker is there; True where the scheduler does not answer.

        That a scheduler is lost is seen by the tasks, which are then cancelled.
        """
        try:
            return bool(self._client.nthreads())
        except (OSError, ValueError):
            return True


class _WorkerWatch:
    """Notices that a cluster has no workers any more, and for how long.

    Args:
        has_workers: asks the scheduler.
        announce: told when workers begin to be waited for (True), and when they are there (False).
    """

    def __init__(self, has_workers: Callable[[], bool], announce: Callable[[bool], None]) -> None:
        self._has_workers = has_workers
        self._announce = announce
        self._last_seen = self._last_check = time.monotonic()
        self._is_waiting = False

    def is_alive(self, has_finished_tasks: bool) -> bool:
        """False where there has been no worker for `WORKER_TIMEOUT`.

        Args:
            has_finished_tasks: whether tasks have finished since the last call.
        """
        now = time.monotonic()
        if has_finished_tasks:
            self._last_seen = self._last_check = now
        elif now - self._last_check >= _WORKER_CHECK_INTERVAL:
            self._last_check = now
            if self._has_workers():
                self._last_seen = now
        else:
            return True
        if self._is_waiting != (self._last_seen != now):
            self._is_waiting = not self._is_waiting
            self._announce(self._is_waiting)
        return now - self._last_seen <= WORKER_TIMEOUT


def check_machine(version: str, folder: str | None) -> int:
    """Refuses, on a worker, a machine that cannot do the work.

    Args:
        version: of lenssim, in the run.
        folder: local one that the run writes; None if it writes to a server.

    Raises:
        ClusterError: if the machine has another version, or does not see the folder.
    """
    if version != VERSION:
        raise ClusterError(
            f"A worker on {socket.gethostname()} has lenssim {VERSION}, and this run has "
            f"{version}: install the same version on all machines."
        )
    if folder is not None and not Path(folder).exists():
        raise ClusterError(
            f"A worker on {socket.gethostname()} does not see {folder}: choose an --out that all "
            "machines share, or a bucket."
        )
    return 0


def run_task(version: str, folder: str | None, task: Callable[..., int], *arguments: Any) -> int:
    """What a worker does for each task: `check_machine`, and then the task.

    Args:
        version: of lenssim on the machine that sends the task.
        folder: local one that the task uses, absolute, or None.
        task: returns the number of images that it made; takes `arguments`.

    Raises:
        LenssimError: of the same type as the task's, without the errors that led to it, not all of
            which can be sent.
    """
    try:
        check_machine(version, folder)
        return task(*arguments)
    except LenssimError as error:
        failure = type(error)(str(error))
    raise failure


def _result(future: Any) -> int:
    """What a task returned.

    Raises:
        ClusterError: if the cluster was lost; a task's own error is raised as it is.
    """
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker:
        raise ClusterError(
            f"The cluster lost the workers of a task {RETRIES + 1} times, as it does when they "
            f"run out of memory; {KEPT}"
        ) from None
    except (CancelledError, OSError):  # a closed connection and a timeout are OSErrors
        if future.status == "error":
            raise
        raise ClusterError(
            f"The cluster gave up its tasks, as it does when its scheduler is lost; {KEPT}"
        ) from None
