"""Distances, densities and angles against astropy, lenstronomy and published numbers."""

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from lenssim.cosmology import (
    LensingGeometry,
    angular_diameter_distance,
    comoving_distance,
    critical_density,
    critical_surface_density,
    de_broglie_wavelength,
    einstein_radius,
    expansion_rate,
    isothermal_einstein_radius,
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


REDSHIFTS = np.array([0.0, 1e-3, 0.1, 0.5, 1.0, 2.5, 7.0, 20.0])
COSMOLOGIES = [(70.0, 0.3), (67.4, 0.315), (50.0, 1.0), (73.0, 0.05)]


@pytest.mark.parametrize(("h0", "om0"), COSMOLOGIES)
def test_distances_and_densities_are_those_of_astropy(h0, om0):
    model = FlatLambdaCDM(H0=h0, Om0=om0)
    np.testing.assert_allclose(
        comoving_distance(0.0, REDSHIFTS, h0, om0),
        model.comoving_distance(REDSHIFTS).to_value(units.Mpc),
        rtol=1e-11,
    )
    far = REDSHIFTS[4:]
    between = model.comoving_distance(far) - model.comoving_distance(0.5)
    np.testing.assert_allclose(
        angular_diameter_distance(0.5, far, h0, om0),
        between.to_value(units.Mpc) / (1 + far),
        rtol=1e-11,
    )
    np.testing.assert_allclose(
        expansion_rate(REDSHIFTS, h0, om0),
        model.H(REDSHIFTS).to_value(units.km / units.s / units.Mpc),
        rtol=1e-14,
    )
    np.testing.assert_allclose(
        critical_density(REDSHIFTS, h0, om0),
        model.critical_density(REDSHIFTS).to_value(units.M_sun / units.Mpc**3),
        rtol=1e-12,
    )


def test_lens_and_source_redshifts_broadcast():
    z_lens, z_source = np.array([[0.3], [0.5]]), np.array([1.0, 2.0, 3.0])
    distances = angular_diameter_distance(z_lens, z_source, 70.0, 0.3)
    assert distances.shape == (2, 3)
    assert distances[1, 2] == angular_diameter_distance(0.5, 3.0, 70.0, 0.3)


def test_einstein_radius_and_velocity_dispersion_are_inverse():
    geometry = LensingGeometry(
        lens=float(angular_diameter_distance(0.0, 0.4, 70.0, 0.3)),
        source=float(angular_diameter_distance(0.0, 1.7, 70.0, 0.3)),
        lens_source=float(angular_diameter_distance(0.4, 1.7, 70.0, 0.3)),
    )
    theta_e = isothermal_einstein_radius(250.0, geometry.source, geometry.lens_source)
    assert velocity_dispersion(theta_e, geometry) == pytest.approx(250e3, rel=1e-12)
    # pi theta_E^2 Sigma_cr is the mass inside the Einstein radius
    sigma = critical_surface_density(geometry.lens, geometry.source, geometry.lens_source)
    mass = np.pi * 1.3**2 * sigma
    assert einstein_radius(mass, geometry) == pytest.approx(1.3, rel=1e-12)


def test_critical_surface_density_is_that_of_lenstronomy():
    cosmo = LensCosmo(z_lens=0.5, z_source=1.5, cosmo=FlatLambdaCDM(H0=70, Om0=0.3))
    ours = critical_surface_density(cosmo.dd, cosmo.ds, cosmo.dds)
    # lenstronomy's constants of nature are older than astropy's
    assert ours == pytest.approx(cosmo.sigma_crit_angle, rel=5e-4)
