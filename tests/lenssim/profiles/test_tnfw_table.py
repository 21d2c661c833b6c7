"""The tabulated deflection of truncated NFW halos against the closed form."""

import numpy as np
import pytest

from lenssim.profiles.tnfw import tnfw_deflections, tnfw_total_mass
from lenssim.profiles.tnfw_table import deflection_over_radius, tnfw_halos, tnfw_tables

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
