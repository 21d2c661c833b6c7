"""The free parameters of the smooth model: elliptical power law, shear and one source.

Their order is that of the rows of every array of derivatives. The multipoles of the lens and its
light, where they are free, follow.
"""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    """A free parameter, in its unit: a field of `LensSystem`, or a component of a multipole."""

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

PICTURE_PARAMETERS: tuple[Parameter, ...] = (
    *(
        parameter
        for parameter in PARAMETERS
        if parameter.name not in ("source_n_sersic", "source_e1", "source_e2")
    ),
    Parameter("source_angle", "radian", 1e-3),
)
"""The same where the source is a picture: magnitude, position, size and angle of it are free, and
what it shows is not."""

PARAMETER_NAMES: tuple[str, ...] = tuple(parameter.name for parameter in PARAMETERS)

MULTIPOLE_NAMES: tuple[str, ...] = ("lens_m3_cos", "lens_m3_sin", "lens_m4_cos", "lens_m4_sin")
"""Components a_m cos(m phi_m) and a_m sin(m phi_m) of the multipoles, in units of theta_E: unlike
amplitude and angle, they are linear in the deflection and defined if there is no multipole."""

ALL_NAMES: tuple[str, ...] = PARAMETER_NAMES + MULTIPOLE_NAMES
"""Parameters of a lens with free multipoles, and its source."""

LIGHT_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("lens_light_x", "arcsec", 1e-3),
    Parameter("lens_light_y", "arcsec", 1e-3),
    Parameter("lens_light_magnitude", "mag", 1e-3),
    Parameter("lens_light_r_sersic", "arcsec", 1e-3),
    Parameter("lens_light_n_sersic", "1", 1e-3),
    Parameter("lens_light_e1", "1", 1e-3),
    Parameter("lens_light_e2", "1", 1e-3),
)
"""Of the Sersic ellipse of the lens galaxy, whose centre need not be that of the lens."""

LIGHT_NAMES: tuple[str, ...] = tuple(parameter.name for parameter in LIGHT_PARAMETERS)

FIT_NAMES: tuple[str, ...] = ALL_NAMES + LIGHT_NAMES
"""All that a fit can leave free."""
