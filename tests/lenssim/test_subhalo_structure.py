"""Concentration and size of subhalos against the published relation and lenstronomy."""

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from lenssim.cosmology import angular_diameter_distance, critical_density, critical_surface_density
from lenssim.profiles.tnfw import alpha_rs, nfw_mass, tnfw_total_mass
from lenssim.subhalo_structure import (
    dutton_maccio_concentration,
    ludlow_concentration,
    scale_radius,
    with_scatter,
)


def test_concentration_at_the_pivot_is_the_published_intercept():
    # the pivot is 1e12 Msun / h; log10 c = 0.905 and slope -0.101 at z = 0
    assert dutton_maccio_concentration(1e12 / 0.7, 0.0, 70.0) == pytest.approx(10**0.905)
    ratio = dutton_maccio_concentration(1e8, 0.0, 70.0) / dutton_maccio_concentration(1e9, 0.0, 70)
    assert ratio == pytest.approx(10**0.101)


def test_concentration_falls_with_mass_and_redshift():
    masses, redshifts = np.logspace(7, 12, 6), np.array([[0.0], [0.5], [1.0], [2.0]])
    values = dutton_maccio_concentration(masses, redshifts, 70.0)
    assert values.shape == (4, 6)
    assert np.all(np.diff(values, axis=0) < 0)
    assert np.all(np.diff(values, axis=1) < 0)


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        (0.0, [19.730, 17.972, 16.162, 14.303, 12.421, 8.645]),
        (0.5, [16.491, 15.038, 13.545, 12.018, 10.474, 7.400]),
        (1.0, [13.478, 12.303, 11.097, 9.870, 8.636, 6.198]),
    ],
)
def test_concentrations_of_ludlow_2016_are_those_of_the_model_that_they_fit(z, expected):
    # colossus 1.4.0: concentration(M h, "200c", z, model="ludlow16") in its cosmology "planck13",
    # which integrates the power spectrum and solves for the collapse of the halo
    masses = [1e6, 1e7, 1e8, 1e9, 1e10, 1e12]
    values = ludlow_concentration(masses, z, 67.77, 0.3071)
    np.testing.assert_allclose(values, expected, rtol=0.025)


def test_scatter_is_lognormal():
    deviates = np.random.default_rng(0).standard_normal(20_000)
    logs = np.log10(with_scatter(15.0, deviates))
    assert np.mean(logs) == pytest.approx(np.log10(15.0), abs=4 * 0.2 / np.sqrt(20_000))
    assert np.std(logs) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize(("m200", "concentration"), [(1e7, 20.0), (1e8, 15.0), (1e10, 9.0)])
def test_halo_is_that_of_lenstronomy(m200, concentration):
    z_lens, z_source, h0, om0 = 0.5, 1.5, 70.0, 0.3
    cosmo = LensCosmo(z_lens=z_lens, z_source=z_source, cosmo=FlatLambdaCDM(H0=h0, Om0=om0))
    their_r_s, their_alpha = cosmo.nfw_physical2angle(m200, concentration)
    lens = angular_diameter_distance(0.0, z_lens, h0, om0)
    r_s = scale_radius(m200, concentration, critical_density(z_lens, h0, om0), lens)
    source = angular_diameter_distance(0.0, z_source, h0, om0)
    lens_source = angular_diameter_distance(z_lens, z_source, h0, om0)
    sigma = critical_surface_density(lens, source, lens_source)
    tau = 4.0
    total = m200 * tnfw_total_mass(tau) / nfw_mass(concentration)
    # lenstronomy's constants of nature are older than astropy's
    assert r_s == pytest.approx(their_r_s, rel=5e-4)
    assert alpha_rs(total / (np.pi * sigma), r_s, tau) == pytest.approx(their_alpha, rel=1e-3)
