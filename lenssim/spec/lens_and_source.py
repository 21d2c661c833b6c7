"""The main halo and the source behind it."""

from __future__ import annotations

from typing import Annotated

from lenssim.spec.priors import Prior, within
from lenssim.spec.quantities import Ellipticity, Mass, Position, Redshift
from lenssim.spec.section import Section


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
