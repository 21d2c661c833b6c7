"""The size of the Einstein ring, which must not tell the class of a lens.

The mean radial deflection over the circle of radius theta_0 about the lens decides how large the
ring is. A lens is ring-neutral where it is that of the lens without substructure:

    theta_E,halo = theta_0 - < alpha_sub . r_hat >_(|theta| = theta_0)

for an isothermal sphere, and `profiles.ring_mean.neutral_einstein_radius` for any other halo.
"""

from __future__ import annotations

import math

from lenssim.population.lens_system import LensSystem, replaced
from lenssim.population.vortex import vortex_as_point_masses
from lenssim.profiles.ellipticity import axis_ratio_and_angle
from lenssim.profiles.ring_mean import (
    line_mass_ring_mean,
    neutral_einstein_radius,
    point_mass_ring_mean,
    power_law_ring_factor,
    tnfw_ring_mean,
)


def substructure_ring_mean(system: LensSystem, vortex_point_masses: int | None = None) -> float:
    """Mean radial deflection of the substructure over the circle of theta_0 about the lens.

    Args:
        system: with its substructure; theta_0 is its `smooth_theta_e`.
        vortex_point_masses: how many the vortex is made of; None for a line.

    Returns:
        Mean in arcsec.
    """
    radius = system.smooth_theta_e
    mean = 0.0
    x, y = system.subhalo_x - system.lens_x, system.subhalo_y - system.lens_y
    squared = system.subhalo_theta_e**2
    if system.subhalo_r_s.size > 0:
        r_s, tau = system.subhalo_r_s, system.subhalo_truncation
        mean += float(tnfw_ring_mean(x, y, r_s, tau, squared, radius).sum())
    elif x.size > 0:
        mean += float(point_mass_ring_mean(x, y, squared, radius).sum())
    if system.vortex_theta_e > 0:
        if vortex_point_masses is None:
            mean += _line_mean(system, radius)
        else:
            x, y, squared = vortex_as_point_masses(system, vortex_point_masses)
            means = point_mass_ring_mean(x - system.lens_x, y - system.lens_y, squared, radius)
            mean += float(means.sum())
    return mean


def _line_mean(system: LensSystem, radius: float) -> float:
    half = 0.5 * system.vortex_length
    return line_mass_ring_mean(
        system.vortex_x - system.lens_x,
        system.vortex_y - system.lens_y,
        half * math.cos(system.vortex_angle),
        half * math.sin(system.vortex_angle),
        system.vortex_theta_e,
        radius,
    )


def ring_neutral(system: LensSystem, vortex_point_masses: int | None = None) -> LensSystem:
    """The system with the halo that leaves its ring as large as without substructure.

    Args: those of `substructure_ring_mean`.

    Returns:
        With `ring_radius` = theta_0; `lens_theta_e` is not positive where the substructure
        outweighs the lens.
    """
    mean = substructure_ring_mean(system, vortex_point_masses)
    theta_0 = system.smooth_theta_e
    theta_e = theta_0
    if mean != 0.0:
        axis_ratio, _ = axis_ratio_and_angle(system.lens_e1, system.lens_e2)
        theta_e = float(neutral_einstein_radius(theta_0, mean, axis_ratio, system.lens_slope))
    return replaced(system, lens_theta_e=theta_e, ring_radius=theta_0)


def measured_ring_radius(system: LensSystem, vortex_point_masses: int | None = None) -> float:
    """Einstein radius of the lens without substructure whose ring is as large.

    At a fixed radius the mean radial deflection of a power law goes as theta_E^(slope - 1).

    Args: those of `substructure_ring_mean`.

    Returns:
        Radius in arcsec.
    """
    mean = substructure_ring_mean(system, vortex_point_masses)
    if mean == 0.0:
        return system.lens_theta_e
    theta_0, power = system.smooth_theta_e, system.lens_slope - 1.0
    axis_ratio, _ = axis_ratio_and_angle(system.lens_e1, system.lens_e2)
    factor = float(power_law_ring_factor(axis_ratio, system.lens_slope))
    halo = (system.lens_theta_e / theta_0) ** power
    return theta_0 * (halo + mean / (factor * theta_0)) ** (1.0 / power)
