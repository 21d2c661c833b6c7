"""Running tasks: on the threads of this machine, or on a dask.distributed cluster."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from lenssim.command_line.interruption import is_interrupted
from lenssim.errors import LenssimError, UsageError
from lenssim.version import VERSION

Progress = Callable[[int], None]
"""Called with the number of images that have just been made, from any thread."""

Phase = Callable[[str], None]
"""Called with a few words that say what is being done now, or waited for."""

Run = Callable[[Sequence[tuple[Any, ...]], Callable[[int], None], Progress | None], None]
"""Runs a task once for each tuple of arguments, and returns when all are done.

After each task, the second argument is called with its index, never twice at a time.
"""

RETRIES = 2
"""Times that a task is given to another worker when its own is lost."""


CONNECT_TIMEOUT = "10s"

WORKER_TIMEOUT = 600.0
"""Seconds that a cluster may be without any worker before the run ends.

Batch systems and adaptive clusters start workers within minutes. A longer wait in the queue should
not hold the lock of the archive; the same command goes on once there are workers.
"""

_POLL_INTERVAL = 0.1
"""Seconds between two looks at which tasks have finished on a cluster."""

_WORKER_CHECK_INTERVAL = 2.0
"""Seconds without a finished task after which the scheduler is asked for its workers."""

_ADDRESS = re.compile(r"(?:tcp|tls|ws|wss)://(?:\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]]+):([0-9]{1,5})")
"""Address of a scheduler: scheme, host (or IPv6 address in brackets), and port."""

_GOES_ON = "What is done is kept: the same command goes on from there."


class ClusterError(LenssimError):
    """A cluster cannot be reached, or was lost with what ran on it."""


class _StoppedError(Exception):
    """Raised inside tasks of this machine's threads, so that they end soon."""


def thread_count(workers: int | None) -> int:
    """Threads to use on this machine: as many as asked for, or all cores."""
    if workers is not None and not 1 <= workers <= 4096:
        raise UsageError(f"workers = {workers} must be between 1 and 4096.")
    return workers or len(os.sched_getaffinity(0))


def _check_address(scheduler: str) -> None:
    """Refuses what is no address: dask's client would not get over it."""
    address = _ADDRESS.fullmatch(scheduler)
    if address is None or not 1 <= int(address[1]) <= 65535:
        raise UsageError(
            f"scheduler = {scheduler} must be tcp://HOST:PORT, with a port between 1 and 65535."
        )


@contextmanager
def executor(
    task: Callable[..., int],
    workers: int | None,
    scheduler: str | None,
    *,
    doing: str = "working",
    phase: Phase | None = None,
) -> Iterator[Run]:
    """A function that runs a task for many arguments.

    Args:
        task: returns the number of images that it made; takes a `Progress` as its last argument.
            Paths in it must be absolute: workers of a cluster have working folders of their own.
        workers: threads on this machine; all cores where None.
        scheduler: address of a dask.distributed scheduler that is used instead. A worker that
            runs this version of lenssim is waited for.
        doing: what the task does, in a word for `phase`.
        phase: told when workers are waited for, and when the task goes on.

    Raises:
        UsageError: where there cannot be as many workers, or the address is none.
        ClusterError: where no scheduler answers, it has no worker for `WORKER_TIMEOUT`, its
            workers cannot run this version of lenssim, or the cluster is lost.
    """
    threads = thread_count(workers)
    if scheduler is None:
        yield _on_threads(task, threads)
        return
    _check_address(scheduler)
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
            cluster = _Cluster(client, scheduler, doing, phase)
            cluster.check_worker()
            yield cluster.runner(task)


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


def _on_threads(task: Callable[..., int], workers: int) -> Run:
    def run(
        arguments: Sequence[tuple[Any, ...]],
        finished: Callable[[int], None],
        progress: Progress | None,
    ) -> None:
        import dask

        stop = threading.Event()
        one_at_a_time = threading.Lock()

        def report(count: int) -> None:
            if stop.is_set() or is_interrupted():
                raise _StoppedError
            if progress is not None:
                progress(count)

        def work(index: int) -> None:
            task(*arguments[index], report)
            with one_at_a_time:
                finished(index)

        delayed = dask.delayed(work, traverse=False)
        # one of our own: dask's would leave tasks running after one of them has failed, to write
        # beside the run that goes on from there
        with ThreadPoolExecutor(workers) as pool:
            try:
                dask.compute(
                    *(delayed(index) for index in range(len(arguments))),
                    scheduler="threads",
                    pool=pool,
                    traverse=False,
                )
            except _StoppedError:
                raise KeyboardInterrupt from None
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    return run


class _Cluster:
    """A dask.distributed cluster, whose workers may come late or leave.

    Args:
        client: connected.
        address: of the scheduler, for messages.
        doing: what its tasks do, in a word.
        phase: told when workers are waited for, and when the tasks go on.
    """

    def __init__(self, client: Any, address: str, doing: str, phase: Phase | None) -> None:
        self._client = client
        self._address = address
        self._doing = doing
        self._phase = phase

    def check_worker(self) -> None:
        """Waits for a worker that can run this version of lenssim.

        The wait is for a task, not for a worker: an adaptive cluster starts workers only when there
        is something to do.
        """
        try:
            self._run([(check_version, VERSION)], lambda index, result: None)
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

            calls = [(run_if_same_version, VERSION, task, *each) for each in arguments]
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
                        f"{self._address}`. {_GOES_ON}"
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


def check_version(version: str) -> int:
    """Refuses, on a worker, another version of lenssim than that of the run.

    Raises:
        ClusterError: where the versions differ.
    """
    if version != VERSION:
        raise ClusterError(
            f"A worker on {socket.gethostname()} has lenssim {VERSION}, and this run has "
            f"{version}: install the same version on all machines."
        )
    return 0


def run_if_same_version(version: str, task: Callable[..., int], *arguments: Any) -> int:
    """What a worker does for each task."""
    check_version(version)
    return task(*arguments)


def _result(future: Any) -> int:
    """What a task returned.

    Raises:
        ClusterError: where the cluster was lost; a task's own error is raised as it is.
    """
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker:
        raise ClusterError(
            f"The cluster lost the workers of a task {RETRIES + 1} times, as it does when they "
            f"run out of memory. {_GOES_ON}"
        ) from None
    except (CancelledError, OSError):  # a closed connection and a timeout are OSErrors
        if future.status == "error":
            raise
        raise ClusterError(
            f"The cluster gave up its tasks, as it does when its scheduler is lost. {_GOES_ON}"
        ) from None
