"""Which of the lenses and sources that are drawn become images."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import model_validator

from lenssim.spec.priors import within
from lenssim.spec.quantities import MAX_SUBHALOS
from lenssim.spec.section import ADDED, Section


class Selection(Section):
    """Cuts on the lens without its substructure and on its source, the same for every class.

    Lens and source are drawn again, from the image's own stream, until they pass all cuts.
    """

    theta_0: Annotated[tuple[float, float] | None, ADDED] = None
    """Least and greatest Einstein radius, arcsec."""
    magnification_min: Annotated[float | None, within(least=0.0, most=1000.0), ADDED] = None
    """Least flux of the image over that of the source."""
    arc_snr_min: Annotated[float | None, within(least=0.0, most=1e6), ADDED] = None
    """Least S/N of the lensed source: of the brightest pixels together, as many as make it most."""
    ellipticity_max: Annotated[float | None, within(above=0.0, below=1.0), ADDED] = None
    """Greatest |e| of the lens."""
    shear_max: Annotated[float | None, within(above=0.0, below=1.0), ADDED] = None
    """Greatest |gamma|."""
    mean_subhalos_max: Annotated[int | None, within(least=1, most=MAX_SUBHALOS), ADDED] = None
    """Greatest expected number of subhalos that an image of the cdm class would have, in every
    class. Keeps the padded arrays of subhalos short."""

    @property
    def needs_light(self) -> bool:
        """Whether the image has to be rendered, coarsely, to decide."""
        return self.magnification_min is not None or self.arc_snr_min is not None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.theta_0 is not None and not 0 <= self.theta_0[0] < self.theta_0[1]:
            low, high = self.theta_0
            raise ValueError(
                f"theta_0 = [{low:g}, {high:g}] must be two radii in arcsec, the smaller first"
            )
        return self
