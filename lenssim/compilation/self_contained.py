"""Machine code of a kernel that no other code in the process can change.

numba puts a copy of every function that a kernel calls into the kernel's own machine code, under a
name that all copies share; whichever copy the process loads first is then called by all. The copies
differ in the last bits of their results, because each was optimised with what surrounds it, so that
an image would depend on what had been compiled or loaded before. Here the copies keep to their
kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

_RUNTIME = "NRT_"
"""How the names of numba's own run-time functions begin; its optimiser finds them by name."""


class SelfContainedLibrary(JITCodeLibrary):
    """Machine code whose calls all stay within it, apart from those of the run-time library."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and not function.name.startswith(_RUNTIME):
                function.linkage = Linkage.internal
        super()._optimize_final_module()


class KernelCompiler(Compiler):
    """numba's compiler, which puts a kernel into a library of its own kind."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        """The compiled function."""
        codegen = self.state.targetctx.codegen()
        self.state.library = SelfContainedLibrary(codegen, func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)
