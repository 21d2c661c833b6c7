"""The fast engine: the numba kernels behind the contract of an engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lenssim.population import LensSystem, vortex_as_point_masses
from lenssim.rendering.compilation import kernel
from lenssim.rendering.contract import PixelNoise
from lenssim.rendering.deflection import axis_ratio_and_angle
from lenssim.rendering.quadrature import adaptive_pixel_fluxes, regular_pixel_fluxes
from lenssim.rendering.ray_tracing import NUMBERS, RayTracer, with_masses
from lenssim.rendering.source import sersic_amplitude, sersic_b
from lenssim.spec import Sampling, Specification

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
    relative_magnitude = system.source_magnitude - spec.instrument.zero_point
    amplitude, b = _source_profile(
        relative_magnitude, system.source_r_sersic, system.source_n_sersic
    )
    half_x = 0.5 * system.vortex_length * math.cos(system.vortex_angle)
    half_y = 0.5 * system.vortex_length * math.sin(system.vortex_angle)
    mass_x, mass_y = system.subhalo_x, system.subhalo_y
    mass_theta_e_squared = system.subhalo_theta_e**2
    vortex_theta_e = system.vortex_theta_e
    point_masses = spec.substructure.axion.point_masses
    if vortex_theta_e > 0 and point_masses is not None:
        mass_x, mass_y, mass_theta_e_squared = vortex_as_point_masses(system, point_masses)
        vortex_theta_e = 0.0
    return RayTracer(
        theta_e=system.lens_theta_e,
        axis_ratio=axis_ratio,
        cos_phi=math.cos(phi),
        sin_phi=math.sin(phi),
        gamma1=system.lens_gamma1,
        gamma2=system.lens_gamma2,
        vortex_theta_e=vortex_theta_e,
        vortex_half_x=half_x,
        vortex_half_y=half_y,
        vortex_x=system.vortex_x,
        vortex_y=system.vortex_y,
        source_x=system.source_x,
        source_y=system.source_y,
        amplitude=amplitude,
        r_sersic=system.source_r_sersic,
        n_sersic=system.source_n_sersic,
        b=b,
        source_e1=system.source_e1,
        source_e2=system.source_e2,
        mass_x=mass_x,
        mass_y=mass_y,
        mass_theta_e_squared=mass_theta_e_squared,
    )


def pixel_fluxes(
    systems: Sequence[LensSystem], spec: Specification, sampling: Sampling, noise: PixelNoise
) -> NDArray[np.float64]:
    """Renders systems, all in one call of a kernel; see `contract.Engine`."""
    tracers = [ray_tracer(system, spec) for system in systems]
    instrument = spec.instrument
    fluxes = np.empty((len(tracers), instrument.num_pix, instrument.num_pix))
    _render(
        np.array([tracer[:NUMBERS] for tracer in tracers]),
        np.cumsum([0, *(tracer.mass_x.size for tracer in tracers)]),
        np.concatenate([tracer.mass_x for tracer in tracers]),
        np.concatenate([tracer.mass_y for tracer in tracers]),
        np.concatenate([tracer.mass_theta_e_squared for tracer in tracers]),
        instrument.pixel_scale,
        sampling.subsamples or 0,
        sampling.tolerance or 0.0,
        noise,
        fluxes,
    )
    return fluxes


@kernel
def _render(
    numbers, first, mass_x, mass_y, mass_theta_e_squared, pixel_scale, subsamples, tolerance,
    noise, fluxes,
):  # fmt: skip
    """Renders one system after another into `fluxes`, shape (n, num_pix, num_pix).

    System i has the numbers of its `RayTracer` in numbers[i], and its point masses between
    first[i] and first[i + 1]. With no `subsamples`, the integration is adaptive.
    """
    num_pix = fluxes.shape[1]
    for i in range(numbers.shape[0]):
        masses = slice(first[i], first[i + 1])
        tracer = with_masses(
            numbers[i], mass_x[masses], mass_y[masses], mass_theta_e_squared[masses]
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
