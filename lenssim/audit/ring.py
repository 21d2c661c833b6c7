"""Ring radii of lenses with their substructure, from the columns of an archive alone.

The ring radius of an image is theta_0 times the mean radial deflection of halo and substructure
over |theta| = theta_0, in units of that of the smooth lens there.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.population import LensSystem
from lenssim.profiles.ring_mean import (
    line_mass_ring_mean,
    point_mass_ring_mean,
    power_law_ring_factor,
    tnfw_ring_mean,
)


def ring_excess(system: LensSystem) -> float:
    """Relative difference of the radius of the ring from that of the smooth lens.

    Args:
        system: whose `smooth_theta_e` is theta_0, about its `lens_x`, `lens_y`.
    """
    theta_0 = system.smooth_theta_e
    factor = float(power_law_ring_factor(_axis_ratio(system), system.lens_slope))
    halo = factor * (system.lens_theta_e / theta_0) ** (system.lens_slope - 1.0)
    return halo / factor - 1.0 + substructure_ring_mean(system) / (factor * theta_0)


def substructure_ring_mean(system: LensSystem) -> float:
    """Mean radial deflection of the substructure over |theta| = `smooth_theta_e`, arcsec."""
    theta_0 = system.smooth_theta_e
    total = 0.0
    if system.vortex_theta_e > 0.0:
        half = 0.5 * system.vortex_length
        total += line_mass_ring_mean(
            system.vortex_x - system.lens_x,
            system.vortex_y - system.lens_y,
            half * math.cos(system.vortex_angle),
            half * math.sin(system.vortex_angle),
            system.vortex_theta_e,
            theta_0,
        )
    x, y = system.subhalo_x - system.lens_x, system.subhalo_y - system.lens_y
    squared = system.subhalo_theta_e**2
    if len(system.subhalo_r_s):
        r_s, tau = system.subhalo_r_s, system.subhalo_truncation
        total += float(tnfw_ring_mean(x, y, r_s, tau, squared, theta_0).sum())
    elif len(x):
        total += float(point_mass_ring_mean(x, y, squared, theta_0).sum())
    return total


def _axis_ratio(system: LensSystem) -> float:
    ellipticity = float(np.hypot(system.lens_e1, system.lens_e2))
    return (1.0 - ellipticity) / (1.0 + ellipticity)
