"""The free parameters of the smooth model: elliptical power law, shear and one Sersic source.

Their order is that of the rows of every array of derivatives.
"""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    """A free parameter: a field of `LensSystem`, in its unit."""

    name: str
    units: str
    step: float
    """A change over which an image is close to linear: of central differences, and of a fit's
    first step."""


PARAMETERS: tuple[Parameter, ...] = (
    Parameter("lens_theta_e", "arcsec", 1e-3),
    Parameter("lens_e1", "1", 1e-3),
    Parameter("lens_e2", "1", 1e-3),
    Parameter("lens_gamma1", "1", 1e-3),
    Parameter("lens_gamma2", "1", 1e-3),
    Parameter("lens_x", "arcsec", 1e-3),
    Parameter("lens_y", "arcsec", 1e-3),
    Parameter("lens_slope", "1", 1e-3),
    Parameter("source_x", "arcsec", 1e-3),
    Parameter("source_y", "arcsec", 1e-3),
    Parameter("source_magnitude", "mag", 1e-3),
    Parameter("source_r_sersic", "arcsec", 1e-4),
    Parameter("source_n_sersic", "1", 1e-3),
    Parameter("source_e1", "1", 1e-3),
    Parameter("source_e2", "1", 1e-3),
)

PARAMETER_NAMES: tuple[str, ...] = tuple(parameter.name for parameter in PARAMETERS)
