"""What the halos of the classes axion and cdm hold besides the main halo."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import model_validator

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
from lenssim.spec.section import ADDED, Section


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
