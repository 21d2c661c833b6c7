"""Mean radial deflection over a ring: what a mass adds to the radius of the Einstein ring.

By Gauss's theorem the mean over the circle |theta| = R of the radial deflection of any mass is

    <alpha . r_hat> = M(inside the circle, in projection) / (pi Sigma_cr R),

with pi Sigma_cr = M / theta_E^2 for a mass of Einstein radius theta_E. So every function here is
theta_E^2 / R times a fraction of a mass. All positions are relative to the centre of the ring.
External shear and multipoles of order 2 and higher about that centre have no mean.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import hyp2f1

from lenssim.compilation import kernel
from lenssim.profiles.tnfw import tnfw_mass

FloatArray = NDArray[np.float64]

_NODE, _WEIGHT = leggauss(8)
_MAX_HALVINGS = 44
"""Halvings of the half circle, after which a piece is 1e-13 of it."""


def point_mass_ring_mean(
    x: ArrayLike, y: ArrayLike, theta_e_squared: ArrayLike, ring_radius: ArrayLike
) -> FloatArray:
    """Mean radial deflection of point masses: theta_E^2 / R inside the ring, nothing outside.

    Args:
        x, y: positions, arcsec.
        theta_e_squared: squared Einstein radii, arcsec^2.
        ring_radius: R, arcsec.

    Returns:
        The mean of each mass in arcsec, shape of the broadcast arguments.
    """
    ring = np.asarray(ring_radius, dtype=np.float64)
    inside = np.hypot(x, y) < ring
    return np.where(inside, np.asarray(theta_e_squared) / ring, 0.0)


def line_mass_ring_mean(
    x: float, y: float, half_x: float, half_y: float, theta_e: float, ring_radius: float
) -> float:
    """Mean radial deflection of a uniform line mass: the share of its length inside the ring.

    The line x_c + t h, -1 <= t <= 1, is inside between the roots t of |x_c + t h|^2 = R^2. The
    branch cut of `vortex_line` is the line itself, so the closed form fulfils Gauss's theorem.

    Args:
        x, y: centre of the line, arcsec.
        half_x, half_y: vector from the centre to one end, arcsec; must not be zero.
        theta_e: Einstein radius of the whole mass, arcsec.
        ring_radius: R, arcsec.

    Returns:
        Mean in arcsec.
    """
    half_length = math.hypot(half_x, half_y)
    along = (x * half_x + y * half_y) / half_length
    across = (x * half_y - y * half_x) / half_length
    if abs(across) >= ring_radius:
        return 0.0
    half_chord = math.sqrt((ring_radius - across) * (ring_radius + across))
    first = max(-half_length, -along - half_chord)
    last = min(half_length, -along + half_chord)
    return theta_e**2 / ring_radius * max(last - first, 0.0) / (2.0 * half_length)


@kernel
def tnfw_ring_mean(x, y, r_s, tau, strength, ring_radius):
    """Mean radial deflection of each of many truncated NFW halos.

    With d the distance of a halo from the ring's centre and s that of a point of the ring from
    the halo, the mean over the half circle of strength m(s / r_s) (R - d cos phi) / s^2. The
    integrand varies over |R - d| near phi = 0: the half circle is halved towards it until the
    last piece is shorter than that, and each piece takes eight Gauss-Legendre nodes.

    Args:
        x, y: positions, arcsec, shape (k,).
        r_s: scale radii, arcsec, shape (k,).
        tau: truncation radii in units of r_s, shape (k,).
        strength: theta_E^2 / tnfw_total_mass(tau) of each halo, arcsec^2, shape (k,).
        ring_radius: R, arcsec.

    Returns:
        The mean of each halo in arcsec, shape (k,); absolute error below 1e-11 theta_E^2 / R.
    """
    means = np.empty(x.shape[0])
    for k in range(x.shape[0]):
        distance = math.hypot(x[k], y[k])
        gap = ring_radius - distance
        narrow = abs(gap) / math.sqrt(max(ring_radius * distance, 1e-300))
        upper = math.pi
        total = 0.0
        for halving in range(_MAX_HALVINGS + 1):
            is_last = upper <= narrow or halving == _MAX_HALVINGS
            lower = 0.0 if is_last else 0.5 * upper
            half = 0.5 * (upper - lower)
            for node in range(_NODE.shape[0]):
                sine = math.sin(0.5 * (lower + half * (1.0 + _NODE[node])))
                versine = 2.0 * sine * sine
                squared = max(gap * gap + 2.0 * ring_radius * distance * versine, 1e-300)
                mass = tnfw_mass(math.sqrt(squared) / r_s[k], tau[k])
                total += _WEIGHT[node] * half * mass * (gap + distance * versine) / squared
            if is_last:
                break
            upper = lower
        means[k] = strength[k] * total / math.pi
    return means


def power_law_ring_factor(axis_ratio: ArrayLike, slope: ArrayLike) -> FloatArray:
    """Mean radial deflection of an elliptical power law over |theta| = theta_E, over theta_E.

    The mean of (q cos^2 + sin^2 / q)^(-t / 2), t = slope - 1, is Laplace's integral of the
    Legendre function P_(-t/2)((q + 1/q) / 2): 1 for a circle, 0.9896 for q = 2/3 and slope 2. Over
    a circle of another radius R the mean is this times theta_E^t R^(1 - t).

    Args:
        axis_ratio: q, in (0, 1].
        slope: of the three-dimensional density, in (1, 3).
    """
    q = np.asarray(axis_ratio, dtype=np.float64)
    half_t = 0.5 * (np.asarray(slope, dtype=np.float64) - 1.0)
    return hyp2f1(half_t, 1.0 - half_t, 1.0, -((1.0 - q) ** 2) / (4.0 * q))


def neutral_einstein_radius(
    ring_radius: ArrayLike, substructure_mean: ArrayLike, axis_ratio: ArrayLike, slope: ArrayLike
) -> FloatArray:
    """Einstein radius of the halo that leaves the ring of halo and substructure unchanged.

    The mean radial deflection over |theta| = theta_0 of halo and substructure together is made
    that of the smooth lens with theta_E = theta_0. At a fixed radius the deflection of the halo
    goes as theta_E^(slope - 1), so

        theta_E = theta_0 (1 - mean / (factor theta_0))^(1 / (slope - 1)),

    which is theta_0 - mean for a singular isothermal sphere.

    Args:
        ring_radius: theta_0, arcsec.
        substructure_mean: summed mean radial deflection of the substructure over it, arcsec.
        axis_ratio, slope: of the halo.

    Returns:
        Einstein radius in arcsec; NaN where the substructure outweighs the lens.
    """
    share = np.asarray(substructure_mean) / (
        power_law_ring_factor(axis_ratio, slope) * np.asarray(ring_radius)
    )
    with np.errstate(invalid="ignore"):
        return ring_radius * (1.0 - share) ** (1.0 / (np.asarray(slope) - 1.0))
