"""The main halo with its light, and the source behind it."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import model_serializer, model_validator

from lenssim.spec.priors import Prior, within
from lenssim.spec.quantities import (
    Angle,
    Ellipticity,
    LensRedshift,
    Mass,
    Position,
    Redshift,
    SersicIndex,
    SersicRadius,
    SourceMagnitude,
    SourceRedshift,
)
from lenssim.spec.section import ADDED, Frozen, Section
from lenssim.spec.source_images import SourceImages

ZERO = Prior.fixed(0.0)


class Multipole(Section):
    """Angular structure of one order of the main halo, about its centre."""

    amplitude: Annotated[Prior, within(least=-0.2, most=0.2)]
    """a_m / theta_E, by which contours of equal convergence move (O'Riordan & Vegetti 2024)."""
    angle: Angle
    """Radians; the pattern repeats after 2 pi / m."""


class LensLight(Section):
    """A Sersic ellipse of light about the centre of the lens."""

    magnitude: SourceMagnitude
    r_sersic: Annotated[Prior, within(least=0.01, most=10.0, unit="arcsec")]
    """Half-light radius, arcsec."""
    n_sersic: SersicIndex
    e1: Ellipticity
    e2: Ellipticity


class Lens(Section):
    """The main halo and the external shear, which is about the centre of the image."""

    redshift: LensRedshift
    einstein_mass: Annotated[Mass | None, ADDED] = None
    """Mass inside the Einstein radius theta_0, solar masses, substructure included."""
    e1: Ellipticity
    e2: Ellipticity
    gamma1: Ellipticity
    gamma2: Ellipticity
    deflections_for_redshift: Redshift | None = None
    """Source redshift that the Einstein radii are taken to hold for, where it is not the
    source's own: every deflection is then rescaled, as lenstronomy's z_source_convention does."""
    velocity_dispersion: Annotated[
        Prior | None, within(above=0.0, most=1000.0, unit="km/s"), ADDED
    ] = None
    """km/s, in place of einstein_mass: theta_0 = 4 pi (sigma_v / c)^2 D_ls / D_s."""
    slope: Annotated[Prior, within(least=1.2, most=2.8), ADDED] = Prior.fixed(2.0)
    """Of the three-dimensional density of the main halo, an elliptical power law."""
    x: Annotated[Position, ADDED] = ZERO
    y: Annotated[Position, ADDED] = ZERO
    """Centre of the halo, arcsec; subhalos and vortex are about it."""
    m3: Annotated[Multipole | None, ADDED] = None
    m4: Annotated[Multipole | None, ADDED] = None
    """Multipoles of order 3 and 4; null for none."""
    light: Annotated[LensLight | None, ADDED] = None
    """Light of the lens galaxy; null where it is dark."""


class SourcePosition(Frozen):
    """Where the source is: at `source.x`, `source.y`, or uniform in a disc about the lens."""

    disc: Annotated[float | None, within(above=0.0, most=3.0)] = None
    """Radius of the disc in units of theta_0."""

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if value == "x_y":
            return {}
        if isinstance(value, SourcePosition) or (
            isinstance(value, dict) and set(value) == {"disc"}
        ):
            return value
        raise ValueError("must be x_y or {disc: radius in units of theta_0}")

    @model_serializer
    def _to_yaml(self) -> Any:
        return "x_y" if self.disc is None else {"disc": self.disc}

    def __str__(self) -> str:
        """The position as it is written in YAML."""
        return "x_y" if self.disc is None else f"{{disc: {self.disc:g}}}"


class Source(Section):
    """A Sersic ellipse in the source plane, in lenstronomy's conventions, or a picture."""

    redshift: SourceRedshift
    x: Annotated[Position | None, ADDED] = None
    y: Annotated[Position | None, ADDED] = None
    """Position, arcsec."""
    magnitude: SourceMagnitude
    r_sersic: SersicRadius
    """Half-light radius, arcsec."""
    n_sersic: SersicIndex
    e1: Annotated[Ellipticity | None, ADDED] = None
    e2: Annotated[Ellipticity | None, ADDED] = None
    position: Annotated[SourcePosition, ADDED] = SourcePosition.model_validate("x_y")
    """x_y: at x and y. {disc: f}: uniform in the disc of radius f theta_0 about the lens."""
    axis_ratio: Annotated[Prior | None, within(above=0.17, most=1.0), ADDED] = None
    """Minor over major axis, with `angle` in place of e1 and e2."""
    angle: Annotated[Angle | None, ADDED] = None
    """Of the major axis, radians."""
    images: Annotated[SourceImages | None, ADDED] = None
    """Pictures of galaxies in place of the Sersic ellipse: a folder, or a section."""

    @model_validator(mode="after")
    def _shape_is_given(self) -> Self:
        shapes = (self.e1, self.e2), (self.axis_ratio, self.angle)
        given = [[value is not None for value in pair] for pair in shapes]
        if given not in ([[True, True], [False, False]], [[False, False], [True, True]]):
            raise ValueError(
                "the shape must be given as source.e1 and source.e2, each a number or a "
                "distribution, or as source.axis_ratio and source.angle"
            )
        return self

    @model_validator(mode="after")
    def _position_is_given(self) -> Self:
        held = {self.x is not None, self.y is not None}
        if held != {self.position.disc is None}:
            raise ValueError(
                "source.x and source.y must each be a number or a distribution, or both left out "
                "where source.position is a disc"
            )
        return self
