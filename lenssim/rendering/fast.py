"""The fast engine: the numba kernels behind the contract of an engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import kernel
from lenssim.errors import UsageError
from lenssim.pictures import open_library
from lenssim.population import LensSystem, vortex_as_point_masses
from lenssim.profiles.elliptical_power_law import angular_series
from lenssim.profiles.ellipticity import axis_ratio_and_angle
from lenssim.profiles.multipole import multipole_components
from lenssim.profiles.tnfw_table import HALO_COLUMNS, tnfw_halos, tnfw_tables
from lenssim.rendering.contract import PixelNoise
from lenssim.rendering.picture_source import NO_PICTURE, PictureSource, picture_source
from lenssim.rendering.point_spread import PointSpread
from lenssim.rendering.psf_convolution import (
    MAX_SUBCELLS,
    MOMENTS,
    convolve_moments,
    reach,
    subcells,
)
from lenssim.rendering.quadrature import (
    adaptive_moments,
    adaptive_pixel_fluxes,
    regular_moments,
    regular_pixel_fluxes,
)
from lenssim.rendering.ray_tracing import NUMBERS, RayTracer, with_arrays
from lenssim.rendering.source import sersic_amplitude, sersic_b
from lenssim.rendering.subcell_moments import stencil_weights
from lenssim.spec import Sampling, Specification

_EMPTY = np.empty(0)
_NO_HALOS = np.empty((0, HALO_COLUMNS))

# Most images of a data set share these: numpy takes longer for one number than the look-up does.


@lru_cache(maxsize=1024)
def _axis_ratio_and_angle(e1: float, e2: float) -> tuple[float, float]:
    axis_ratio, phi = axis_ratio_and_angle(e1, e2)
    return float(axis_ratio), float(phi)


@lru_cache(maxsize=1024)
def _source_profile(
    relative_magnitude: float, r_sersic: float, n_sersic: float
) -> tuple[float, float]:
    """Amplitude in e-/s/arcsec^2 and b_n of a profile, by its magnitude less the zero point."""
    flux = 10 ** (-0.4 * relative_magnitude)
    return float(sersic_amplitude(flux, r_sersic, n_sersic)), float(sersic_b(n_sersic))


def ray_tracer(system: LensSystem, spec: Specification) -> RayTracer:
    """A system in the form that the kernels take.

    Args:
        system: what to render.
        spec: its instrument's zero point turns the magnitude into e-/s, and its vortex may be
            made of point masses.
    """
    axis_ratio, phi = _axis_ratio_and_angle(system.lens_e1, system.lens_e2)
    source = _source(system, spec)
    half_x = 0.5 * system.vortex_length * math.cos(system.vortex_angle)
    half_y = 0.5 * system.vortex_length * math.sin(system.vortex_angle)
    mass_x, mass_y = system.subhalo_x, system.subhalo_y
    mass_theta_e_squared = system.subhalo_theta_e**2
    halos, halo_theta_e_squared = _NO_HALOS, _EMPTY
    if system.subhalo_r_s.size > 0:
        halos = tnfw_halos(
            mass_x, mass_y, system.subhalo_r_s, system.subhalo_truncation, mass_theta_e_squared
        )
        halo_theta_e_squared = mass_theta_e_squared
        mass_x, mass_y, mass_theta_e_squared = _EMPTY, _EMPTY, _EMPTY
    vortex_theta_e = system.vortex_theta_e
    point_masses = spec.substructure.axion.point_masses
    if vortex_theta_e > 0 and point_masses is not None:
        mass_x, mass_y, mass_theta_e_squared = vortex_as_point_masses(system, point_masses)
        vortex_theta_e = 0.0
    m3_cos, m3_sin = _multipole(3, system.lens_m3_amplitude, system.lens_m3_angle, system)
    m4_cos, m4_sin = _multipole(4, system.lens_m4_amplitude, system.lens_m4_angle, system)
    light_amplitude, light_b = 0.0, 1.0
    if math.isfinite(system.lens_light_magnitude):
        light_amplitude, light_b = _source_profile(
            system.lens_light_magnitude - spec.instrument.zero_point,
            system.lens_light_r_sersic,
            system.lens_light_n_sersic,
        )
    series = _EMPTY
    if system.lens_slope != 2.0:
        series = angular_series(axis_ratio, system.lens_slope)
    return RayTracer(
        theta_e=system.lens_theta_e,
        axis_ratio=axis_ratio,
        cos_phi=math.cos(phi),
        sin_phi=math.sin(phi),
        gamma1=system.lens_gamma1,
        gamma2=system.lens_gamma2,
        lens_x=system.lens_x,
        lens_y=system.lens_y,
        slope=system.lens_slope,
        m3_cos=m3_cos,
        m3_sin=m3_sin,
        m4_cos=m4_cos,
        m4_sin=m4_sin,
        vortex_theta_e=vortex_theta_e,
        vortex_half_x=half_x,
        vortex_half_y=half_y,
        vortex_x=system.vortex_x,
        vortex_y=system.vortex_y,
        source_x=system.source_x,
        source_y=system.source_y,
        amplitude=source.amplitude,
        r_sersic=source.r_sersic,
        n_sersic=source.n_sersic,
        b=source.b,
        source_e1=source.e1,
        source_e2=source.e2,
        light_amplitude=light_amplitude,
        light_r_sersic=system.lens_light_r_sersic,
        light_n_sersic=system.lens_light_n_sersic,
        light_b=light_b,
        light_e1=system.lens_light_e1,
        light_e2=system.lens_light_e2,
        mass_x=mass_x,
        mass_y=mass_y,
        mass_theta_e_squared=mass_theta_e_squared,
        series=series,
        halos=halos,
        halo_theta_e_squared=halo_theta_e_squared,
        tables=tnfw_tables(),
        picture=source.picture,
    )


class _Source(NamedTuple):
    """The source of a `RayTracer`: a Sersic ellipse, or a picture and what bounds it."""

    amplitude: float
    r_sersic: float
    n_sersic: float
    b: float
    e1: float
    e2: float
    picture: PictureSource = NO_PICTURE


def _source(system: LensSystem, spec: Specification) -> _Source:
    relative_magnitude = system.source_magnitude - spec.instrument.zero_point
    r_sersic, n_sersic = system.source_r_sersic, system.source_n_sersic
    if system.source_galaxy < 0:
        amplitude, b = _source_profile(relative_magnitude, r_sersic, n_sersic)
        e1, e2 = system.source_e1, system.source_e2
        return _Source(amplitude, r_sersic, n_sersic, b, e1, e2)
    if spec.source.images is None:
        raise UsageError(
            f"The source is the picture of galaxy {system.source_galaxy}, and source.images of "
            f"{spec.name} is not given: render it with the specification that it was drawn from."
        )
    picture = open_library(spec.source.images).picture(system.source_galaxy)
    scale = r_sersic / picture.half_light_radius
    flux = 10 ** (-0.4 * relative_magnitude)
    return _Source(
        picture.bound_amplitude * flux / scale**2,
        picture.bound_radius * scale,
        1.0,
        float(sersic_b(1.0)),
        0.0,
        0.0,
        picture_source(picture, flux, scale, system.source_angle),
    )


def _multipole(
    order: int, amplitude: float, angle: float, system: LensSystem
) -> tuple[float, float]:
    """`multipole_components` of a system as plain numbers."""
    if amplitude == 0.0:
        return 0.0, 0.0
    cosine, sine = multipole_components(order, amplitude, angle, system.lens_theta_e)
    return float(cosine), float(sine)


def pixel_fluxes(
    systems: Sequence[LensSystem],
    spec: Specification,
    sampling: Sampling,
    noise: PixelNoise,
    psfs: Sequence[PointSpread] | None = None,
) -> NDArray[np.float64]:
    """Renders systems by the kernels; arguments and result are those of `contract.Engine`.

    Raises:
        UsageError: if a source is a picture and the specification names none.
    """
    tracers = [ray_tracer(system, spec) for system in systems]
    if psfs is not None:
        return _convolved_fluxes(tracers, psfs, spec, sampling, noise)
    instrument = spec.instrument
    fluxes = np.empty((len(tracers), instrument.num_pix, instrument.num_pix))
    # those of pictures one by one: their arrays cannot be joined
    is_sersic = not any(tracer.picture.coefficients.size for tracer in tracers)
    for rows in [slice(None)] if is_sersic else [slice(i, i + 1) for i in range(len(tracers))]:
        _render_joined(tracers[rows], spec, sampling, noise, fluxes[rows])
    return fluxes


def _render_joined(
    tracers: Sequence[RayTracer],
    spec: Specification,
    sampling: Sampling,
    noise: PixelNoise,
    fluxes: NDArray[np.float64],
) -> None:
    """Renders systems that share a picture, or have none, in one call of the compiled code."""
    _render(
        np.array([tracer[:NUMBERS] for tracer in tracers]),
        _first([tracer.mass_x for tracer in tracers]),
        np.concatenate([tracer.mass_x for tracer in tracers]),
        np.concatenate([tracer.mass_y for tracer in tracers]),
        np.concatenate([tracer.mass_theta_e_squared for tracer in tracers]),
        _first([tracer.series for tracer in tracers]),
        np.concatenate([tracer.series for tracer in tracers]),
        _first([tracer.halos for tracer in tracers]),
        np.concatenate([tracer.halos for tracer in tracers]),
        np.concatenate([tracer.halo_theta_e_squared for tracer in tracers]),
        tnfw_tables(),
        tracers[0].picture,
        spec.instrument.pixel_scale,
        sampling.subsamples or 0,
        sampling.tolerance or 0.0,
        noise,
        fluxes,
    )


def _first(arrays: list[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Index of the first row of each array, and of the end, when they are joined."""
    return np.cumsum([0, *(len(array) for array in arrays)])


def _convolved_fluxes(
    tracers: Sequence[RayTracer],
    psfs: Sequence[PointSpread],
    spec: Specification,
    sampling: Sampling,
    noise: PixelNoise,
) -> NDArray[np.float64]:
    """Images with the PSF of each taken into the integral over its pixels."""
    num_pix, pixel_scale = spec.instrument.num_pix, spec.instrument.pixel_scale
    images = np.empty((len(tracers), num_pix, num_pix))
    for image, tracer, psf in zip(images, tracers, psfs, strict=True):
        cells = sampling.subsamples or _subcells(tracer, psf, pixel_scale)
        side = num_pix + 2 * reach(psf, pixel_scale)
        moments = np.empty((MOMENTS, cells, cells, side, side))
        if sampling.tolerance is None:
            regular_moments(tracer, pixel_scale, moments)
        else:
            weights = stencil_weights(cells, pixel_scale)
            adaptive_moments(tracer, pixel_scale, sampling.tolerance, *noise, weights, moments)
        image[:] = convolve_moments(moments, psf, num_pix, pixel_scale)
    return images


def _subcells(tracer: RayTracer, psf: PointSpread, pixel_scale: float) -> int:
    """Sub-cells along each side of a pixel; one more for a picture, which is rough everywhere.

    Without it, images of model A are off by 0.9 sigma; with it, by 0.2.
    """
    needed = subcells(psf, pixel_scale, _profiles(tracer))
    is_picture = tracer.picture.coefficients.size > 0
    return min(needed + 1, MAX_SUBCELLS) if is_picture else needed


def _profiles(tracer: RayTracer) -> list[tuple[float, float]]:
    """Half-light radius and Sersic index of each galaxy that shines."""
    profiles = [(tracer.r_sersic, tracer.n_sersic)]
    if tracer.light_amplitude > 0.0:
        profiles.append((tracer.light_r_sersic, tracer.light_n_sersic))
    return profiles


@kernel
def _render(
    numbers, first_mass, mass_x, mass_y, mass_theta_e_squared, first_term, series, first_halo,
    halos, halo_theta_e_squared, tables, picture, pixel_scale, subsamples, tolerance, noise, fluxes,
):  # fmt: skip
    """Renders one system after another into `fluxes`, shape (n, num_pix, num_pix).

    System i has the numbers of its `RayTracer` in numbers[i], and its point masses between
    first_mass[i] and first_mass[i + 1], likewise the series of its lens and its halos. They share
    `picture`. With no `subsamples`, the integration is adaptive.
    """
    num_pix = fluxes.shape[1]
    for i in range(numbers.shape[0]):
        masses = slice(first_mass[i], first_mass[i + 1])
        own_halos = slice(first_halo[i], first_halo[i + 1])
        tracer = with_arrays(
            numbers[i],
            mass_x[masses],
            mass_y[masses],
            mass_theta_e_squared[masses],
            series[first_term[i] : first_term[i + 1]],
            halos[own_halos],
            halo_theta_e_squared[own_halos],
            tables,
            picture,
        )
        if subsamples > 0:
            fluxes[i] = regular_pixel_fluxes(tracer, num_pix, pixel_scale, subsamples)
        else:
            fluxes[i], _ = adaptive_pixel_fluxes(
                tracer,
                num_pix,
                pixel_scale,
                tolerance,
                noise.background_variance,
                noise.exposure_time,
            )
