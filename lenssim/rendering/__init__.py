"""Rendering: from the parameters of a system to the flux that falls on each pixel.

deflection, source   the physics, as scalar functions
ray_tracing          both together: surface brightness at positions in the image
quadrature           its integral over pixels, adaptive or on a regular grid
fast, reference      the two engines: the kernels above, and lenstronomy
engines              the contract that both keep
"""

from lenssim.rendering.engines import ENGINES, Engine, EngineName, PixelNoise, engine

__all__ = ["ENGINES", "Engine", "EngineName", "PixelNoise", "engine"]
