"""How the kernels are compiled: see `lenssim.compilation`."""

from lenssim.compilation import inlined, kernel, platform

__all__ = ["inlined", "kernel", "platform"]
