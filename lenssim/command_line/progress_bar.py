"""What a command shows on stderr while it works: a bar on a terminal, or lines in a log file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import click

LINE_INTERVAL = 60.0
"""Seconds between two lines of progress where stderr is no terminal, as in a batch job."""


NARROW = 70
"""Columns of a terminal below which the bar, the rate and the time are left out."""


class ProgressDisplay(Protocol):
    """Shows how much of a piece of work is done, and in which phase it is; for any thread."""

    def advance(self, count: int) -> None:
        """Adds what has been done since the last call."""

    def phase(self, text: str) -> None:
        """Shows what is being done from now on, in a short text."""


@contextmanager
def progress_bar(
    doing: str, total: int, unit: str = "images", scale: float = 1
) -> Iterator[ProgressDisplay]:
    """Shows progress on stderr.

    A terminal that can move its cursor gets a bar, and anything else a line for each phase and one
    every `LINE_INTERVAL` seconds.

    Args:
        doing: the first phase, in a word.
        total: how much there is to do; where that is nothing, only phases are shown.
        unit: what is counted.
        scale: one of what is counted, in that unit.
    """
    from rich.console import Console

    console = Console(stderr=True)
    can_redraw = console.is_terminal and not console.is_dumb_terminal and os.environ.get("TERM")
    if not total or not can_redraw:
        yield _Lines(doing, total * scale, unit, scale)
        return
    with _rich_columns(console, total * scale, unit, is_counted=scale == 1) as bar:
        yield _Bar(bar, bar.add_task(doing, total=total * scale), scale)


def _rich_columns(console: Any, total: float, unit: str, *, is_counted: bool) -> Any:
    """A progress bar of rich with a spinner, the phase, the count and the rate."""
    from rich import progress
    from rich.table import Column
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        """Units a second."""

        def render(self, task: progress.Task) -> Text:
            speed = f"{task.speed:,.0f} {unit}/s" if task.speed else ""
            return Text(speed, style="progress.data.speed")

    text = progress.TextColumn("{task.description}", table_column=Column(no_wrap=True))
    whole = Column(no_wrap=True, min_width=len(f"{total:.0f}/{total:.0f}") if is_counted else 4)
    count = (progress.MofNCompleteColumn if is_counted else progress.TaskProgressColumn)(
        table_column=whole
    )
    columns = [progress.SpinnerColumn("line"), text, count]
    if console.width >= NARROW:
        bar = progress.BarColumn(bar_width=console.width // 5)
        rate, left = (Column(no_wrap=True) for _ in range(2))
        columns[2:] = [bar, count, Rate(rate), progress.TimeRemainingColumn(table_column=left)]
    return progress.Progress(*columns, console=console)


class _Bar:
    """A task of rich's progress bar."""

    def __init__(self, bar: Any, task: Any, scale: float) -> None:
        self._bar, self._task, self._scale = bar, task, scale

    def advance(self, count: int) -> None:
        self._bar.advance(self._task, count * self._scale)

    def phase(self, text: str) -> None:
        self._bar.update(self._task, description=text)


class _Lines:
    """Progress in lines, for files and for terminals that cannot redraw."""

    def __init__(self, doing: str, total: float, unit: str, scale: float) -> None:
        self._doing, self._total, self._unit, self._scale = doing, total, unit, scale
        self._done = 0.0
        self._last_line = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count * self._scale
            now = time.monotonic()
            if now - self._last_line < LINE_INTERVAL:
                return
            self._last_line = now
            done = f"{self._done:,.0f} of {self._total:,.0f} {self._unit}"
            _write(f"{self._doing}: {done}")

    def phase(self, text: str) -> None:
        with self._lock:
            if text != self._doing:
                _write(text)
            self._doing = text


def _write(line: str) -> None:
    """Writes a line to stderr; a log on a full disk must not end the work."""
    with suppress(OSError, ValueError):
        click.echo(line, err=True)
