"""What the halos of the classes axion and cdm hold besides the main halo."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import model_serializer, model_validator

from lenssim.spec.priors import Prior, within
from lenssim.spec.quantities import (
    MAX_SUBHALOS,
    Angle,
    Fraction,
    Length,
    Mass,
    Position,
    SubhaloMass,
)
from lenssim.spec.section import ADDED, Frozen, Section


class Vortex(Section):
    """Axion class: one uniform line mass."""

    axion_mass: Annotated[Prior, within(least=1e-26, most=1e-18, unit="eV")]
    mass: Mass | None = None
    """Solar masses; if not given, f_sub times the Einstein mass."""
    length_at_1e_22_ev: Length | None = None
    """Arcsec, for a length that goes as 1/axion_mass; if not given, the length is the
    de Broglie wavelength h / (m sigma_v)."""
    point_masses: Annotated[int, within(least=2, most=10_000)] | None = None
    """Where given, this many equal point masses, ends included, instead of a line."""
    angle: Angle
    x: Position
    y: Position


class Radius(Frozen):
    """A radius in arcsec, written as a number, or in units of theta_0, as {theta_0: 3}."""

    value: Annotated[float, within(above=0.0)]
    is_in_theta_0: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, Radius):
            return value
        is_relative = isinstance(value, dict) and set(value) == {"theta_0"}
        number = value["theta_0"] if is_relative else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError("must be a number of arcsec or {theta_0: number of Einstein radii}")
        if not 0 < number < 1000:
            raise ValueError("must be greater than 0 and less than 1000")
        return {"value": float(number), "is_in_theta_0": is_relative}

    @model_serializer
    def _to_yaml(self) -> Any:
        return {"theta_0": self.value} if self.is_in_theta_0 else self.value

    def arcsec(self, theta_0: float) -> float:
        """The radius in arcsec."""
        return self.value * theta_0 if self.is_in_theta_0 else self.value


class Concentration(Section):
    """How the concentration of subhalos depends on their mass."""

    relation: Literal["dutton_maccio_2014", "ludlow_2016"] = "dutton_maccio_2014"
    """Median concentration at a mass and redshift: Dutton & Maccio 2014, or Ludlow et al. 2016,
    which pyHalo takes: 0.79 times the former at 1e7 Msun and z = 0.5, 1.02 at 1e10 Msun."""
    scatter_dex: Annotated[float, within(least=0.0, most=0.5)] = 0.2
    """Standard deviation of log10 of the concentration at fixed mass."""


class Subhalos(Section):
    """CDM class: subhalos with a power-law mass function in an annulus about the lens."""

    count: Annotated[Prior, within(least=0.0, most=MAX_SUBHALOS)] | None = None
    """Number of subhalos, rounded; if not given, Poisson with the mean that puts f_sub of
    the Einstein mass into them."""
    slope: Annotated[Prior, within(least=-5.0, most=5.0)]
    """d N / d M ~ M^slope, M the mass of a point or the M200 of a halo."""
    mass_min: SubhaloMass
    mass_max: SubhaloMass
    radius_min: Annotated[float, within(least=0.0, unit="arcsec")]
    radius_max: Radius
    """Arcsec, or {theta_0: in units of the Einstein radius}."""
    radial: Literal["uniform_in_area", "uniform_in_radius"]
    profile: Annotated[Literal["point", "tnfw"], ADDED] = "point"
    """Point masses, or truncated NFW halos (Baltz, Marshall & Oguri 2009)."""
    concentration: Annotated[Concentration | None, ADDED] = None
    """Of tnfw: r_200 / r_s."""
    truncation: Annotated[Prior | None, within(least=0.1, most=100.0), ADDED] = None
    """Of tnfw: truncation radius in units of r_s, drawn for each subhalo."""
    f_sub_counts: Annotated[Literal["all", "inside_theta_0"], ADDED] = "all"
    """Which subhalos have f_sub of the Einstein mass together, on average: all of them, or those
    whose centres are inside theta_0. Of tnfw, the total mass of the truncated halos counts."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.mass_min >= self.mass_max:
            raise ValueError(
                f"mass_min = {self.mass_min:g} must be below mass_max = {self.mass_max:g}"
            )
        if not self.radius_max.is_in_theta_0 and self.radius_min >= self.radius_max.value:
            raise ValueError(
                f"radius_min = {self.radius_min:g} must be below radius_max = "
                f"{self.radius_max.value:g}"
            )
        return self

    @model_validator(mode="after")
    def _profile_is_given(self) -> Self:
        given = {self.concentration is not None, self.truncation is not None}
        if given != {self.profile == "tnfw"}:
            raise ValueError(
                "profile = tnfw needs concentration and truncation, and profile = point has neither"
            )
        return self

    @property
    def mean_mass(self) -> float:
        """Mean of the mass function, in solar masses; of the steepest that can be drawn."""
        return self.mean_mass_at(self.slope.support[0])

    def mean_mass_at(self, slope: float) -> float:
        """Mean of dN/dM ~ M^slope between mass_min and mass_max, in solar masses."""

        def moment(power: float) -> float:
            exponent = slope + power + 1
            if abs(exponent) < 1e-12:
                return math.log(self.mass_max / self.mass_min)
            return (self.mass_max**exponent - self.mass_min**exponent) / exponent

        return moment(1) / moment(0)


class Substructure(Section):
    """What the two classes with substructure hold."""

    f_sub: Fraction | None = None
    """Fraction of the Einstein mass in substructure, the same for both classes."""
    within_einstein_mass: bool
    """Whether the substructure's mass is taken out of the main halo's, as in version 1.0.0: that
    changes the size of the ring."""
    ring_neutral: Annotated[bool, ADDED] = False
    """Whether the main halo is made as much weaker as leaves the mean radial deflection over the
    Einstein ring unchanged, so that the size of the ring does not tell the class."""
    axion: Vortex
    cdm: Subhalos

    @model_validator(mode="after")
    def _mass_known(self) -> Self:
        if self.f_sub is None and (self.axion.mass is None or self.cdm.count is None):
            raise ValueError("f_sub must be given, or both axion.mass and cdm.count")
        if self.ring_neutral and self.within_einstein_mass:
            raise ValueError(
                "ring_neutral and within_einstein_mass are two rules for the main halo: set one of "
                "them to false"
            )
        return self
