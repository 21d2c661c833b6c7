"""Distances and densities against astropy and lenstronomy."""

import numpy as np
import pytest
from astropy import units
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from lenssim.cosmology import LensingGeometry, einstein_radius, velocity_dispersion
from lenssim.distances import (
    angular_diameter_distance,
    comoving_distance,
    critical_density,
    critical_surface_density,
    expansion_rate,
    isothermal_einstein_radius,
)

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
