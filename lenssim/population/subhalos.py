"""The CDM class: subhalos with a power-law mass function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lenssim.cosmology import LensingGeometry
from lenssim.population.lens_system import FloatArray
from lenssim.population.masses import draw_fraction, point_mass_radius
from lenssim.spec import Specification, Subhalos


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


def draw_subhalos(
    spec: Specification,
    total_mass: float,
    geometry: LensingGeometry,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """The subhalos of an image: the fields of `LensSystem` that they have, by name."""
    subhalos = spec.substructure.cdm
    if subhalos.count is not None:
        count = round(subhalos.count.draw(generator))
    else:
        mean = draw_fraction(None, spec, total_mass, generator) / subhalos.mean_mass
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
        "subhalo_theta_e": point_mass_radius(mass, geometry),
    }
