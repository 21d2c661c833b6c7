"""Derivatives of the image of a smooth lens by its free parameters: the Jacobian of a fit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim import observation
from lenssim.lens_fit.map_convolution import convolve_maps
from lenssim.lens_fit.parameters import ALL_NAMES, PARAMETER_NAMES, PICTURE_PARAMETERS
from lenssim.lens_fit.power_law_derivatives import power_law
from lenssim.lens_fit.ray_derivatives import add_derivatives, smooth_model
from lenssim.lens_fit.ray_selection import select_rays
from lenssim.lens_fit.subcell_interpolation import SubcellGrid
from lenssim.population import LensSystem
from lenssim.rendering.fast import ray_tracer
from lenssim.rendering.optics import point_spreads, typical_fwhm
from lenssim.rendering.point_spread import FWHM_PER_SIGMA, PointSpread
from lenssim.rendering.psf_convolution import reach
from lenssim.spec import Specification

FloatArray = NDArray[np.float64]

CELLS_PER_SIGMA = 2.0
"""Sub-cells of a pixel, at least, over a standard deviation of the PSF."""

CELLS_PER_DETAIL = 3.0
"""Sub-cells of a pixel, at least, over the least distance that a picture varies over."""

MIN_CELLS, MAX_CELLS = 2, 16
"""Sub-cells along each side of a pixel."""

FAINTEST = 3e-3
"""Flux of a pixel, in units of the background noise, below which it counts as dark."""

FLUX_PER_MAGNITUDE = -0.4 * math.log(10.0)
"""Derivative of the log of a flux by its magnitude."""


def smooth_derivatives(
    system: LensSystem,
    spec: Specification,
    *,
    psf: PointSpread | None = None,
    cells: int | None = None,
    multipoles: bool = False,
    coarseness: float = 1.0,
) -> FloatArray:
    """Derivatives of a noise-free image by the parameters of the smooth model.

    The rays are the same for all parameters: a regular grid, finer where the source's cusp is, so
    that the derivatives are those of one smooth function and converge with the grid. They are
    right to some 1e-3 of their norm, and to a few per cent for sources of a Sersic index above 3
    that are not much larger than a pixel. The light of the lens is taken as known: it stays where
    it is when the lens is moved.

    Args:
        system: a smooth lens, such as `simulation.smooth_system` gives; substructure is refused.
        spec: its instrument and flux factor.
        psf: of the image, taken into the integral over pixels; the specification's own where not
            given.
        cells: rays along each side of a pixel, away from the source's cusp; by the width of the
            PSF if not given.
        multipoles: whether to add those by the components of the multipoles.
        coarseness: factor by which the rays near the source's cusp, and over the PSF where `cells`
            is not given, may be further apart, at least 1; for an approximate Jacobian.

    Returns:
        e-/s for each unit of `PARAMETERS`, or of `PICTURE_PARAMETERS` where the source is a
        picture, and of `MULTIPOLE_NAMES` with multipoles, shape (p, num_pix, num_pix), axes
        (parameter, y, x).
        Where the lens is dark, the image itself is the row of source_magnitude over
        `FLUX_PER_MAGNITUDE`.

    Raises:
        ValueError: if the system has substructure.
    """
    if system.vortex_theta_e > 0 or system.subhalo_theta_e.size > 0:
        raise ValueError("derivatives are those of a smooth lens: this system has substructure")
    instrument = spec.instrument
    num_pix, pixel_scale = instrument.num_pix, instrument.pixel_scale
    if psf is None:
        own = point_spreads(instrument, [system])
        psf = None if own is None else own[0]
    tracer = ray_tracer(system, spec)
    if cells is None:
        width = typical_fwhm(instrument) if psf is None else psf.fwhm
        cells = _cells(coarseness * width, pixel_scale, tracer.picture.resolved)
    border = 0 if psf is None else reach(psf, pixel_scale)
    side = num_pix + 2 * border
    background = math.sqrt(observation.pixel_noise(instrument).background_variance)
    rays = select_rays(tracer, side, pixel_scale, cells, FAINTEST * background, coarseness)
    names = ALL_NAMES if multipoles else PARAMETER_NAMES
    maps = np.zeros((len(names), cells * cells * side * side))
    add_derivatives(
        *rays,
        smooth_model(tracer),
        power_law(system.lens_theta_e, system.lens_slope, system.lens_e1, system.lens_e2),
        tracer.picture,
        SubcellGrid(side, cells, pixel_scale, psf is not None),
        maps,
    )
    if system.source_galaxy >= 0:
        maps[names.index("source_r_sersic")] /= system.source_r_sersic
        maps = maps[_rows_of_picture(len(maps))]
    maps = maps.reshape(-1, cells, cells, side, side)
    if psf is None:
        kernel = observation.psf_kernel(instrument)
        images = observation.convolve(maps.sum(axis=(1, 2)), kernel)
    else:
        images = convolve_maps(maps, psf, num_pix, pixel_scale)
    images[PARAMETER_NAMES.index("source_magnitude")] *= FLUX_PER_MAGNITUDE
    images *= spec.observation.flux_factor
    return images


def _rows_of_picture(count: int) -> list[int]:
    """Which of `count` rows that `add_derivatives` filled are those of a picture."""
    rows = [
        PARAMETER_NAMES.index("source_e1" if name == "source_angle" else name)
        for name in (parameter.name for parameter in PICTURE_PARAMETERS)
    ]
    return rows + list(range(len(PARAMETER_NAMES), count))


def _cells(fwhm: float, pixel_scale: float, resolved: float) -> int:
    """Sub-cells along each side of a pixel for a PSF, and for a picture that they resolve."""
    needed = math.ceil(CELLS_PER_SIGMA * pixel_scale * FWHM_PER_SIGMA / fwhm - 1e-9)
    if resolved > 0.0:
        needed = max(needed, math.ceil(CELLS_PER_DETAIL * pixel_scale / resolved - 1e-9))
    return min(max(needed, MIN_CELLS), MAX_CELLS)
