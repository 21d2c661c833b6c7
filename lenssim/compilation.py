"""How the kernels are compiled, in one place."""

from __future__ import annotations

import platform as machine
from contextlib import suppress
from functools import cache
from pathlib import Path

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_name
from numba import njit

_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
"""Float rearrangements that let loops vectorise; NaN and infinity keep their meaning."""

kernel = njit(fastmath=_FASTMATH, error_model="numpy", nogil=True, cache=True)
"""A compiled function that runs without Python's lock; division by zero gives infinity or NaN."""

inlined = njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
"""A small function that becomes part of the kernels that call it."""


@cache
def platform() -> str:
    """What decides the last bits of an image, in words.

    The kernels are compiled for the processor that they run on, so another one, or another
    compiler, rounds differently.
    """
    return (
        f"{machine.system()} {machine.machine()} {get_host_cpu_name()}, "
        f"numpy {np.__version__}, numba {numba.__version__}"
    )


def _drop_stale_cache(folders: tuple[Path, ...]) -> None:
    """Removes compiled kernels that are older than any source file of the folders.

    numba compiles a kernel anew when its own file has changed, but not when a file has that it
    takes functions from: an edited formula would go on giving the old numbers.
    """
    with suppress(OSError):
        newest = max(source.stat().st_mtime for folder in folders for source in folder.glob("*.py"))
        for folder in folders:
            for index in (folder / "__pycache__").glob("*.nbi"):
                if index.stat().st_mtime < newest:
                    index.unlink(missing_ok=True)


_PACKAGE = Path(__file__).parent
_drop_stale_cache((_PACKAGE / "profiles", _PACKAGE / "rendering"))
