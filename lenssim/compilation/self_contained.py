"""Machine code of a kernel that no other code in the process can change.

numba puts a copy of every function that a kernel calls into the kernel's own machine code, under a
name that all copies share; whichever copy the process loads first is then called by all. The copies
differ in the last bits of their results, because each was optimised with what surrounds it, so that
an image would depend on what had been compiled or loaded before. Here each copy has a name of its
own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

_RUNTIME = "NRT_"
"""How the names of numba's own run-time functions begin; its optimiser finds them by name."""


class SelfContainedLibrary(JITCodeLibrary):
    """Machine code whose calls all stay within it, apart from those of the run-time library."""

    suffix: str

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and not function.name.startswith(_RUNTIME):
                function.name += self.suffix
        super()._optimize_final_module()


class KernelCompiler(Compiler):
    """numba's compiler, which puts a kernel into a library of its own kind."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """The compiled function."""
        name = f"{func.__module__}.{func.__qualname__}{self.state.args}"
        library = SelfContainedLibrary(self.state.targetctx.codegen(), func.__qualname__)
        library.suffix = "." + hashlib.sha256(name.encode()).hexdigest()[:16]
        library.enable_object_caching()
        self.state.library = library
        return super().compile_extra(func)
