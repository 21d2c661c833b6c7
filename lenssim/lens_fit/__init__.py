"""The smooth model of a lens, fitted to an image.

parameters        what is free: names, units, steps
ray_selection     where rays are traced
ray_derivatives   derivatives of the surface brightness at a ray
map_convolution   the PSF of many maps at once
derivatives       derivatives of an image by every parameter
refit             what a fit leaves of the difference between two images
coarse_search     where a fit may start
vector            the free parameters as what a fit moves
least_squares     Levenberg-Marquardt steps
measured_psf      the PSF of a telescope image
image_fit         the smooth model fitted to one image

`image_fit` is imported by who fits: simulating does not wait for its kernels.
"""

from lenssim.lens_fit.derivatives import FLUX_PER_MAGNITUDE, smooth_derivatives
from lenssim.lens_fit.parameters import (
    PARAMETER_NAMES,
    PARAMETERS,
    PICTURE_PARAMETERS,
    Parameter,
)
from lenssim.lens_fit.refit import refit_snr

__all__ = [
    "FLUX_PER_MAGNITUDE",
    "PARAMETERS",
    "PARAMETER_NAMES",
    "PICTURE_PARAMETERS",
    "Parameter",
    "refit_snr",
    "smooth_derivatives",
]
