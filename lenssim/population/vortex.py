"""The axion class: one vortex line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lenssim.cosmology import (
    de_broglie_wavelength,
    einstein_radius,
    velocity_dispersion,
)
from lenssim.population.lens_and_source import SmoothLens
from lenssim.population.lens_system import FloatArray, LensSystem
from lenssim.population.masses import draw_fraction, point_mass_radius
from lenssim.spec import Prior, Specification


def draw_vortex(
    spec: Specification, lens: SmoothLens, f_sub: Prior | None, generator: np.random.Generator
) -> dict[str, Any]:
    """A vortex line of the axion class: the fields of `LensSystem` that it has, by name.

    Args:
        spec: its priors.
        lens: that the vortex is in, about its centre.
        f_sub: fraction of the Einstein mass in the vortex, if it has no mass of its own.
        generator: the image's own stream.
    """
    total_mass, geometry = lens.total_mass, lens.geometry
    vortex = spec.substructure.axion
    axion_mass = vortex.axion_mass.draw(generator)
    angle = vortex.angle.draw(generator)
    x, y = vortex.x.draw(generator), vortex.y.draw(generator)
    mass = draw_fraction(vortex.mass, f_sub, total_mass, generator)
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
        "vortex_x": x + lens.fields["lens_x"],
        "vortex_y": y + lens.fields["lens_y"],
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
