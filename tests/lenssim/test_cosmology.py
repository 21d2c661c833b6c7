"""Distances and what they turn masses into, against lenstronomy and the published numbers."""

import numpy as np
import pytest
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from lenssim.cosmology import (
    de_broglie_wavelength,
    einstein_radius,
    lensing_geometry,
    velocity_dispersion,
)
from lenssim.spec import load_spec


@pytest.fixture
def geometry():
    return lensing_geometry(load_spec("B"))


def test_distances_are_lenstronomys(geometry):
    cosmo = LensCosmo(z_lens=0.5, z_source=1.0, cosmo=_cosmology())
    np.testing.assert_allclose(
        [geometry.lens, geometry.source, geometry.lens_source],
        [cosmo.dd, cosmo.ds, cosmo.dds],
        rtol=1e-9,
    )


def test_einstein_radius_is_that_of_lenstronomys_point_mass(geometry):
    # lenstronomy's constants of nature are older than astropy's, by 3e-4 in the mass
    cosmo = LensCosmo(z_lens=0.5, z_source=1.0, cosmo=_cosmology())
    enclosed = cosmo.mass_in_theta_E(float(einstein_radius(1e12, geometry)))
    assert enclosed == pytest.approx(1e12, rel=5e-4)


def test_einstein_radius_of_the_main_halo(geometry):
    assert float(einstein_radius(1e12, geometry)) == pytest.approx(1.6645, abs=1e-4)


def test_velocity_dispersion_is_lenstronomys(geometry):
    cosmo = LensCosmo(z_lens=0.5, z_source=1.0, cosmo=_cosmology())
    expected = cosmo.sis_theta_E2sigma_v(1.6645) * 1e3
    assert velocity_dispersion(1.6645, geometry) == pytest.approx(expected, rel=1e-6)


def test_vortex_length_at_both_ends_of_the_prior(geometry):
    sigma_v = velocity_dispersion(einstein_radius(1e12, geometry), geometry)
    length = de_broglie_wavelength(np.array([1e-22, 1e-24]), sigma_v, geometry)
    np.testing.assert_allclose(length, [0.0538, 5.38], rtol=2e-3)


def test_deeplense_variant_keeps_the_published_rings():
    geometry = lensing_geometry(load_spec("B-deeplense"))
    radius = float(einstein_radius(1e12, geometry))
    assert radius == pytest.approx(1.28, abs=0.005)
    assert geometry.deflection_scale == pytest.approx(0.634, abs=5e-4)
    assert radius * geometry.deflection_scale == pytest.approx(0.81, abs=0.005)


def _cosmology():
    from astropy.cosmology import FlatLambdaCDM

    return FlatLambdaCDM(H0=70, Om0=0.3, Ob0=0.05)
