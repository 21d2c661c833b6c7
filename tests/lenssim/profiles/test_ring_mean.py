"""Means over the ring: closed forms against the mean of the deflection itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from lenssim.profiles.elliptical_power_law import angular_series, elliptical_power_law
from lenssim.profiles.ring_mean import (
    line_mass_ring_mean,
    neutral_einstein_radius,
    point_mass_ring_mean,
    power_law_ring_factor,
    tnfw_ring_mean,
)
from lenssim.profiles.tnfw import tnfw, tnfw_deflections, tnfw_total_mass
from lenssim.rendering.deflection import point_mass, vortex_line

RING = 1.6645


def ring_mean(deflection, breaks=()):
    """Mean of alpha . r_hat over |theta| = RING, by adaptive quadrature between the breaks."""

    def radial(phi):
        alpha_x, alpha_y = deflection(RING * math.cos(phi), RING * math.sin(phi))
        return alpha_x * math.cos(phi) + alpha_y * math.sin(phi)

    edges = sorted({-math.pi, math.pi, *((b + math.pi) % (2 * math.pi) - math.pi for b in breaks)})
    return sum(
        quad(radial, low, high, epsabs=1e-14, epsrel=1e-13, limit=2000)[0]
        for low, high in pairwise(edges)
    ) / (2 * math.pi)


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.6, 1.664, 1.665, 1.8, 4.0])
def test_point_mass(radius):
    theta_e, angle = 0.02, 0.7
    x, y = radius * math.cos(angle), radius * math.sin(angle)
    brute = ring_mean(lambda u, v: point_mass(u - x, v - y, theta_e**2), [angle])
    ours = point_mass_ring_mean(x, y, theta_e**2, RING)
    assert ours == pytest.approx(brute, abs=1e-10)
    assert ours == (theta_e**2 / RING if radius < RING else 0.0)


LINES = {
    "inside": (0.1, 0.2, 0.6, 0.3, 1.0),
    "outside": (2.5, 0.2, 0.4, 0.8, 0.0),
    "through": (0.3, -0.4, 3.0, 4.0, None),
    "one end inside": (1.5, 0.0, 0.4, 0.3, None),
    "far and parallel": (0.0, 2.0, 30.0, 0.0, 0.0),
    "across the edge": (1.3, 0.9, -0.3, 0.8, None),
    "short, on the ring": (RING, 0.0, 1e-3, 2e-3, None),
    "radial, half inside": (RING, 0.0, 0.01, 0.0, 0.5),
    "very long": (0.0, 0.0, 500.0, 10.0, None),
}


@pytest.mark.parametrize("name", LINES)
def test_line_mass(name):
    x, y, half_x, half_y, fraction = LINES[name]
    theta_e = 0.17
    # where the line crosses the ring the radial deflection jumps
    t = np.roots([half_x**2 + half_y**2, 2 * (x * half_x + y * half_y), x**2 + y**2 - RING**2])
    crossings = [
        math.atan2(y + root.real * half_y, x + root.real * half_x)
        for root in t
        if abs(root.imag) < 1e-12 and abs(root.real) <= 1
    ]
    near = [math.atan2(y + s * half_y, x + s * half_x) for s in (-1, 0, 1)]
    brute = ring_mean(
        lambda u, v: vortex_line(u - x, v - y, theta_e, half_x, half_y), crossings + near
    )
    ours = line_mass_ring_mean(x, y, half_x, half_y, theta_e, RING)
    assert ours == pytest.approx(brute, abs=1e-9)
    if fraction is not None:
        assert ours == pytest.approx(fraction * theta_e**2 / RING, rel=1e-12)


@pytest.mark.parametrize("tau", [3.0, 10.0])
@pytest.mark.parametrize("r_s", [0.01, 0.1, 0.8])
@pytest.mark.parametrize("distance", [0.0, 0.4, 1.5, 1.66, RING, 1.6646, 1.75, 2.4, 6.0])
def test_tnfw(distance, r_s, tau):
    theta_e_squared, angle = 0.02**2, -0.4
    x, y = distance * math.cos(angle), distance * math.sin(angle)
    strength = theta_e_squared / tnfw_total_mass(tau)
    brute = ring_mean(lambda u, v: tnfw(u - x, v - y, r_s, tau, strength), [angle])
    halo = (np.array([value]) for value in (x, y, r_s, tau, theta_e_squared))
    ours = tnfw_ring_mean(*halo, RING)
    assert ours[0] == pytest.approx(brute, abs=1e-9 * theta_e_squared / RING)


def test_compact_tnfw_is_a_point_mass():
    theta_e_squared = 0.02**2
    for distance, expected in ((1.0, theta_e_squared / RING), (2.4, 0.0)):
        halo = (np.array([value]) for value in (distance, 0.3, 1e-5, 3.0, theta_e_squared))
        np.testing.assert_allclose(
            tnfw_ring_mean(*halo, RING), expected, atol=1e-7 * theta_e_squared
        )


@pytest.mark.parametrize("slope", [1.5, 1.9, 2.0, 2.2])
@pytest.mark.parametrize("axis_ratio", [1.0, 0.8, 0.5, 0.2])
def test_elliptical_power_law(axis_ratio, slope):
    theta_e = 1.2
    lens = (theta_e, slope, axis_ratio, math.cos(0.3), math.sin(0.3))
    series = angular_series(axis_ratio, slope)
    brute = ring_mean(lambda u, v: elliptical_power_law(u, v, *lens, series))
    ours = power_law_ring_factor(axis_ratio, slope) * theta_e ** (slope - 1) * RING ** (2 - slope)
    assert ours == pytest.approx(brute, rel=1e-11)


@pytest.mark.parametrize(("slope", "axis_ratio"), [(2.0, 1.0), (2.0, 0.7), (1.85, 0.6), (2.2, 0.9)])
def test_ring_of_halo_and_substructure_is_that_of_the_smooth_lens(slope, axis_ratio):
    masses = [(0.3, 0.9, 0.05), (1.2, -0.8, 0.08), (-1.5, 1.9, 0.2)]
    line = (0.9, 0.4, 0.8, 0.9, 0.17)
    mean = line_mass_ring_mean(*line, RING)
    mean += sum(point_mass_ring_mean(x, y, theta_e**2, RING) for x, y, theta_e in masses)
    theta_e = neutral_einstein_radius(RING, mean, axis_ratio, slope)
    series = angular_series(axis_ratio, slope)

    def halo(u, v, radius):
        return np.array(elliptical_power_law(u, v, radius, slope, axis_ratio, 0.8, 0.6, series))

    def lens(u, v):
        alpha = halo(u, v, theta_e)
        alpha += vortex_line(u - line[0], v - line[1], line[4], line[2], line[3])
        for x, y, radius in masses:
            alpha += point_mass(u - x, v - y, radius**2)
        return alpha

    crossing = [math.atan2(0.4 + t * 0.9, 0.9 + t * 0.8) for t in (-1.0, 0.0, 0.5, 0.7, 1.0)]
    smooth = ring_mean(lambda u, v: halo(u, v, RING))
    assert abs(ring_mean(lens, crossing) - smooth) < 1e-8 * RING


def test_ring_of_a_population_of_halos_is_that_of_the_smooth_lens():
    generator = np.random.default_rng(4)
    count, slope, axis_ratio = 60, 2.1, 0.75
    radius, angle = 5.0 * np.sqrt(generator.random(count)), generator.uniform(0, 2 * np.pi, count)
    radius[0] = RING + 1e-4  # one that the ring all but runs through
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    r_s, tau = generator.uniform(0.02, 0.5, count), generator.uniform(3, 10, count)
    theta_e_squared = generator.uniform(0.003, 0.06, count) ** 2
    mean = tnfw_ring_mean(x, y, r_s, tau, theta_e_squared, RING).sum()
    assert mean > 1e-3
    theta_e = neutral_einstein_radius(RING, mean, axis_ratio, slope)

    phi = (np.arange(60_000) + 0.5) * (2 * np.pi / 60_000)
    u, v = np.cos(phi), np.sin(phi)
    alpha = tnfw_deflections(
        RING * u, RING * v, x, y, r_s, tau, theta_e_squared / tnfw_total_mass(tau)
    )
    halo_mean = power_law_ring_factor(axis_ratio, slope) * theta_e ** (slope - 1)
    halo_mean *= RING ** (2 - slope)
    total = np.mean(alpha[0] * u + alpha[1] * v) + halo_mean
    assert abs(total - power_law_ring_factor(axis_ratio, slope) * RING) < 1e-9 * RING


def test_isothermal_sphere_gives_up_the_mean():
    assert neutral_einstein_radius(1.6, 0.02, 1.0, 2.0) == pytest.approx(1.58, rel=1e-14)


def test_substructure_that_outweighs_the_lens_leaves_no_halo():
    assert math.isnan(neutral_einstein_radius(1.6, 1.7, 1.0, 2.1))
