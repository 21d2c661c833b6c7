"""Distances, and what they turn masses and wavelengths into on the sky.

Distances are those of flat Lambda-CDM without radiation, for many redshifts at once: astropy's
FlatLambdaCDM(H0, Om0) to 1e-12, in microseconds. Scalars and arrays of any broadcastable shape go
in, float64 comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray

from lenssim.errors import UsageError
from lenssim.spec import Cosmology, Specification

FloatArray = NDArray[np.float64]

_ARCSEC = units.radian.to(units.arcsec)
_SPEED_OF_LIGHT_KM_S = constants.c.to_value(units.km / units.s)
_GRAVITY = constants.G.to_value(units.Mpc * units.km**2 / units.s**2 / units.M_sun)

_NODE, _WEIGHT = leggauss(32)


def expansion_rate(z: ArrayLike, h0: float, om0: float) -> FloatArray:
    """Hubble parameter H(z) = H0 sqrt(Om0 (1 + z)^3 + 1 - Om0) in km/s/Mpc.

    Args:
        z: redshift.
        h0: Hubble constant, km/s/Mpc.
        om0: matter density, in (0, 1].
    """
    return h0 * np.sqrt(om0 * (1.0 + np.asarray(z, dtype=np.float64)) ** 3 + 1.0 - om0)


def comoving_distance(z_near: ArrayLike, z_far: ArrayLike, h0: float, om0: float) -> FloatArray:
    """Line-of-sight comoving distance between two redshifts, in Mpc.

    Hogg 1999 (astro-ph/9905116), eq. 15. With u = (1 + z)^(-1/2) the integral of c / H is
    (c / H0) times that of 2 / sqrt(Om0 + (1 - Om0) u^6), so smooth that 32 Gauss-Legendre nodes
    give it to rounding for Om0 of 0.05 to 1 and redshifts up to 20.

    Args:
        z_near, z_far: redshifts, z_near <= z_far for a positive distance.
        h0: Hubble constant, km/s/Mpc.
        om0: matter density, in (0, 1].
    """
    upper = (1.0 + np.asarray(z_near, dtype=np.float64)) ** -0.5
    lower = (1.0 + np.asarray(z_far, dtype=np.float64)) ** -0.5
    half = 0.5 * (upper - lower)
    u = np.multiply.outer(half, _NODE) + (lower + half)[..., np.newaxis]
    integrand = 2.0 / np.sqrt(om0 + (1.0 - om0) * u**6)
    return _SPEED_OF_LIGHT_KM_S / h0 * half * np.sum(integrand * _WEIGHT, axis=-1)


def angular_diameter_distance(
    z_near: ArrayLike, z_far: ArrayLike, h0: float, om0: float
) -> FloatArray:
    """Angular-diameter distance from one redshift to a higher one, in Mpc.

    Args: those of `comoving_distance`.
    """
    return comoving_distance(z_near, z_far, h0, om0) / (1.0 + np.asarray(z_far))


def critical_density(z: ArrayLike, h0: float, om0: float) -> FloatArray:
    """Critical density of the universe, 3 H(z)^2 / (8 pi G), in solar masses per Mpc^3.

    Args: those of `expansion_rate`.
    """
    return 3.0 * expansion_rate(z, h0, om0) ** 2 / (8.0 * math.pi * _GRAVITY)


def critical_surface_density(
    lens: ArrayLike, source: ArrayLike, lens_source: ArrayLike
) -> FloatArray:
    """Critical surface density c^2 D_s / (4 pi G D_l D_ls), in solar masses per arcsec^2.

    Schneider, Ehlers & Falco 1992, eq. 5.5, times the area of a square arcsec at the lens.

    Args:
        lens, source, lens_source: angular-diameter distances, Mpc.
    """
    lens = np.asarray(lens, dtype=np.float64)
    per_area = (
        _SPEED_OF_LIGHT_KM_S**2
        * np.asarray(source)
        / (4.0 * math.pi * _GRAVITY * lens * np.asarray(lens_source))
    )
    return per_area * (lens / _ARCSEC) ** 2


def isothermal_einstein_radius(
    sigma_v: ArrayLike, source: ArrayLike, lens_source: ArrayLike
) -> FloatArray:
    """Einstein radius of an isothermal sphere, 4 pi (sigma_v / c)^2 D_ls / D_s, in arcsec.

    Narayan & Bartelmann 1996, eq. 44.

    Args:
        sigma_v: velocity dispersion, km/s.
        source, lens_source: angular-diameter distances, Mpc.
    """
    efficiency = np.asarray(lens_source) / np.asarray(source)
    return 4.0 * math.pi * (np.asarray(sigma_v) / _SPEED_OF_LIGHT_KM_S) ** 2 * efficiency * _ARCSEC


Numbers = TypeVar("Numbers", float, NDArray[np.float64])

_SPEED_OF_LIGHT = constants.c.to_value(units.m / units.s)
_GRAVITY_PER_MASS = (constants.G * constants.M_sun / constants.c**2).to_value(units.Mpc)
_PLANCK_TIMES_C = (constants.h * constants.c).to_value(units.eV * units.Mpc)


@dataclass(frozen=True)
class LensingGeometry:
    """The distances that lensing by one lens of one source depends on, in Mpc.

    `deflection_scale` multiplies every deflection; it is 1 unless the specification asks for
    deflections that hold for another source redshift.
    """

    lens: float
    source: float
    lens_source: float
    deflection_scale: float = 1.0


def _between(model: FlatLambdaCDM, z_near: float, z_far: float) -> float:
    """Angular-diameter distance in Mpc from one redshift to a higher one, in flat space."""
    comoving = model.comoving_distance(z_far) - model.comoving_distance(z_near)
    return float(comoving.to_value(units.Mpc)) / (1 + z_far)


@lru_cache(maxsize=64)
def _geometry(
    cosmology: Cosmology, z_lens: float, z_source: float, z_convention: float | None
) -> LensingGeometry:
    model = FlatLambdaCDM(H0=cosmology.H0, Om0=cosmology.Om0, Ob0=cosmology.Ob0)
    if cosmology.distances == "luminosity_difference":
        lens = model.luminosity_distance(z_lens).to_value(units.Mpc)
        source = model.luminosity_distance(z_source).to_value(units.Mpc)
        lens_source = source - lens
    else:
        lens = model.angular_diameter_distance(z_lens).to_value(units.Mpc)
        source = model.angular_diameter_distance(z_source).to_value(units.Mpc)
        lens_source = _between(model, z_lens, z_source)
    scale = 1.0
    if z_convention is not None:

        def efficiency(redshift: float) -> float:
            """D_ls / D_s, from angular-diameter distances: it is lenstronomy that rescales."""
            far = model.angular_diameter_distance(redshift).to_value(units.Mpc)
            return _between(model, z_lens, redshift) / far

        scale = float(efficiency(z_source) / efficiency(z_convention))
    return LensingGeometry(float(lens), float(source), float(lens_source), scale)


def lensing_geometry(
    spec: Specification, z_lens: float | None = None, z_source: float | None = None
) -> LensingGeometry:
    """Distances in Mpc for the cosmology of a specification.

    Args:
        spec: its own redshifts are taken if they are fixed.
        z_lens, z_source: of an image, if the specification draws them.

    Returns:
        Distances in Mpc to the lens, to the source, and between the two.

    Raises:
        UsageError: if the specification draws redshifts and none are given.
    """
    if spec.lens.redshift.is_fixed and spec.source.redshift.is_fixed:
        return _geometry(
            spec.cosmology,
            spec.lens.redshift.support[0],
            spec.source.redshift.support[0],
            spec.lens.deflections_for_redshift,
        )
    if z_lens is None or z_source is None:
        raise UsageError(
            f"{spec.name} draws the redshifts of lens and source for each image: name them."
        )
    near, far = np.array([0.0, 0.0, z_lens]), np.array([z_lens, z_source, z_source])
    distances = angular_diameter_distance(near, far, spec.cosmology.H0, spec.cosmology.Om0)
    return LensingGeometry(*map(float, distances))


def einstein_radius(mass: Numbers, geometry: LensingGeometry) -> Numbers:
    """Einstein radius of a mass inside it, theta_E = sqrt(4 G M D_ls / (c^2 D_l D_s)).

    Schneider, Ehlers & Falco 1992, eq. 2.6a. Not rescaled by `deflection_scale`.

    Args:
        mass: solar masses, any shape.
        geometry: distances.

    Returns:
        Radius in arcsec, shape of `mass`.
    """
    ratio = geometry.lens_source / (geometry.lens * geometry.source)
    return np.sqrt(4 * _GRAVITY_PER_MASS * mass * ratio) * _ARCSEC


def einstein_mass(radius: Numbers, geometry: LensingGeometry) -> Numbers:
    """Mass inside an Einstein radius, the inverse of `einstein_radius`.

    Args:
        radius: arcsec, any shape.
        geometry: distances.

    Returns:
        Solar masses, shape of `radius`.
    """
    ratio = geometry.lens_source / (geometry.lens * geometry.source)
    return (radius / _ARCSEC) ** 2 / (4 * _GRAVITY_PER_MASS * ratio)


def velocity_dispersion(theta_e: Numbers, geometry: LensingGeometry) -> Numbers:
    """Velocity dispersion of an isothermal sphere, theta_E = 4 pi (sigma_v / c)^2 D_ls / D_s.

    Narayan & Bartelmann 1996, eq. 44.

    Args:
        theta_e: Einstein radius, arcsec, any shape.
        geometry: distances.

    Returns:
        Dispersion in m/s, shape of `theta_e`.
    """
    efficiency = geometry.lens_source / geometry.source
    return _SPEED_OF_LIGHT * np.sqrt(theta_e / _ARCSEC / (4 * math.pi * efficiency))


def de_broglie_wavelength(
    axion_mass: Numbers, sigma_v: float, geometry: LensingGeometry
) -> Numbers:
    """De Broglie wavelength h / (m sigma_v) of an axion in the halo, as an angle at the lens.

    Alexander et al. 2020, sec. 2.2.

    Args:
        axion_mass: eV, any shape.
        sigma_v: velocity dispersion, m/s.
        geometry: distances.

    Returns:
        Angle in arcsec, shape of `axion_mass`.
    """
    wavelength = _PLANCK_TIMES_C / (axion_mass * sigma_v / _SPEED_OF_LIGHT)
    return wavelength / geometry.lens * _ARCSEC
