"""How a function that takes long tells how far it is: by callbacks, or by a bar on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int], None]
"""Called with the number of images (bytes, of files) that have just been done, from any thread."""

Phase = Callable[[str], None]
"""Called with a short text that says what is being done now, or waited for."""


@contextmanager
def progress_callbacks(
    progress: Progress | bool,
    phase: Phase | None,
    doing: str,
    total: int,
    unit: str = "images",
    scale: float = 1,
) -> Iterator[tuple[Progress | None, Phase | None]]:
    """The callbacks that a function's `progress` and `phase` ask for.

    Args:
        progress: True for a progress bar, False for none, or a callback of the caller's.
        phase: a callback of the caller's; if there is a bar, it takes the place of its text.
        doing: the first phase, in a word.
        total: how much there is to do.
        unit: what is counted.
        scale: one of what is counted, in that unit.
    """
    if progress is not True:
        yield progress or None, phase
        return
    from lenssim.command_line.progress_bar import progress_bar

    with progress_bar(doing, total, unit, scale) as display:
        yield display.advance, phase or display.phase
