"""One image from end to end: drawn, rendered, observed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lenssim import observation
from lenssim.population import LensSystem, draw_system, random_stream
from lenssim.rendering import EngineName, engine
from lenssim.spec import Instrument, Sampling, Specification, Split, SubstructureClass

FloatArray = NDArray[np.float64]

SMOOTH_TOLERANCE = 4.0
"""Tolerance of the smooth image that the S/N compares with, in units of the images' own.

Its error adds to the S/N in quadrature, where 0.3 is nothing beside the 14 and more of A and B.
"""


@dataclass(frozen=True)
class Simulation:
    """One simulated image and what it was made from.

    `image` is what the archive stores, `noise_free` the same before the noise, both in e-/s with
    shape (y, x).
    """

    system: LensSystem
    image: FloatArray
    noise_free: FloatArray
    substructure_snr: float


@lru_cache(maxsize=64)
def _optics(instrument: Instrument) -> tuple[observation.PixelNoise, FloatArray]:
    return observation.pixel_noise(instrument), observation.psf_kernel(instrument)


def smooth_system(system: LensSystem) -> LensSystem:
    """The same lens and source with all of the mass in the smooth halo."""
    nothing = np.empty(0)
    return replace(
        system,
        substructure_class="no_sub",
        lens_theta_e=system.smooth_theta_e,
        vortex_theta_e=0.0,
        subhalo_x=nothing,
        subhalo_y=nothing,
        subhalo_mass=nothing,
        subhalo_theta_e=nothing,
    )


@lru_cache(maxsize=64)
def _comparison_sampling(sampling: Sampling) -> Sampling:
    """Sampling of the smooth image that the S/N compares with, coarser by `SMOOTH_TOLERANCE`."""
    if sampling.tolerance is None:
        return sampling
    return Sampling(tolerance=min(SMOOTH_TOLERANCE * sampling.tolerance, 1.0))


def render(
    system: LensSystem,
    spec: Specification,
    engine_name: EngineName = "fast",
    *,
    sampling: Sampling | None = None,
) -> FloatArray:
    """Noise-free image of a system, as the instrument sees it.

    Args:
        system: from `draw_system`, or made by hand.
        spec: its instrument, sampling and flux factor.
        engine_name: "fast" or "lenstronomy".
        sampling: how to integrate over pixels; the specification's own where not given.

    Returns:
        e-/s, shape (num_pix, num_pix), axes (y, x).
    """
    noise, kernel = _optics(spec.instrument)
    fluxes = engine(engine_name)(system, spec, sampling or spec.sampling, noise)
    image = observation.convolve(fluxes, kernel)
    return image * spec.observation.flux_factor


def simulate(
    spec: Specification,
    substructure_class: SubstructureClass,
    index: int,
    *,
    seed: int = 0,
    split: Split = "train",
    engine_name: EngineName = "fast",
) -> Simulation:
    """Simulates image `index` of a group, the same bits as `generate` archives.

    Args:
        spec: what to simulate.
        substructure_class: "axion", "cdm" or "no_sub".
        index: sample index in the group, which keys the random streams.
        seed: the archive's seed.
        split: "train" or "test".
        engine_name: "fast" or "lenstronomy".

    Returns:
        The image with its parameters.
    """
    group = (seed, spec.name, split, substructure_class, index)
    system = draw_system(spec, substructure_class, random_stream(*group, "population"))
    noise_free = render(system, spec, engine_name)
    noise, _ = _optics(spec.instrument)
    snr = 0.0
    if substructure_class != "no_sub":
        coarser = _comparison_sampling(spec.sampling)
        smooth = render(smooth_system(system), spec, engine_name, sampling=coarser)
        snr = observation.substructure_snr(noise_free, smooth, noise)
    image = noise_free
    if spec.observation.noise:
        image = observation.add_noise(noise_free, noise, random_stream(*group, "noise"))
    return Simulation(system, image, noise_free, snr)
