"""How the kernels are compiled, in one place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from numba import njit

_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
"""Float rearrangements that let loops vectorise; NaN and infinity keep their meaning."""

kernel = njit(fastmath=_FASTMATH, error_model="numpy", nogil=True, cache=True)
"""A compiled function that runs without Python's lock; division by zero gives infinity or NaN."""

inlined = njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
"""A small function that becomes part of the kernels that call it."""


def _drop_stale_cache(folder: Path) -> None:
    """Removes compiled kernels that are older than any source file of the folder.

    numba compiles a kernel anew when its own file has changed, but not when a file has that it
    takes functions from: an edited formula would go on giving the old numbers.
    """
    with suppress(OSError):
        newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
        for index in (folder / "__pycache__").glob("*.nbi"):
            if index.stat().st_mtime < newest:
                index.unlink(missing_ok=True)


_drop_stale_cache(Path(__file__).parent)
