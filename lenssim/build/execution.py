"""Running tasks: on the threads of this machine, or on a dask.distributed cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from lenssim.command_line.interruption import is_interrupted
from lenssim.errors import UsageError
from lenssim.progress import Phase, Progress

Run = Callable[[Sequence[tuple[Any, ...]], Callable[[int], None], Progress | None], None]
"""Runs a task once for each tuple of arguments, and returns when all are done.

After each task, the second argument is called with its index, never twice at a time.
"""


class _StoppedError(Exception):
    """Raised inside tasks of this machine's threads, so that they end soon."""


def thread_count(workers: int | None) -> int:
    """Threads to use on this machine: as many as asked for, or all cores that the process may use.

    Raises:
        UsageError: if `workers` is not between 1 and 4096.
    """
    if workers is not None and not 1 <= workers <= 4096:
        raise UsageError(f"workers = {workers} must be between 1 and 4096.")
    return workers or len(os.sched_getaffinity(0))


@contextmanager
def executor(
    task: Callable[..., int],
    workers: int | None,
    scheduler: str | None,
    *,
    folder: str | None = None,
    doing: str = "working",
    phase: Phase | None = None,
) -> Iterator[Run]:
    """A function that runs a task for many arguments.

    Args:
        task: returns the number of images that it made; takes a `Progress` as its last argument.
            Paths in it must be absolute: workers of a cluster have working folders of their own.
        workers: threads on this machine; all cores if None.
        scheduler: address of a dask.distributed scheduler that is used instead. A worker that
            runs this version of lenssim is waited for.
        folder: local one that the task writes, absolute, which every machine must see.
        doing: what the task does, in a word for `phase`.
        phase: told when workers are waited for, and when the task starts again.

    Raises:
        UsageError: if there cannot be as many workers, or the address is none.
        ClusterError: if no scheduler answers, it has no worker for `WORKER_TIMEOUT`, its
            workers cannot run this version of lenssim or do not see the folder, or the cluster
            is lost.
    """
    threads = thread_count(workers)
    if scheduler is None:
        yield _on_threads(task, threads)
        return
    from lenssim.build.cluster import connect

    with connect(scheduler, folder, doing, phase) as cluster:
        yield cluster.runner(task)


def run_in_processes(
    task: Callable[..., int],
    arguments: Sequence[tuple[Any, ...]],
    workers: int,
    progress: Progress | None,
) -> None:
    """Runs a task once for each tuple of arguments, in processes of this machine.

    For tasks that hold Python's lock, as reading many small files does.

    Args:
        task: returns the number of images that it made; it and its arguments can be pickled.
        arguments: of each call.
        workers: processes.
        progress: called with the number of images after each call.

    Raises:
        KeyboardInterrupt: if the command is stopped; what is done is kept.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_signals)
    waiting = {pool.submit(task, *each) for each in arguments}
    try:
        while waiting:
            if is_interrupted():
                raise KeyboardInterrupt
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                count = future.result()
                if progress is not None:
                    progress(count)
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_signals() -> None:
    """Leaves Ctrl-C, which the terminal sends to every process, to the one that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
