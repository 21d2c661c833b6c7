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
from lenssim.profiles.tnfw_table import deflection_over_radius, tnfw_halos, tnfw_tables

FloatArray = NDArray[np.float64]

_NODES = 8
"""Gauss-Legendre nodes on each piece of the half circle."""

_HALVINGS = 40
"""Halvings of the half circle, after which a piece is 1e-12 of it."""


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


def tnfw_ring_mean(
    x: FloatArray,
    y: FloatArray,
    r_s: FloatArray,
    tau: FloatArray,
    theta_e_squared: FloatArray,
    ring_radius: float,
) -> FloatArray:
    """Mean radial deflection of each of many truncated NFW halos.

    Args:
        x, y: positions, arcsec, shape (k,).
        r_s: scale radii, arcsec, shape (k,).
        tau: truncation radii in units of r_s, shape (k,).
        theta_e_squared: squared Einstein radii of the total masses, arcsec^2, shape (k,).
        ring_radius: R, arcsec.

    Returns:
        The mean of each halo in arcsec, shape (k,); error below 1e-9 theta_E^2 / R.
    """
    return _halo_means(tnfw_halos(x, y, r_s, tau, theta_e_squared), tnfw_tables(), ring_radius)


def _graded_half_circle() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights for the mean over the half circle, refined towards phi = 0.

    Returns:
        1 - cos(phi) at the nodes and the weights, shape (2, `_HALVINGS` + 1, nodes): [0, k] is for
        pi 2^-(k + 1) < phi < pi 2^-k, and [1, k] for all of phi < pi 2^-k.
    """
    node, weight = leggauss(_NODES)
    upper = math.pi * 0.5 ** np.arange(_HALVINGS + 1)[:, np.newaxis]
    phi = np.stack([upper * (0.75 + 0.25 * node), upper * (0.5 + 0.5 * node)])
    weights = np.stack([0.25 * upper * weight, 0.5 * upper * weight]) / math.pi
    return 2.0 * np.sin(0.5 * phi) ** 2, weights


_VERSINE, _WEIGHT = _graded_half_circle()


@kernel
def _halo_means(halos, tables, ring_radius):
    """Mean radial deflection of halos, as rows of `tnfw_halos`, over the ring about the origin.

    With d the distance of a halo from the centre and s that of a point of the ring from the halo,
    the integrand is alpha / s (R - d cos phi). It varies over |R - d| near phi = 0: the half circle
    is halved towards it until the last piece is shorter than that.
    """
    means = np.empty(halos.shape[0])
    squared = np.empty((_HALVINGS + 1) * _NODES)
    lever = np.empty(squared.shape[0])
    ratio = np.empty(squared.shape[0])
    first = np.empty(squared.shape[0])
    second = np.empty(squared.shape[0])
    for k in range(halos.shape[0]):
        distance = math.hypot(halos[k, 0], halos[k, 1])
        gap = ring_radius - distance
        # the angle over which the distance s doubles
        narrow = max(abs(gap) / math.sqrt(max(ring_radius * distance, 1e-300)), 1e-300)
        last = min(max(math.ceil(math.log2(math.pi / narrow)), 0), _HALVINGS)
        count = (last + 1) * _NODES
        for i in range(count):
            piece = i // _NODES
            versine = _VERSINE[1 if piece == last else 0, piece, i % _NODES]
            squared[i] = gap * gap + 2.0 * ring_radius * distance * versine
            lever[i] = gap + distance * versine
        deflection_over_radius(
            squared[:count], halos[k], tables, first[:count], second[:count], ratio[:count]
        )
        total = 0.0
        for i in range(count):
            piece = i // _NODES
            total += _WEIGHT[1 if piece == last else 0, piece, i % _NODES] * ratio[i] * lever[i]
        means[k] = total
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
        Einstein radius in arcsec; NaN if the substructure outweighs the lens.
    """
    share = np.asarray(substructure_mean) / (
        power_law_ring_factor(axis_ratio, slope) * np.asarray(ring_radius)
    )
    with np.errstate(invalid="ignore"):
        return ring_radius * (1.0 - share) ** (1.0 / (np.asarray(slope) - 1.0))
