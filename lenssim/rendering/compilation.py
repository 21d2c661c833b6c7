"""How the kernels are compiled: see `lenssim.compilation`."""

from lenssim.compilation import inlined, kernel, kernels_are_compiled, platform

__all__ = ["inlined", "kernel", "kernels_are_compiled", "platform"]
