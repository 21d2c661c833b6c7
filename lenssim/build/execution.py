"""Running tasks: on the cores of this machine, or on a dask.distributed cluster.

A task holds Python's lock for a part of its time, so that threads share two cores well and many
cores badly. More workers than two are processes.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from lenssim.command_line.interruption import end_with_parent, is_interrupted
from lenssim.errors import KEPT, LenssimError, UsageError
from lenssim.progress import Phase, Progress
from lenssim.storage.location import Location

Run = Callable[[Sequence[tuple[Any, ...]], Callable[[int], None], Progress | None], None]
"""Runs a task once for each tuple of arguments, and returns when all are done.

After each task, the second argument is called with its index, never twice at a time.
"""


MAX_THREADS = 2
"""Workers that are threads: they begin at once, where a process imports lenssim first."""

FEW = 200
"""Images that threads have made before processes have started."""

_POLL_INTERVAL = 0.1
"""Seconds between two looks at what processes have done."""


class WorkerError(LenssimError):
    """A process of this machine was lost, with the task that it was at."""


class _StoppedError(Exception):
    """Raised inside tasks of this machine, so that they end soon."""


def thread_count(workers: int | None) -> int:
    """Workers on this machine: as many as asked for, or all cores that the process may use.

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
    location: Location | None = None,
    doing: str = "working",
    phase: Phase | None = None,
    images: int | None = None,
    max_threads: int = MAX_THREADS,
) -> Iterator[Run]:
    """A function that runs a task for many arguments.

    Args:
        task: returns the number of images that it made; takes a `Progress` as its last argument.
            Paths in it must be absolute: workers of a cluster have working folders of their own.
        workers: on this machine; all cores if None.
        scheduler: address of a dask.distributed scheduler that is used instead. A worker that
            runs this version of lenssim is waited for.
        location: that the task writes. Every machine must see a folder; what is in the memory of
            this process is left to threads.
        doing: what the task does, in a word for `phase`.
        phase: told when workers are waited for, and when the task starts again.
        images: how many all tasks make, if that is known: a few are left to threads.
        max_threads: workers of this machine that are threads; more are processes, for which the
            task and its arguments are pickled.

    Raises:
        UsageError: if there cannot be as many workers, or the address is none.
        ClusterError: if no scheduler answers, it has no worker for `WORKER_TIMEOUT`, its
            workers cannot run this version of lenssim or do not see the folder, or the cluster
            is lost.
        WorkerError: if a process of this machine is lost.
    """
    threads = thread_count(workers)
    if scheduler is None:
        is_in_memory = location is not None and location.is_in_memory
        if is_in_memory or (images is not None and images <= FEW):
            max_threads = threads
        yield _on_cores(task, threads, max_threads)
        return
    from lenssim.build.cluster import connect

    folder = None if location is None else location.local_folder
    with connect(scheduler, folder, doing, phase) as cluster:
        yield cluster.runner(task)


def _on_cores(task: Callable[..., int], workers: int, max_threads: int) -> Run:
    """As many processes as there are tasks for; threads where few are enough."""

    def run(
        arguments: Sequence[tuple[Any, ...]],
        finished: Callable[[int], None],
        progress: Progress | None,
    ) -> None:
        count = min(workers, len(arguments))
        kind = _on_threads if count <= max_threads else _on_processes
        kind(task, max(1, count))(arguments, finished, progress)

    return run


def _on_processes(task: Callable[..., Any], workers: int) -> Run:
    def run(
        arguments: Sequence[tuple[Any, ...]],
        finished: Callable[[int], None],
        progress: Progress | None,
    ) -> None:
        # unlike the processes of the standard library, those of loky do not run the caller's script
        # once more, whose author may not know of any processes
        from loky import ProcessPoolExecutor
        from loky.backend import get_context
        from loky.process_executor import TerminatedWorkerError

        context = get_context("loky")
        made, stop = context.SimpleQueue(), context.Event()

        def tell() -> None:
            while not made.empty():
                count = made.get()
                if progress is not None:
                    progress(count)

        pool = ProcessPoolExecutor(
            workers,
            context=context,
            initializer=_begin_process,
            initargs=(made, stop),
            # one thread each: libraries of linear algebra would start as many as there are cores
            env=dict.fromkeys(_THREADS_OF_LIBRARIES, "1"),
        )
        running: dict[Future[None], int] = {}
        waiting: set[Future[None]] = set()
        try:
            for index, each in enumerate(arguments):
                running[pool.submit(_run_task, task, each)] = index
            waiting = set(running)
            while waiting:
                if is_interrupted():
                    raise KeyboardInterrupt
                done, waiting = wait(waiting, _POLL_INTERVAL, return_when=FIRST_COMPLETED)
                tell()
                for future in done:
                    future.result()
                    finished(running[future])
            tell()
        except TerminatedWorkerError:
            raise WorkerError(
                "A process of this machine was lost, as it is when memory runs out: give fewer "
                f"--workers; {KEPT}"
            ) from None
        finally:
            stop.set()
            for future in running:
                future.cancel()
            pool.shutdown(wait=True)

    return run


_THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_told: Any = None
_stop: Any = None
"""Of this process, where it is one of a pool's: a queue of counts of images, and an event."""


def _begin_process(told: Any, stop: Any) -> None:
    """Leaves Ctrl-C, which the terminal sends to every process, to the one that waits."""
    global _told, _stop
    _told, _stop = told, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _report(count: int) -> None:
    if _stop.is_set():
        raise _StoppedError
    _told.put(count)


def _run_task(task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Runs a task in a process of a pool.

    Raises:
        LenssimError: of the same type as the task's, without the errors that led to it, not all of
            which can be sent.
        RuntimeError: with the traceback of any other error, for the same reason.
    """
    if _stop.is_set():
        return
    failure: Exception
    try:
        task(*arguments, _report)
        return
    except _StoppedError:
        return
    except LenssimError as error:
        failure = type(error)(str(error))
    except Exception:
        failure = RuntimeError(f"A task failed in its process:\n{traceback.format_exc()}")
    raise failure


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
