"""The axion class: one vortex line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lenssim.cosmology import (
    LensingGeometry,
    de_broglie_wavelength,
    einstein_radius,
    velocity_dispersion,
)
from lenssim.population.lens_system import FloatArray, LensSystem
from lenssim.population.masses import draw_fraction, point_mass_radius
from lenssim.spec import Specification


def draw_vortex(
    spec: Specification,
    total_mass: float,
    geometry: LensingGeometry,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """A vortex line of the axion class: the fields of `LensSystem` that it has, by name."""
    vortex = spec.substructure.axion
    axion_mass = vortex.axion_mass.draw(generator)
    angle = vortex.angle.draw(generator)
    x, y = vortex.x.draw(generator), vortex.y.draw(generator)
    mass = draw_fraction(vortex.mass, spec, total_mass, generator)
    if vortex.length_at_1e_22_ev is None:
        sigma_v = velocity_dispersion(einstein_radius(total_mass, geometry), geometry)
        length = float(de_broglie_wavelength(axion_mass, sigma_v, geometry))
    else:
        length = vortex.length_at_1e_22_ev * 1e-22 / axion_mass
    return {
        "axion_mass": axion_mass,
        "substructure_mass": mass,
        "vortex_theta_e": float(point_mass_radius(mass, geometry)),
        "vortex_length": length,
        "vortex_angle": angle,
        "vortex_x": x,
        "vortex_y": y,
    }


def vortex_as_point_masses(
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
