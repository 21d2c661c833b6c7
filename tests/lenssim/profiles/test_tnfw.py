"""Truncated NFW halos, closed and tabulated, against lenstronomy's TNFW and their limits."""

import math

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel
from scipy.integrate import quad

from lenssim.profiles.tnfw import (
    alpha_rs,
    nfw_mass,
    tnfw,
    tnfw_convergence,
    tnfw_deflections,
    tnfw_hessian,
    tnfw_mass,
    tnfw_total_mass,
    total_over_m200,
)
from lenssim.profiles.tnfw_table import deflection_over_radius, tnfw_halos, tnfw_tables

# lenstronomy's closed form cancels towards the centre, where it loses digits as 1 / x^3
RADII = np.concatenate([np.logspace(-1.3, 3, 100), [1.0, 1 - 1e-9, 1 + 1e-9, 0.949, 0.951, 1.049]])
TAUS = (1.0, 3.0, 5.5, 10.0, 100.0)
R_S, THETA_E_SQUARED = 0.07, 0.02**2


def strength(tau):
    return THETA_E_SQUARED / tnfw_total_mass(tau)


def lenstronomy_model(tau):
    parameters = {
        "Rs": R_S,
        "alpha_Rs": float(alpha_rs(THETA_E_SQUARED, R_S, tau)),
        "r_trunc": tau * R_S,
    }
    return LensModel(["TNFW"]), [parameters]


def density(radius, tau):
    """4 pi rho r^2 / (4 pi rho_s r_s^3), radius in units of r_s."""
    return radius / (1 + radius) ** 2 * tau**2 / (radius**2 + tau**2)


@pytest.mark.parametrize("tau", TAUS)
def test_deflection_is_that_of_lenstronomy(tau):
    radius = RADII * R_S
    ours = np.array([tnfw(r * 0.6, r * 0.8, R_S, tau, strength(tau)) for r in radius]).T
    model, parameters = lenstronomy_model(tau)
    theirs = np.array(model.alpha(radius * 0.6, radius * 0.8, parameters))
    assert np.all(np.abs(ours - theirs) < 2e-11 * np.abs(theirs))


@pytest.mark.parametrize("tau", TAUS)
def test_mass_near_the_centre_is_the_integral_of_the_convergence(tau):
    for x in (1e-5, 1e-3, 0.05, 0.19, 0.21, 0.9):
        per_shell, _ = quad(
            lambda t: math.exp(2 * t) * tnfw_convergence(math.exp(t), 0.0, 1.0, tau, 2.0),
            math.log(x) - 20,
            math.log(x),
            epsabs=0,
            epsrel=1e-12,
        )
        assert tnfw_mass(x, tau) == pytest.approx(per_shell, rel=1e-11)


@pytest.mark.parametrize("tau", TAUS)
def test_hessian_is_that_of_lenstronomy(tau):
    near_one = np.abs(RADII - 1) < 1e-6  # 0 / 0 in lenstronomy
    radius = RADII[(RADII < 100) & ~near_one] * R_S
    ours = np.array([tnfw_hessian(r * 0.6, -r * 0.8, R_S, tau, strength(tau)) for r in radius]).T
    model, parameters = lenstronomy_model(tau)
    f_xx, f_xy, _, f_yy = model.hessian(radius * 0.6, -radius * 0.8, parameters)
    size = np.abs(f_xx) + np.abs(f_yy)
    for mine, theirs in zip(ours, (f_xx, f_xy, f_yy), strict=True):
        assert np.all(np.abs(mine - theirs) < 2e-11 * size)


@pytest.mark.parametrize("tau", TAUS)
def test_convergence_is_the_slope_of_the_projected_mass(tau):
    # M(R + dR) - M(R - dR) = 2 pi R Sigma 2 dR, across x = 1 and the borders of the series
    for x in (0.01, 0.3, 0.9486, 0.95, 0.9999999, 1.0, 1.0488, 1.05, 3.0):
        step = 1e-5 * x
        slope = (tnfw_mass(x + step, tau) - tnfw_mass(x - step, tau)) / (2 * step)
        kappa = tnfw_convergence(x * R_S, 0.0, R_S, tau, strength(tau))
        assert kappa == pytest.approx(0.5 * strength(tau) / R_S**2 * slope / x, rel=1e-8)


@pytest.mark.parametrize("tau", TAUS)
def test_total_mass_is_the_integral_of_the_density(tau):
    mass, _ = quad(lambda t: density(math.exp(t), tau) * math.exp(t), -30, 30, limit=200)
    assert tnfw_total_mass(tau) == pytest.approx(mass, rel=1e-9)


@pytest.mark.parametrize("tau", TAUS)
def test_projected_mass_tends_to_the_total(tau):
    # beyond the truncation Sigma falls as R^-4, so what is missing falls as R^-2
    total = tnfw_total_mass(tau)
    missing = [total - tnfw_mass(x * tau, tau) for x in (100.0, 1000.0)]
    assert 0 < missing[1] < missing[0] < 2e-3 * total
    assert missing[0] / missing[1] == pytest.approx(100, rel=0.05)


def test_halo_without_truncation_is_an_nfw_halo():
    tau = 1e5
    radius = np.logspace(-2, 1, 30) * R_S
    ours = np.array([tnfw(r, 0.0, R_S, tau, strength(tau))[0] for r in radius])
    parameters = [{"Rs": R_S, "alpha_Rs": float(alpha_rs(THETA_E_SQUARED, R_S, tau))}]
    theirs, _ = LensModel(["NFW"]).alpha(radius, 0 * radius, parameters)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_nfw_mass_is_the_integral_of_the_density():
    mass, _ = quad(lambda radius: radius / (1 + radius) ** 2, 0, 12.0)
    assert nfw_mass(12.0) == pytest.approx(mass, rel=1e-12)


def test_truncation_at_a_few_scale_radii_removes_half_of_the_mass():
    # the density at fixed r_s and M_200, integrated with and without its truncation
    kept, _ = quad(lambda radius: density(radius, 5.0), 0, np.inf)
    inside, _ = quad(lambda radius: radius / (1 + radius) ** 2, 0, 15.0)
    assert total_over_m200(15.0, 5.0) == pytest.approx(kept / inside, rel=1e-9)
    assert 0.4 < total_over_m200(15.0, 3.0) < total_over_m200(15.0, 10.0) < 0.9


def test_summed_deflection_is_the_sum():
    halo_x, halo_y = np.array([0.3, -1.0]), np.array([0.1, 0.4])
    r_s, tau = np.array([0.05, 0.4]), np.array([3.0, 9.0])
    strengths = np.array([1e-4, 3e-3])
    x, y = np.random.default_rng(0).uniform(-2, 2, (2, 10))
    total = tnfw_deflections(x, y, halo_x, halo_y, r_s, tau, strengths)
    for i in range(10):
        expected = sum(
            np.array(tnfw(x[i] - halo_x[k], y[i] - halo_y[k], r_s[k], tau[k], strengths[k]))
            for k in range(2)
        )
        np.testing.assert_allclose(total[:, i], expected, rtol=1e-13)


def test_centre_has_no_deflection():
    assert tnfw(0.0, 0.0, R_S, 5.0, 1e-3) == (0.0, 0.0)


ZERO = np.zeros(1)


def both(radius, r_s, tau):
    """Table and closed form of alpha / r."""
    theta_e_squared = 1e-4
    halo = tnfw_halos(ZERO, ZERO, np.array([r_s]), np.array([tau]), np.array([theta_e_squared]))
    table = np.empty_like(radius)
    deflection_over_radius(radius**2, halo[0], tnfw_tables(), *np.empty((2, radius.size)), table)
    strength = theta_e_squared / tnfw_total_mass(tau)
    one = np.ones(1)
    exact = tnfw_deflections(radius, 0 * radius, ZERO, ZERO, r_s * one, tau * one, strength * one)
    return table, exact[0] / radius


@pytest.mark.parametrize("tau", [1.0, 3.0, 5.5, 10.0, 100.0])
@pytest.mark.parametrize("r_s", [0.01, 0.1, 1.3])
def test_table_is_the_closed_form(r_s, tau):
    x = np.logspace(-5, 3, 20_000)
    table, exact = both(x * r_s, r_s, tau)
    error = np.abs(table / exact - 1)
    assert np.all(error[x < 10] < 2e-10)
    assert np.all(error < 2e-8)


def test_borders_between_pieces_are_continuous():
    octaves = 2.0 ** np.arange(-20, 10)
    border = np.sqrt(np.multiply.outer(octaves, 1 + np.arange(32) / 32).ravel())
    below, _ = both(border * (1 - 1e-13), 1.0, 4.0)
    above, _ = both(border * (1 + 1e-13), 1.0, 4.0)
    np.testing.assert_allclose(below, above, rtol=1e-9)


def test_centre_and_far_field_stay_finite():
    table, _ = both(np.array([1e-30, 1e-12, 1e5]), 0.1, 3.0)
    assert np.all(np.isfinite(table))
    assert table[0] == pytest.approx(table[1], rel=0.5)  # the divergence at the centre is cut off
    assert table[2] == pytest.approx(1e-4 / 1e10, rel=1e-2)
