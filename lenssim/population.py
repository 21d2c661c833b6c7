"""What is drawn for each image: the lens, the source, and the substructure.

Every image has its own counter-based random stream (Philox 4x64, Salmon et al. 2011), keyed by
seed, model name, split and class and counted by the sample index. So image i is the same bits
whatever the number of workers, the chunk size, the order, or how many images are asked for.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lenssim.cosmology import (
    LensingGeometry,
    Numbers,
    de_broglie_wavelength,
    einstein_radius,
    lensing_geometry,
    velocity_dispersion,
)
from lenssim.errors import UsageError
from lenssim.spec import Prior, Specification, Subhalos, SubstructureClass

Purpose = Literal["population", "noise"]
_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

FloatArray = NDArray[np.float64]


def _no_masses() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class LensSystem:
    """One lens and its source, as drawn: the parameters that an image is rendered from.

    Names are those of the archive's columns. Angles on the sky are in arcsec, masses in solar
    masses, `axion_mass` in eV, `vortex_angle` in radians. Einstein radii and shear are the
    effective ones, with the geometry's `deflection_scale` taken in, so that they alone decide
    the deflections. Subhalo arrays have shape (k,), all of one length.
    """

    substructure_class: SubstructureClass
    einstein_mass: float
    """The smooth halo's own mass."""
    lens_theta_e: float
    lens_e1: float
    lens_e2: float
    lens_gamma1: float
    lens_gamma2: float
    source_x: float
    source_y: float
    source_magnitude: float
    source_r_sersic: float
    source_n_sersic: float
    source_e1: float
    source_e2: float
    smooth_theta_e: float
    """Einstein radius of the lens with all of its mass in the halo, for the comparison."""
    substructure_mass: float = 0.0
    axion_mass: float = math.nan
    vortex_theta_e: float = 0.0
    vortex_length: float = 0.0
    vortex_angle: float = 0.0
    vortex_x: float = 0.0
    vortex_y: float = 0.0
    subhalo_x: FloatArray = field(default_factory=_no_masses)
    subhalo_y: FloatArray = field(default_factory=_no_masses)
    subhalo_mass: FloatArray = field(default_factory=_no_masses)
    subhalo_theta_e: FloatArray = field(default_factory=_no_masses)


class GroupStreams:
    """The random streams of one group's images, all through one generator.

    Moving a generator to an image's stream costs a tenth of making one. So what `at` returns is
    good until the next call of it; for a generator of its own, see `random_stream`.
    """

    def __init__(self, seed: int, model: str, split: str, substructure_class: str) -> None:
        self._philox = np.random.Philox(key=_stream_key(seed, model, split, substructure_class))
        self._generator = np.random.Generator(self._philox)
        self._state: Any = self._philox.state

    def at(self, index: int, purpose: Purpose) -> np.random.Generator:
        """The generator, at the start of one image's stream for one purpose.

        Args:
            index: sample index in the group.
            purpose: "population" or "noise"; the two never overlap.
        """
        # the state of a new generator with this counter: numpy's buffer of four words is empty
        self._state["state"]["counter"][:] = (0, 0, _PURPOSES.index(purpose), index)
        self._philox.state = self._state
        return self._generator


def random_stream(
    seed: int, model: str, split: str, substructure_class: str, index: int, purpose: Purpose
) -> np.random.Generator:
    """The random stream of one image, for one purpose, as a generator of its own.

    Args:
        seed: the archive's seed, a non-negative integer.
        model: name of the specification.
        split, substructure_class: the group that the image is in.
        index: sample index in its group.
        purpose: "population" or "noise"; the two never overlap.
    """
    return GroupStreams(seed, model, split, substructure_class).at(index, purpose)


@lru_cache(maxsize=256)
def _stream_key(seed: int, model: str, split: str, substructure_class: str) -> NDArray[np.uint64]:
    """Philox key of a group: 128 bits of the hash of its names."""
    words = f"lenssim/1/{seed}/{model}/{split}/{substructure_class}"
    return np.frombuffer(hashlib.sha256(words.encode()).digest()[:16], dtype="<u8")


def subhalo_masses(subhalos: Subhalos, quantiles: FloatArray) -> FloatArray:
    """Masses at quantiles of the mass function, in solar masses, by inverting its integral.

    Args:
        subhalos: mass function dN/dM ~ M^slope between mass_min and mass_max.
        quantiles: in [0, 1), any shape.
    """
    low, high = subhalos.mass_min, subhalos.mass_max
    exponent = subhalos.slope + 1
    if abs(exponent) < 1e-12:
        return low * (high / low) ** quantiles
    return (low**exponent + (high**exponent - low**exponent) * quantiles) ** (1 / exponent)


def draw_system(
    spec: Specification,
    substructure_class: SubstructureClass,
    generator: np.random.Generator,
) -> LensSystem:
    """Draws one system.

    Args:
        spec: the priors.
        substructure_class: "axion", "cdm" or "no_sub".
        generator: the image's own stream, see `random_stream`.

    Raises:
        UsageError: where the substructure drawn outweighs the lens that contains it.
    """
    geometry = lensing_geometry(spec)
    lens, source = spec.lens, spec.source
    common: dict[str, Any] = {
        "source_x": source.x.draw(generator),
        "source_y": source.y.draw(generator),
        "source_magnitude": source.magnitude.draw(generator),
        "source_r_sersic": source.r_sersic.draw(generator),
        "source_n_sersic": source.n_sersic.draw(generator),
        "source_e1": source.e1.draw(generator),
        "source_e2": source.e2.draw(generator),
        "lens_e1": lens.e1.draw(generator),
        "lens_e2": lens.e2.draw(generator),
        "lens_gamma1": lens.gamma1.draw(generator) * geometry.deflection_scale,
        "lens_gamma2": lens.gamma2.draw(generator) * geometry.deflection_scale,
    }
    total_mass = lens.einstein_mass.draw(generator)
    if substructure_class == "axion":
        substructure = _draw_vortex(spec, total_mass, geometry, generator)
    elif substructure_class == "cdm":
        substructure = _draw_subhalos(spec, total_mass, geometry, generator)
    else:
        substructure = {}
    halo_mass = total_mass
    if spec.substructure.within_einstein_mass:
        halo_mass -= substructure.get("substructure_mass", 0.0)
    if halo_mass <= 0:
        raise UsageError(
            f"{spec.name}: the {substructure_class} substructure drawn for an image outweighs its "
            f"lens ({substructure['substructure_mass']:.3g} of {total_mass:.3g} solar masses); "
            "lower substructure.f_sub."
        )
    return LensSystem(
        substructure_class=substructure_class,
        einstein_mass=halo_mass,
        lens_theta_e=_halo_radius(halo_mass, geometry),
        smooth_theta_e=_halo_radius(total_mass, geometry),
        **common,
        **substructure,
    )


def beaded_vortex(
    system: LensSystem, point_masses: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The vortex as equal point masses, evenly spaced and including both ends, as DeepLenseSim.

    Args:
        system: one with a vortex.
        point_masses: how many.

    Returns:
        x and y in arcsec and squared Einstein radii in arcsec^2, each of shape (point_masses,).
    """
    along = np.linspace(-0.5, 0.5, point_masses) * system.vortex_length
    return (
        system.vortex_x + along * math.cos(system.vortex_angle),
        system.vortex_y + along * math.sin(system.vortex_angle),
        np.full(point_masses, system.vortex_theta_e**2 / point_masses),
    )


def _halo_radius(mass: float, geometry: LensingGeometry) -> float:
    """Effective Einstein radius of the halo, whose deflection is proportional to theta_E."""
    return float(einstein_radius(mass, geometry) * geometry.deflection_scale)


def _point_mass_radius(mass: Numbers, geometry: LensingGeometry) -> Numbers:
    """Effective Einstein radius of a point or line mass: deflection proportional to theta_E^2."""
    return einstein_radius(mass, geometry) * math.sqrt(geometry.deflection_scale)


def _draw_vortex(
    spec: Specification,
    total_mass: float,
    geometry: LensingGeometry,
    generator: np.random.Generator,
) -> dict[str, Any]:
    vortex = spec.substructure.axion
    axion_mass = vortex.axion_mass.draw(generator)
    angle = vortex.angle.draw(generator)
    x, y = vortex.x.draw(generator), vortex.y.draw(generator)
    mass = _draw_fraction(vortex.mass, spec, total_mass, generator)
    if vortex.length_at_1e_22_ev is None:
        sigma_v = velocity_dispersion(einstein_radius(total_mass, geometry), geometry)
        length = float(de_broglie_wavelength(axion_mass, sigma_v, geometry))
    else:
        length = vortex.length_at_1e_22_ev * 1e-22 / axion_mass
    return {
        "axion_mass": axion_mass,
        "substructure_mass": mass,
        "vortex_theta_e": float(_point_mass_radius(mass, geometry)),
        "vortex_length": length,
        "vortex_angle": angle,
        "vortex_x": x,
        "vortex_y": y,
    }


def _draw_fraction(
    mass: Prior | None, spec: Specification, total_mass: float, generator: np.random.Generator
) -> float:
    """Mass in substructure: drawn itself, or as the fraction f_sub of the Einstein mass."""
    if mass is not None:
        return mass.draw(generator)
    assert spec.substructure.f_sub is not None  # the specification is validated
    return spec.substructure.f_sub.draw(generator) * total_mass


def _draw_subhalos(
    spec: Specification,
    total_mass: float,
    geometry: LensingGeometry,
    generator: np.random.Generator,
) -> dict[str, Any]:
    subhalos = spec.substructure.cdm
    if subhalos.count is not None:
        count = round(subhalos.count.draw(generator))
    else:
        mean = _draw_fraction(None, spec, total_mass, generator) / subhalos.mean_mass
        count = min(int(generator.poisson(mean)), spec.subhalo_bound)
    mass_quantiles, radius_quantiles, turns = generator.random((3, count))
    mass = subhalo_masses(subhalos, mass_quantiles)
    inner, outer = subhalos.radius_min, subhalos.radius_max
    if subhalos.radial == "uniform_in_area":
        radius = np.sqrt(inner**2 + (outer**2 - inner**2) * radius_quantiles)
    else:
        radius = inner + (outer - inner) * radius_quantiles
    angle = 2 * math.pi * turns
    return {
        "substructure_mass": float(mass.sum()),
        "subhalo_x": radius * np.cos(angle),
        "subhalo_y": radius * np.sin(angle),
        "subhalo_mass": mass,
        "subhalo_theta_e": _point_mass_radius(mass, geometry),
    }
