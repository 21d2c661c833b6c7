"""Rendering: from the parameters of a system to the flux that falls on each pixel.

deflection, source   the physics, as scalar functions
substructure_field   the summed deflection of all substructure
halo_field           the same of extended subhalos, by tile_polynomials
power_law_rays       an elliptical power law over many positions
ray_tracing          all together: surface brightness at positions in the image
singularities        where the image is rough whatever its samples say
compact_sources      where samples and Gauss nodes may miss light
cells                its integral over cells of pixels, cut until they are resolved
quadrature           its integral over pixels, adaptive or on a regular grid
subcell_moments      what a PSF needs of the brightness in parts of pixels
point_spread         PSFs; psf_file reads one, optics gives that of an image
psf_convolution      PSF and integral over pixels together, from these moments
contract             what an engine takes and gives; the engines by name
fast, reference      the two engines: the kernels above, and lenstronomy
"""

from lenssim.compilation import kernels_are_compiled, platform
from lenssim.rendering.contract import ENGINES, Engine, EngineName, PixelNoise, engine

__all__ = [
    "ENGINES",
    "Engine",
    "EngineName",
    "PixelNoise",
    "engine",
    "kernels_are_compiled",
    "platform",
]
