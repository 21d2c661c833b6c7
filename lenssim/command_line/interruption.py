"""Starting and ending a command line: Ctrl-C is one line from the first moment on.

Ctrl-C, SIGTERM and SIGHUP end a command so that it releases its locks. This module imports nothing
slow: importing a command line takes tenths of a second, in which the user may press Ctrl-C too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lenssim.errors import KEPT

_interrupted = threading.Event()

_PARENT_CHECK_INTERVAL = 0.5
"""Seconds."""


def handle_signals() -> None:
    """Lets SIGTERM and SIGHUP, which batch systems and closed terminals send, act as Ctrl-C does.

    A signal that the caller ignores or handles stays so. Does nothing outside the main thread,
    where Python handles no signals.
    """
    _interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)


def is_interrupted() -> bool:
    """Whether a signal has ended the command, for loops and threads that should end with it.

    Python drops a KeyboardInterrupt that is raised while it disposes of an object, as it does for
    seconds after the kernels have been compiled: the command would go on as if nothing had
    happened.
    """
    return _interrupted.is_set()


def _interrupt(number: int, frame: Any) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


@contextmanager
def resumable() -> Iterator[None]:
    """Around the work of a command that continues when it is given again: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Stopped; {KEPT}") from None


def end_with_parent() -> None:
    """Lets this process end within a second of the one that started it, however that one ended.

    What is killed cannot tell its processes to stop, which would go on beside a run that continues.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_INTERVAL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def start_program(module: str) -> Any:
    """Import a command line and run it; Ctrl-C exits with code 1 and the line "Stopped.".

    Args:
        module: that has the function `main`.
    """
    try:
        return import_module(module).main()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(1)
