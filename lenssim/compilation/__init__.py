"""How the kernels are compiled, in one place."""

from __future__ import annotations

import platform as machine
from collections.abc import Callable
from functools import cache
from typing import Any

import lenssim.compilation.numba_settings  # noqa: F401  before numba, which may not be importable

# isort: split
import numba
import numpy as np
from llvmlite.binding import get_host_cpu_name
from numba import njit

from lenssim.compilation.kernel_cache import COMPILATION_TIME as COMPILATION_TIME
from lenssim.compilation.kernel_cache import kernel_cache
from lenssim.compilation.self_contained import KernelCompiler

_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
"""Float rearrangements that let loops vectorise; NaN and infinity keep their meaning."""

inlined = njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
"""A small function that becomes part of the kernels that call it."""

_kernels: list[Any] = []


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function when it is first called, and keeps the machine code on disk.

    It runs without Python's lock; division by zero gives infinity or NaN.
    """
    compiled: Any = njit(
        fastmath=_FASTMATH, error_model="numpy", nogil=True, pipeline_class=KernelCompiler
    )(function)
    if compiled is not function:  # as it is with NUMBA_DISABLE_JIT=1
        compiled._cache = kernel_cache(function)
        _kernels.append(compiled)
    return compiled


def kernels_are_compiled() -> bool:
    """Whether images can be rendered at once, without waiting for the compiler.

    False where the first image in this process will take `COMPILATION_TIME` longer than the next,
    because neither this process nor the cache on disk holds the machine code of every kernel that
    has been imported. `simulation.warm_up` compiles them; a command calls it before its progress
    bar starts, with a message if this function returns False:

        from lenssim.compilation import COMPILATION_TIME
        from lenssim.rendering import kernels_are_compiled
        from lenssim.simulation import warm_up

        if not kernels_are_compiled():
            click.echo(f"Compiling kernels (once, {COMPILATION_TIME})...", err=True)
        warm_up()

    On a cluster the kernels are compiled by the workers, so neither is of use there.
    """
    return all(
        compiled.signatures
        or compiled._cache.holds_machine_code(compiled.targetctx.codegen().magic_tuple())
        for compiled in _kernels
    )


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
