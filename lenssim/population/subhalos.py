"""The CDM class: subhalos with a power-law mass function."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.legendre import leggauss

from lenssim.cosmology import critical_density
from lenssim.errors import SpecError
from lenssim.population.lens_and_source import SmoothLens
from lenssim.population.lens_system import FloatArray
from lenssim.population.masses import draw_fraction, point_mass_radius
from lenssim.profiles.tnfw import total_over_m200
from lenssim.spec import Prior, Specification, Subhalos
from lenssim.subhalo_structure import median_concentration, scale_radius, with_scatter

_MASS_NODES, _SCATTER_NODES, _TRUNCATION_VALUES = 12, 7, 101
"""Points at which the mean mass of truncated halos is taken: within 0.1%."""


def subhalo_masses(
    subhalos: Subhalos, quantiles: FloatArray, slope: float | None = None
) -> FloatArray:
    """Masses at quantiles of the mass function, in solar masses, by inverting its integral.

    Args:
        subhalos: mass function dN/dM ~ M^slope between mass_min and mass_max.
        quantiles: in [0, 1), any shape.
        slope: of an image; the steepest of the specification if not given.
    """
    low, high = subhalos.mass_min, subhalos.mass_max
    exponent = (subhalos.slope.support[0] if slope is None else slope) + 1
    if abs(exponent) < 1e-12:
        return low * (high / low) ** quantiles
    return (low**exponent + (high**exponent - low**exponent) * quantiles) ** (1 / exponent)


def mean_subhalo_mass(
    subhalos: Subhalos,
    slope: float,
    z_lens: float = math.nan,
    h0: float = math.nan,
    om0: float = math.nan,
) -> float:
    """Mean lensing mass of a subhalo: that of a point, or the total mass of a truncated halo.

    Args:
        subhalos: mass function, concentrations and truncations.
        slope: of the mass function.
        z_lens, h0, om0: which concentrations depend on; for truncated halos alone.

    Returns:
        Solar masses.
    """
    if subhalos.profile == "point":
        return subhalos.mean_mass_at(slope)
    assert subhalos.concentration is not None  # the specification is validated
    assert subhalos.truncation is not None
    node, weight = leggauss(_MASS_NODES)
    middle, half = (
        0.5 * (math.log(subhalos.mass_max) + sign * math.log(subhalos.mass_min)) for sign in (1, -1)
    )
    mass = np.exp(middle + half * node)
    numbers = weight * mass ** (slope + 1)
    deviate, chance = hermegauss(_SCATTER_NODES)
    median = median_concentration(subhalos.concentration.relation, mass, z_lens, h0, om0)
    concentration = with_scatter(median[:, np.newaxis], deviate, subhalos.concentration.scatter_dex)
    tau = _typical_values(subhalos.truncation)
    ratio = total_over_m200(concentration[..., np.newaxis], tau).mean(axis=-1)
    ratio = ratio @ (chance / chance.sum())
    return float((numbers * mass * ratio).sum() / numbers.sum())


@lru_cache(maxsize=64)
def _typical_values(prior: Prior) -> FloatArray:
    """Evenly spaced quantiles of a prior, the same in every process."""
    draws = np.sort(prior.draw_many(np.random.default_rng(0), 100 * _TRUNCATION_VALUES))
    return draws[50::100]


def expected_count(
    spec: Specification, lens: SmoothLens, substructure_fraction: float, slope: float
) -> float:
    """Mean number of subhalos of an image.

    Args:
        spec: its subhalos, whose number is not given.
        lens: that they are in.
        substructure_fraction: f_sub of the image.
        slope: of the mass function.

    Raises:
        SpecError: if those inside theta_0 count and there is no place for any.
    """
    subhalos = spec.substructure.cdm
    z_lens, cosmology = lens.fields["lens_redshift"], spec.cosmology
    count = substructure_fraction * lens.total_mass
    count /= mean_subhalo_mass(subhalos, slope, z_lens, cosmology.H0, cosmology.Om0)
    if subhalos.f_sub_counts == "all":
        return count
    inner, outer = subhalos.radius_min, subhalos.radius_max.arcsec(lens.theta_0)
    if inner >= lens.theta_0:
        raise SpecError(
            f"{spec.name}: substructure.cdm.radius_min = {inner:g} is outside the Einstein radius "
            f"of {lens.theta_0:.3g} arcsec, inside which f_sub counts: lower it."
        )
    power = 2 if subhalos.radial == "uniform_in_area" else 1
    inside = min(outer, lens.theta_0) ** power - inner**power
    return count * (outer**power - inner**power) / inside


def draw_subhalos(
    spec: Specification, lens: SmoothLens, f_sub: Prior | None, generator: np.random.Generator
) -> dict[str, Any]:
    """The subhalos of an image: the fields of `LensSystem` that they have, by name.

    Args:
        spec: their priors.
        lens: that they are in, about its centre.
        f_sub: fraction of the Einstein mass in subhalos, where their number is not given.
        generator: the image's own stream.
    """
    subhalos = spec.substructure.cdm
    slope = subhalos.slope.draw(generator)
    if subhalos.count is not None:
        count = round(subhalos.count.draw(generator))
    else:
        fraction = draw_fraction(None, f_sub, 1.0, generator)
        mean = expected_count(spec, lens, fraction, slope)
        count = min(int(generator.poisson(mean)), spec.subhalo_bound)
    mass_quantiles, radius_quantiles, turns = generator.random((3, count))
    mass = subhalo_masses(subhalos, mass_quantiles, slope)
    inner, outer = subhalos.radius_min, subhalos.radius_max.arcsec(lens.theta_0)
    if subhalos.radial == "uniform_in_area":
        radius = np.sqrt(inner**2 + (outer**2 - inner**2) * radius_quantiles)
    else:
        radius = inner + (outer - inner) * radius_quantiles
    angle = 2 * math.pi * turns
    fields = {
        "subhalo_x": lens.fields["lens_x"] + radius * np.cos(angle),
        "subhalo_y": lens.fields["lens_y"] + radius * np.sin(angle),
        "subhalo_mass": mass,
    }
    total = mass
    if subhalos.profile == "tnfw":
        structure = _structure(spec, lens, mass, generator)
        concentration, tau = structure["subhalo_concentration"], structure["subhalo_truncation"]
        total = mass * total_over_m200(concentration, tau)
        fields |= structure
    fields["subhalo_theta_e"] = point_mass_radius(total, lens.geometry)
    return {"substructure_mass": float(total.sum()), **fields}


def _structure(
    spec: Specification, lens: SmoothLens, mass: FloatArray, generator: np.random.Generator
) -> dict[str, Any]:
    """Concentrations, truncations and scale radii of truncated NFW halos of masses M200."""
    subhalos, cosmology = spec.substructure.cdm, spec.cosmology
    assert subhalos.concentration is not None  # the specification is validated
    assert subhalos.truncation is not None
    z_lens = lens.fields["lens_redshift"]
    relation = subhalos.concentration.relation
    median = median_concentration(relation, mass, z_lens, cosmology.H0, cosmology.Om0)
    deviates = generator.standard_normal(len(mass))
    concentration = with_scatter(median, deviates, subhalos.concentration.scatter_dex)
    density = critical_density(z_lens, cosmology.H0, cosmology.Om0)
    return {
        "subhalo_concentration": concentration,
        "subhalo_truncation": subhalos.truncation.draw_many(generator, len(mass)),
        "subhalo_r_s": scale_radius(mass, concentration, density, lens.geometry.lens),
    }
