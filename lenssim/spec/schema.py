"""The schema of a specification: every number and prior that decides what its images show.

A specification is a YAML file with the keys of `Specification`; `loading` reads one.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal, Self, get_args

from pydantic import model_validator

from lenssim.configuration.yaml_reading import format_yaml
from lenssim.spec.priors import Prior, Section, matching, poisson_bound, within

SubstructureClass = Literal["axion", "cdm", "no_sub"]
CLASSES: tuple[SubstructureClass, ...] = get_args(SubstructureClass)
"""Substructure classes in the order of their labels: 0 axion, 1 cdm, 2 no_sub."""

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What names a data set, in archives, files and random streams."""

NAME_RULE = "up to 64 letters, digits, dots, hyphens and underscores, with a letter or digit first"

MAX_SUBHALOS = 100_000
"""Subhalos that an image may have room for, when it is specified and when it is read."""

Redshift = Annotated[float, within(above=0.0)]
Length = Annotated[float, within(above=0.0, unit="arcsec")]
Seconds = Annotated[float, within(above=0.0, unit="seconds")]
Magnitude = Annotated[float, within(least=0.0, most=40.0, unit="mag")]
SubhaloMass = Annotated[float, within(least=1.0, most=1e16, unit="solar masses")]
Fraction = Annotated[Prior, within(least=0.0, below=1.0)]
Ellipticity = Annotated[Prior, within(above=-0.7, below=0.7)]
Angle = Annotated[Prior, within(least=-2 * math.pi, most=2 * math.pi, unit="radians")]
Position = Annotated[Prior, within(least=-10.0, most=10.0, unit="arcsec")]
Mass = Annotated[Prior, within(above=0.0, most=1e16, unit="solar masses")]


class Cosmology(Section):
    """Flat Lambda-CDM: Hubble constant in km/s/Mpc, matter and baryon densities."""

    H0: Annotated[float, within(above=0.0, unit="km/s/Mpc")]
    Om0: Annotated[float, within(above=0.0, most=1.0)]
    Ob0: Annotated[float, within(least=0.0, most=1.0)]
    distances: Literal["angular_diameter", "luminosity_difference"] = "angular_diameter"
    """What enters the lensing formulae; luminosity_difference is what DeepLenseSim does."""

    @model_validator(mode="after")
    def _matter_holds_baryons(self) -> Self:
        if self.Ob0 > self.Om0:
            raise ValueError(
                f"Ob0 = {self.Ob0:g} must be at most Om0 = {self.Om0:g}, which contains it"
            )
        return self


class Lens(Section):
    """The main halo, centred on the image, and the external shear."""

    redshift: Redshift
    einstein_mass: Mass
    """Mass inside the Einstein radius, solar masses, substructure included."""
    e1: Ellipticity
    e2: Ellipticity
    gamma1: Ellipticity
    gamma2: Ellipticity
    deflections_for_redshift: Redshift | None = None
    """Source redshift that the Einstein radii are taken to hold for, where it is not the
    source's own: every deflection is then rescaled, as lenstronomy's z_source_convention does."""


class Source(Section):
    """A Sersic ellipse in the source plane, in lenstronomy's conventions."""

    redshift: Redshift
    x: Position
    y: Position
    magnitude: Annotated[Prior, within(least=0.0, most=40.0, unit="mag")]
    r_sersic: Annotated[Prior, within(least=0.01, most=10.0, unit="arcsec")]
    n_sersic: Annotated[Prior, within(least=0.3, most=8.0)]
    e1: Ellipticity
    e2: Ellipticity


class Vortex(Section):
    """Axion class: one uniform line mass."""

    axion_mass: Annotated[Prior, within(least=1e-26, most=1e-18, unit="eV")]
    mass: Mass | None = None
    """Solar masses; where not given, f_sub times the Einstein mass."""
    length_at_1e_22_ev: Length | None = None
    """Arcsec, for a length that goes as 1/axion_mass; where not given, the length is the
    de Broglie wavelength h / (m sigma_v)."""
    point_masses: Annotated[int, within(least=2, most=10_000)] | None = None
    """Where given, this many equal point masses, ends included, instead of a line."""
    angle: Angle
    x: Position
    y: Position


class Subhalos(Section):
    """CDM class: point masses with a power-law mass function in an annulus."""

    count: Annotated[Prior, within(least=0.0, most=MAX_SUBHALOS)] | None = None
    """Number of subhalos, rounded; where not given, Poisson with the mean that puts f_sub of
    the Einstein mass into them."""
    slope: Annotated[float, within(least=-5.0, most=5.0)]
    """d N / d M ~ M^slope."""
    mass_min: SubhaloMass
    mass_max: SubhaloMass
    radius_min: Annotated[float, within(least=0.0, unit="arcsec")]
    radius_max: Length
    radial: Literal["uniform_in_area", "uniform_in_radius"]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.mass_min >= self.mass_max:
            raise ValueError(
                f"mass_min = {self.mass_min:g} must be below mass_max = {self.mass_max:g}"
            )
        if self.radius_min >= self.radius_max:
            raise ValueError(
                f"radius_min = {self.radius_min:g} must be below radius_max = {self.radius_max:g}"
            )
        return self

    @property
    def mean_mass(self) -> float:
        """Mean of the mass function dN/dM ~ M^slope between its limits, in solar masses."""

        def moment(power: float) -> float:
            exponent = self.slope + power + 1
            if abs(exponent) < 1e-12:
                return math.log(self.mass_max / self.mass_min)
            return (self.mass_max**exponent - self.mass_min**exponent) / exponent

        return moment(1) / moment(0)


class Substructure(Section):
    """What the two classes with substructure hold."""

    f_sub: Fraction | None = None
    """Fraction of the Einstein mass in substructure, the same for both classes."""
    within_einstein_mass: bool
    """Whether the substructure's mass is taken out of the main halo."""
    axion: Vortex
    cdm: Subhalos

    @model_validator(mode="after")
    def _mass_known(self) -> Self:
        if self.f_sub is None and (self.axion.mass is None or self.cdm.count is None):
            raise ValueError("f_sub must be given, or both axion.mass and cdm.count")
        return self


class Instrument(Section):
    """Detector, PSF and exposure; frozen here because published tables change."""

    num_pix: Annotated[int, within(least=8, most=1024)]
    pixel_scale: Annotated[float, within(least=0.001, most=1.0, unit="arcsec")]
    """Arcsec."""
    psf_fwhm: Annotated[float, within(above=0.0, most=2.0, unit="arcsec")]
    """Arcsec; the PSF is a Gaussian."""
    psf_truncation: Annotated[
        float, within(above=0.0, most=10.0, unit="standard deviations of the PSF")
    ] = 5.0
    """Standard deviations at which the PSF is cut."""
    zero_point: Magnitude
    """Magnitude of one electron per second."""
    sky_brightness: Magnitude
    """Magnitude per square arcsec."""
    exposure_time: Seconds
    """Seconds, of one exposure."""
    num_exposures: Annotated[int, within(least=1)]
    read_noise: Annotated[float, within(least=0.0, unit="electrons")]
    """Electrons per pixel and read-out."""
    gain: Annotated[float, within(above=0.0, unit="electrons per ADU")]
    """Electrons per ADU; images are in electrons, so it only tells how to turn them into ADU."""


class Observation(Section):
    """What is done to the noise-free image."""

    noise: bool
    flux_factor: Annotated[float, within(above=0.0)] = 1.0
    """Factor on the whole image: 2 in the DeepLenseSim variants, which add the model to itself."""


class Sampling(Section):
    """How the surface brightness is integrated over a pixel: one of the two."""

    tolerance: Annotated[float, within(above=0.0, most=1.0)] | None = None
    """Adaptive: error allowed in a pixel, in units of its noise."""
    subsamples: Annotated[int, within(least=1, most=64)] | None = None
    """Fixed: a regular grid of this many samples along each side of a pixel."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.tolerance is None) == (self.subsamples is None):
            raise ValueError(
                "exactly one of tolerance and subsamples must be given, and the other null"
            )
        return self


class Specification(Section):
    """A data set, completely: with a seed, it decides every bit of every image."""

    name: Annotated[str, matching(NAME_PATTERN, NAME_RULE)]
    """Names the model in archives and keys its random streams."""
    version: Annotated[str, matching(r"\d+\.\d+\.\d+", "three numbers, as in 1.0.0")]
    description: str
    cosmology: Cosmology
    lens: Lens
    source: Source
    substructure: Substructure
    instrument: Instrument
    observation: Observation
    sampling: Sampling

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.source.redshift <= self.lens.redshift:
            raise ValueError(
                f"source.redshift = {self.source.redshift:g} must be above "
                f"lens.redshift = {self.lens.redshift:g}"
            )
        convention = self.lens.deflections_for_redshift
        if convention is not None and convention <= self.lens.redshift:
            raise ValueError(
                f"lens.deflections_for_redshift = {convention:g} must be above "
                f"lens.redshift = {self.lens.redshift:g}"
            )
        if self.substructure.within_einstein_mass:
            self._check_masses()
        if self.subhalo_bound > MAX_SUBHALOS:
            raise ValueError(
                f"substructure.cdm.mass_min = {self.substructure.cdm.mass_min:g}, with "
                f"substructure.f_sub = {self.substructure.f_sub} and "
                f"lens.einstein_mass = {self.lens.einstein_mass}, makes up to "
                f"{self.subhalo_bound} subhalos an image, of which at most {MAX_SUBHALOS} "
                "are allowed"
            )
        return self

    def _check_masses(self) -> None:
        """Refuses substructure that outweighs the lens which contains it."""
        vortex, subhalos = self.substructure.axion, self.substructure.cdm
        lightest_halo = self.lens.einstein_mass.support[0]
        limit = f"must be below lens.einstein_mass = {self.lens.einstein_mass}, which contains"
        if vortex.mass is not None and vortex.mass.support[1] >= lightest_halo:
            raise ValueError(f"substructure.axion.mass = {vortex.mass} {limit} it")
        if subhalos.count is None and subhalos.mass_min >= lightest_halo:
            raise ValueError(f"substructure.cdm.mass_min = {subhalos.mass_min:g} {limit} it")
        if subhalos.count is not None and self.subhalo_bound * subhalos.mass_min >= lightest_halo:
            raise ValueError(
                f"substructure.cdm.count = {subhalos.count} times "
                f"substructure.cdm.mass_min = {subhalos.mass_min:g} {limit} them"
            )

    @property
    def subhalo_bound(self) -> int:
        """The number of subhalos that no image of the cdm class exceeds."""
        subhalos = self.substructure.cdm
        if subhalos.count is not None:
            return round(subhalos.count.support[1])
        assert self.substructure.f_sub is not None  # `Substructure` is validated
        largest = self.substructure.f_sub.support[1] * self.lens.einstein_mass.support[1]
        return poisson_bound(largest / subhalos.mean_mass)

    @property
    def sha256(self) -> str:
        """Hash of the canonical form: JSON with sorted keys and no white space."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_yaml(self) -> str:
        """The specification as YAML that `load_spec` reads back to an equal one."""
        return format_yaml(self.model_dump(mode="json"))
