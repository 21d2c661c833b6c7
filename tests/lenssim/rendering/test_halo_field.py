"""The tiled sum of truncated NFW halos against the plain sum over every halo."""

import math

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel

from lenssim.cosmology import angular_diameter_distance, critical_density, critical_surface_density
from lenssim.profiles.tnfw import alpha_rs, tnfw_deflections, tnfw_total_mass, total_over_m200
from lenssim.profiles.tnfw_table import tnfw_halos, tnfw_tables
from lenssim.rendering.halo_field import REMAINDER, halo_field, subtract_halos
from lenssim.subhalo_structure import dutton_maccio_concentration, scale_radius, with_scatter

NUM_PIX, PIXEL_SCALE, BORDER = 64, 0.1, 2
EDGE = (0.5 * NUM_PIX + BORDER) * PIXEL_SCALE


def population(seed, f_sub):
    """Subhalos of 1e7 to 1e10 Msun within three Einstein radii: x, y, r_s, tau, theta_E^2."""
    generator = np.random.default_rng(seed)
    theta_0, z_lens, z_source, h0, om0 = 1.6645, 0.5, 1.0, 70.0, 0.3
    distances = [
        float(angular_diameter_distance(near, far, h0, om0))
        for near, far in ((0.0, z_lens), (0.0, z_source), (z_lens, z_source))
    ]
    per_area = math.pi * critical_surface_density(*distances)
    low, high, slope = 1e7, 1e10, -0.9
    mean_mass = (high**0.1 - low**0.1) / 0.1 / ((high**slope - low**slope) / slope)
    count = generator.poisson(f_sub * per_area * theta_0**2 / mean_mass)
    m200 = (low**slope + (high**slope - low**slope) * generator.random(count)) ** (1 / slope)
    median = dutton_maccio_concentration(m200, z_lens, h0)
    concentration = with_scatter(median, generator.standard_normal(count))
    tau = generator.uniform(3, 10, count)
    r_s = scale_radius(m200, concentration, critical_density(z_lens, h0, om0), distances[0])
    theta_e_squared = m200 * total_over_m200(concentration, tau) / per_area
    radius = 3 * theta_0 * np.sqrt(generator.random(count))
    angle = generator.uniform(0, 2 * np.pi, count)
    return radius * np.cos(angle), radius * np.sin(angle), r_s, tau, theta_e_squared


def tiled(halos, x, y, num_pix=NUM_PIX, pixel_scale=PIXEL_SCALE):
    field = halo_field(tnfw_halos(*halos), halos[-1], tnfw_tables(), num_pix, pixel_scale, BORDER)
    beta = np.zeros((2, x.size))
    subtract_halos(x, y, field, beta[0], beta[1])
    return -beta


def direct(halos, x, y):
    halo_x, halo_y, r_s, tau, theta_e_squared = halos
    return tnfw_deflections(x, y, halo_x, halo_y, r_s, tau, theta_e_squared / tnfw_total_mass(tau))


def positions(count=4000, seed=5, edge=EDGE):
    return np.random.default_rng(seed).uniform(-edge, edge, (2, count))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("f_sub", [0.003, 0.01, 0.03])
def test_tiles_give_the_plain_sum(f_sub, seed):
    halos = population(seed, f_sub)
    x, y = positions()
    exact = direct(halos, x, y)
    error = np.abs(tiled(halos, x, y) - exact).max()
    # the remainders of many halos add up with random signs
    assert error < 8 * REMAINDER
    assert error < 2e-6 * np.sqrt(np.mean(exact**2))


@pytest.mark.parametrize("theta_e", [0.003, 0.02, 0.2])
@pytest.mark.parametrize("r_s", [0.02, 0.7])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.2, 0.2), (1.234, -2.9), (3.39, 3.39), (5.0, 0.1)])
def test_one_halo_is_right_to_the_remainder(place, r_s, theta_e):
    halos = tuple(np.array([value]) for value in (*place, r_s, 4.0, theta_e**2))
    x, y = positions()
    # rays into its centre as well
    x[:500] = np.clip(place[0] + 0.3 * x[:500], -EDGE, EDGE)
    y[:500] = np.clip(place[1] + 0.3 * y[:500], -EDGE, EDGE)
    assert np.abs(tiled(halos, x, y) - direct(halos, x, y)).max() < REMAINDER


def test_images_of_any_size():
    halos = population(0, 0.01)
    for num_pix, pixel_scale in ((50, 0.08), (17, 0.3), (3, 0.05)):
        x, y = positions(edge=(0.5 * num_pix + BORDER) * pixel_scale)
        error = np.abs(tiled(halos, x, y, num_pix, pixel_scale) - direct(halos, x, y)).max()
        assert error < 8 * REMAINDER


def test_order_of_the_rays_does_not_matter():
    halos = population(1, 0.01)
    x, y = positions(1000)
    order = np.random.default_rng(1).permutation(1000)
    np.testing.assert_allclose(
        tiled(halos, x, y)[:, order], tiled(halos, x[order], y[order]), atol=1e-14
    )


def test_field_is_that_of_lenstronomy():
    halos = population(2, 0.01)
    x, y = positions(300)
    parameters = [
        {
            "Rs": r_s,
            "alpha_Rs": alpha_rs(theta_e_squared, r_s, tau),
            "r_trunc": tau * r_s,
            "center_x": halo_x,
            "center_y": halo_y,
        }
        for halo_x, halo_y, r_s, tau, theta_e_squared in zip(*halos, strict=True)
    ]
    theirs = np.array(LensModel(["TNFW"] * len(parameters)).alpha(x, y, parameters))
    assert np.abs(tiled(halos, x, y) - theirs).max() < 8 * REMAINDER


def test_no_halos_make_no_tiles():
    halos = tuple(np.empty(0) for _ in range(5))
    field = halo_field(tnfw_halos(*halos), halos[-1], tnfw_tables(), NUM_PIX, PIXEL_SCALE, BORDER)
    assert field.tiles_on_a_side == 0
