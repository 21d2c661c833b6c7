"""Running tasks: on the threads of this machine, or on a dask.distributed cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
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


class ClusterError(LenssimError):
    """A cluster cannot be reached, or lost the workers that a task ran on."""


class _StoppedError(Exception):
    """Raised inside tasks of this machine's threads, so that they end soon."""


def thread_count(workers: int | None) -> int:
    """Threads to use on this machine: as many as asked for, or all cores."""
    if workers is not None and not 1 <= workers <= 4096:
        raise UsageError(f"workers = {workers} must be between 1 and 4096.")
    return workers or len(os.sched_getaffinity(0))


@contextmanager
def executor(task: Callable[..., int], workers: int | None, scheduler: str | None) -> Iterator[Run]:
    """A function that runs a task for many arguments.

    Args:
        task: returns the number of images that it made; takes a `Progress` as its last argument.
        workers: threads on this machine; all cores where None.
        scheduler: address of a dask.distributed scheduler that is used instead.
    """
    threads = thread_count(workers)
    if scheduler is None:
        yield _on_threads(task, threads)
        return
    from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError, ValueError):
        raise ClusterError(
            f"No dask scheduler answers at {scheduler}: start one there, or leave out --scheduler."
        ) from None
    with client, client.as_current():
        yield _on_cluster(task, client)


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
        try:
            dask.compute(
                *(delayed(index) for index in range(len(arguments))),
                scheduler="threads",
                num_workers=workers,
                traverse=False,
            )
        finally:
            stop.set()

    return run


def _on_cluster(task: Callable[..., int], client: Any) -> Run:
    from distributed import KilledWorker, as_completed

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
                made = future.result()
                if progress is not None:
                    progress(made)
                finished(futures[future])
        except KilledWorker:
            raise ClusterError(
                f"The cluster lost the workers of a task {RETRIES + 1} times, as it does when they "
                "run out of memory. What is done is kept: the same command goes on from there."
            ) from None
        finally:
            client.cancel(list(futures))

    return run
