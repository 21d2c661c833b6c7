"""Masses of a system, and the Einstein radii that they have in its geometry."""

from __future__ import annotations

import math

import numpy as np

from lenssim.cosmology import LensingGeometry, Numbers, einstein_radius
from lenssim.spec import Prior


def draw_fraction(
    mass: Prior | None, f_sub: Prior | None, total_mass: float, generator: np.random.Generator
) -> float:
    """Draws the mass in substructure, Msun.

    Args:
        mass: prior of the mass itself, Msun, if the specification gives it.
        f_sub: otherwise, prior of its fraction of the Einstein mass.
        total_mass: Einstein mass, Msun.
        generator: random stream of the image.
    """
    if mass is not None:
        return mass.draw(generator)
    assert f_sub is not None  # the specification is validated
    return f_sub.draw(generator) * total_mass


def halo_radius(mass: float, geometry: LensingGeometry) -> float:
    """Effective Einstein radius of the halo, whose deflection is proportional to theta_E."""
    return float(einstein_radius(mass, geometry) * geometry.deflection_scale)


def point_mass_radius(mass: Numbers, geometry: LensingGeometry) -> Numbers:
    """Effective Einstein radius of a point or line mass: deflection proportional to theta_E^2."""
    return einstein_radius(mass, geometry) * math.sqrt(geometry.deflection_scale)
