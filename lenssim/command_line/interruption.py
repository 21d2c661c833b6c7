"""Ending a command by Ctrl-C, SIGTERM or SIGHUP so that it gives back its locks."""

from __future__ import annotations

import signal
import threading
from typing import Any

_interrupted = threading.Event()


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
