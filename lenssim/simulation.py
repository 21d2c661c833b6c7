"""One image from end to end: drawn, rendered, observed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim import observation, population
from lenssim.compilation.kernel_cache import COMPILATION_TIME
from lenssim.lens_fit import refit_snr, smooth_derivatives
from lenssim.lens_fit.image_fit import FitSettings, fit_image
from lenssim.observation import convolve, gaussian_kernel, pixel_noise
from lenssim.population import GroupStreams, LensSystem, replaced
from lenssim.profiles.ring_mean import tnfw_ring_mean
from lenssim.profiles.tnfw import tnfw_deflections
from lenssim.progress import Phase
from lenssim.rendering import EngineName, PixelNoise, engine, kernels_are_compiled
from lenssim.rendering.optics import point_spreads, typical_fwhm
from lenssim.rendering.point_spread import Gaussian, Moffat, PointSpread
from lenssim.spec import (
    Instrument,
    Sampling,
    Specification,
    Split,
    SubstructureClass,
    load_spec,
)

FloatArray = NDArray[np.float64]

SMOOTH_TOLERANCE = 4.0
"""Tolerance of the smooth image that the S/N compares with, in units of the images' own.

Its error adds to the S/N in quadrature: 0.3 is negligible against S/N >= 14 in models A and B.
"""

REFIT_COARSENESS = 2.0
"""Of the derivatives that the S/N after a refit is estimated from: changes it by less than 2%."""

_ARC_SAMPLING = Sampling(subsamples=2)

_NOTHING: FloatArray = np.empty(0)


def measure_arc(system: LensSystem, spec: Specification) -> tuple[float, float]:
    """Magnification and S/N of the lensed source of a lens, as a selection estimates them.

    The estimate is coarse: two samples along each side of a pixel, by the fast engine whatever
    engine makes the images, and a Gaussian PSF of the image's width applied to pixel fluxes.
    Processors differ in the last digits of the result, by about 1e-13 of it: both numbers are
    rounded to single precision before they are compared, so one image in some 1e8 could be decided
    otherwise on another platform.

    Args:
        system: its substructure is rendered, if it has any.
        spec: its instrument.

    Returns:
        Flux of the image over that of the source, and the S/N of `brightest_pixels_snr`, in which
        the light of the lens counts as noise.
    """
    instrument, noise = spec.instrument, pixel_noise(spec.instrument)
    dark = replaced(system, lens_light_magnitude=math.inf)
    systems = [dark] if system.lens_light_magnitude == math.inf else [dark, system]
    fluxes = engine("fast")(systems, spec, _ARC_SAMPLING, noise)
    unlensed = 10 ** (-0.4 * (system.source_magnitude - instrument.zero_point))
    fwhm = typical_fwhm(instrument) if math.isnan(system.psf_fwhm) else system.psf_fwhm
    images = convolve(fluxes, gaussian_kernel(fwhm / instrument.pixel_scale))
    snr = brightest_pixels_snr(images[0], images[-1], noise)
    return float(np.float32(fluxes[0].sum() / unlensed)), float(np.float32(snr))


def brightest_pixels_snr(arc: FloatArray, image: FloatArray, noise: PixelNoise) -> float:
    """S/N of the brightest pixels together, as many of them as make it largest.

    The maximum over k of sum(flux) / sqrt(sum(variance)) of the k pixels with the largest S/N, as
    in LensPop (Collett 2015, ApJ 811 20).

    Args:
        arc: flux of the lensed source, e-/s, any shape.
        image: flux of everything, e-/s, whose noise it is.
        noise: of the instrument.
    """
    variance = noise.background_variance + np.maximum(image, 0.0) / noise.exposure_time
    order = np.argsort(-(arc / np.sqrt(variance)), axis=None, kind="stable")
    flux, total = np.cumsum(arc.ravel()[order]), np.cumsum(variance.ravel()[order])
    return float((flux / np.sqrt(total)).max())


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
    substructure_snr_refit: float = math.nan
    """NaN if the specification does not ask for it."""

    def plot(self, spec: Specification | None = None) -> NDArray[Any]:
        """Draw the image with and without noise, and the residual against the smooth lens.

        Args:
            spec: what was simulated; adds the residual, in units of the noise, and gives the axes
                in arcsec in place of pixels.

        Returns:
            The matplotlib axes, one a panel; `matplotlib.pyplot.show()` shows them.
        """
        from lenssim.plotting import plot_panels

        residual = pixel_scale = None
        if spec is not None:
            residual = smooth_residual(self.image, self.system, spec)
            pixel_scale = spec.instrument.pixel_scale
        title = f"{self.system.substructure_class}, substructure S/N {self.substructure_snr:.0f}"
        return plot_panels(self.image, self.noise_free, residual, pixel_scale, title)


@lru_cache(maxsize=64)
def _psf_kernel(instrument: Instrument) -> FloatArray:
    return observation.psf_kernel(instrument)


def smooth_system(system: LensSystem) -> LensSystem:
    """The same lens and source with all of the mass in the smooth halo."""
    return replaced(
        system,
        substructure_class="no_sub",
        lens_theta_e=system.smooth_theta_e,
        vortex_theta_e=0.0,
        subhalo_x=_NOTHING,
        subhalo_y=_NOTHING,
        subhalo_mass=_NOTHING,
        subhalo_theta_e=_NOTHING,
        subhalo_r_s=_NOTHING,
        subhalo_truncation=_NOTHING,
        subhalo_concentration=_NOTHING,
    )


def smooth_residual(image: FloatArray, system: LensSystem, spec: Specification) -> FloatArray:
    """(image - smooth) / sigma, for the same lens with all of its mass in the smooth halo.

    Args:
        image: with noise, e-/s, shape (y, x).
        system: what was imaged.
        spec: its instrument, sampling and noise.

    Returns:
        Shape (y, x), in units of the noise.
    """
    smooth = render(smooth_system(system), spec)
    return (image - smooth) / observation.noise_sigma(
        smooth, observation.pixel_noise(spec.instrument)
    )


@lru_cache(maxsize=64)
def _comparison_sampling(sampling: Sampling) -> Sampling:
    """Sampling of the smooth image that the S/N compares with, coarser by `SMOOTH_TOLERANCE`."""
    if sampling.tolerance is None:
        return sampling
    return Sampling(tolerance=min(SMOOTH_TOLERANCE * sampling.tolerance, 1.0))


def draw_system(
    spec: Specification,
    substructure_class: SubstructureClass,
    generator: np.random.Generator,
    split: Split = "train",
) -> LensSystem:
    """Draws one system, among those that the specification selects.

    Args:
        spec: the priors.
        substructure_class: "axion", "cdm" or "no_sub".
        generator: the image's own stream, see `random_stream`.
        split: of the image: pictures of galaxies are of one split alone.

    Returns:
        The system.

    Raises:
        UsageError: if the substructure drawn outweighs the lens that contains it, or the
            selection keeps next to nothing.
    """
    return population.draw_system(spec, substructure_class, generator, measure_arc, split)


def render(
    systems: LensSystem | Sequence[LensSystem],
    spec: Specification,
    engine_name: EngineName = "fast",
    *,
    sampling: Sampling | None = None,
    psf: PointSpread | None = None,
) -> FloatArray:
    """Noise-free images of systems, as the instrument sees them.

    Args:
        systems: from `draw_system`, or made by hand; one, or a sequence of n.
        spec: its instrument, sampling and flux factor.
        engine_name: "fast" or "lenstronomy".
        sampling: how to integrate over pixels; the specification's own if not given.
        psf: of all images, taken into the integral over pixels; the specification's own where not
            given.

    Returns:
        e-/s, shape (num_pix, num_pix) for one system or (n, num_pix, num_pix) for a sequence,
        axes (sample, y, x).
    """
    if isinstance(systems, LensSystem):
        return render([systems], spec, engine_name, sampling=sampling, psf=psf)[0]
    noise = observation.pixel_noise(spec.instrument)
    psfs = point_spreads(spec.instrument, systems) if psf is None else [psf] * len(systems)
    images = engine(engine_name)(systems, spec, sampling or spec.sampling, noise, psfs)
    if psfs is None:
        images = observation.convolve(images, _psf_kernel(spec.instrument))
    images *= spec.observation.flux_factor
    return images


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
    group = (seed, split, substructure_class)
    [simulation] = simulate_many(spec, *group, [index], engine_name=engine_name)
    return simulation


def simulate_many(
    spec: Specification,
    seed: int,
    split: Split,
    substructure_class: SubstructureClass,
    indices: Sequence[int],
    *,
    engine_name: EngineName = "fast",
) -> list[Simulation]:
    """Simulates images of one group together, which costs less than one by one.

    Args:
        spec: what is simulated.
        seed, split, substructure_class: key of the group's random streams.
        indices: sample indices of the images, each with a stream of its own.
        engine_name: what renders them.

    Returns:
        One simulation an index; image i has the same bits in any company.

    Raises:
        UsageError: as of `draw_system`.
    """
    streams = GroupStreams(seed, spec.name, split, substructure_class)
    systems = [
        draw_system(spec, substructure_class, streams.at(index, "population"), split)
        for index in indices
    ]
    generators = (streams.at(index, "noise") for index in indices)
    wanted = wants_refit_snr(spec, split)
    return observe(systems, spec, generators, engine_name=engine_name, with_refit_snr=wanted)


def observe(
    systems: Sequence[LensSystem],
    spec: Specification,
    generators: Iterable[np.random.Generator],
    *,
    engine_name: EngineName = "fast",
    with_refit_snr: bool = False,
) -> list[Simulation]:
    """Images of systems of one class, with noise and the S/N of their substructure.

    Args:
        systems: drawn, or made by hand; all of one class.
        spec: its instrument, sampling and observation.
        generators: of the noise of each system, each used before the next is taken.
        engine_name: "fast" or "lenstronomy".
        with_refit_snr: whether to compute the S/N after a refit of the smooth lens.

    Returns:
        One simulation a system, in their order.
    """
    noise = observation.pixel_noise(spec.instrument)
    noise_free = render(systems, spec, engine_name)
    snr = np.zeros(len(systems))
    refit = np.full(len(systems), 0.0 if with_refit_snr else math.nan)
    if systems and systems[0].substructure_class != "no_sub":
        twins = [smooth_system(system) for system in systems]
        smooth = render(twins, spec, engine_name, sampling=_comparison_sampling(spec.sampling))
        snr = observation.substructure_snr(noise_free, smooth, noise)
        if with_refit_snr:
            sigma = observation.noise_sigma(noise_free, noise)
            residuals = (noise_free - smooth) / sigma
            refit[:] = [
                estimated_refit_snr(residual, twin, error, spec)
                for residual, twin, error in zip(residuals, twins, sigma, strict=True)
            ]
    images = noise_free
    if spec.observation.noise:
        images = observation.add_noise(noise_free, noise, generators)
    return [
        Simulation(system, image, clean, float(ratio), float(after))
        for system, image, clean, ratio, after in zip(
            systems, images, noise_free, snr, refit, strict=True
        )
    ]


def estimated_refit_snr(
    residual: FloatArray, twin: LensSystem, sigma: FloatArray, spec: Specification
) -> float:
    """S/N of substructure that a refit of the smooth lens leaves, to first order.

    Args:
        residual: image less that of its smooth twin, both free of noise, in units of the noise,
            shape (y, x).
        twin: the `smooth_system`.
        sigma: noise of each pixel, e-/s, shape (y, x).
        spec: the instrument.

    Returns:
        As `lens_fit.refit_snr`.
    """
    derivatives = smooth_derivatives(twin, spec, coarseness=REFIT_COARSENESS)
    return refit_snr(residual, derivatives / sigma)


def wants_refit_snr(spec: Specification, split: Split) -> bool:
    """Whether a specification asks for the S/N after a refit of the images of a split."""
    return spec.observation.refit_snr in ("all", split)


def compile_kernels(phase: Phase | None = None) -> None:
    """Compiles the kernels of the fast engine, where the cache on disk does not hold them.

    To be called before images are rendered in threads, so that the wait has a name and the
    compiler can be interrupted.

    Args:
        phase: called before the compilation, with what is done and how long it takes.
    """
    import lenssim.rendering.fast  # noqa: F401  declares the kernels

    if kernels_are_compiled():
        return
    if phase is not None:
        phase(f"compiling kernels (once, {COMPILATION_TIME})")
    warm_up()


def warm_up() -> None:
    """Compiles the kernels of the fast engine, or loads them from the cache, by small images.

    Takes `compilation.COMPILATION_TIME` where `rendering.kernels_are_compiled()` is False, and
    below one second otherwise.
    """
    spec = load_spec("B", ["instrument.num_pix=8"])
    system = simulate(spec, "axion", 0).system
    psf = Gaussian(0.16)
    pixel_psf = load_spec("B-deeplense", ["instrument.num_pix=8"])
    for sampling in (Sampling(tolerance=1.0), Sampling(subsamples=1)):
        render(system, spec, sampling=sampling, psf=psf)
        render(system, pixel_psf, sampling=sampling)
    render(system, spec, psf=Moffat(0.2, 3.0))
    image = render(system, spec, psf=psf)
    fit_image(image, spec, settings=FitSettings(starts=1, max_iterations=1))
    nothing = np.empty(0)
    tnfw_deflections(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    tnfw_ring_mean(nothing, nothing, nothing, nothing, nothing, 1.0)
