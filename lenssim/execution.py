"""Running tasks: on the threads of this machine, or on a dask.distributed cluster."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dask

from lenssim.errors import LenssimError, UsageError

Progress = Callable[[int], None]
"""Called with the number of images that have just been made, from any thread."""

Run = Callable[[Sequence[tuple[Any, ...]], Callable[[int], None], Progress | None], None]
"""Runs a task once for each tuple of arguments, and returns when all are done.

After each task, the second argument is called with its index, never twice at a time.
"""

RETRIES = 2
"""Times that a task is given to another worker when its own is lost."""


CONNECT_TIMEOUT = "10s"

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
def executor(task: Callable[..., int], workers: int | None, scheduler: str | None) -> Iterator[Run]:
    """A function that runs a task for many arguments.

    Args:
        task: returns the number of images that it made; takes a `Progress` as its last argument.
        workers: threads on this machine; all cores where None.
        scheduler: address of a dask.distributed scheduler that is used instead.

    Raises:
        UsageError: where there cannot be as many workers, or the address is none.
        ClusterError: where no scheduler answers, or the cluster is lost.
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
            yield _on_cluster(task, client)


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
        stop = threading.Event()
        one_at_a_time = threading.Lock()

        def report(count: int) -> None:
            if stop.is_set():
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
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    return run


def _on_cluster(task: Callable[..., int], client: Any) -> Run:
    from distributed import as_completed

    def run(
        arguments: Sequence[tuple[Any, ...]],
        finished: Callable[[int], None],
        progress: Progress | None,
    ) -> None:
        futures = {
            client.submit(task, *each, pure=False, retries=RETRIES): index
            for index, each in enumerate(arguments)
        }
        try:
            for future in as_completed(futures):
                made = _result(future)
                if progress is not None:
                    progress(made)
                finished(futures[future])
        finally:
            if client.status == "running":
                client.cancel(list(futures))

    return run


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
