"""The free parameters as the vector that a fit moves.

The half-light radii and Sersic indices of source and lens galaxy enter by their logarithms: they
are positive, and the image is closer to linear in these. A vector has the 15 `PARAMETERS`, then the
four components of multipoles, then the seven parameters of the light of the lens, the last two only
if they are free.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lenssim.lens_fit.parameters import (
    ALL_NAMES,
    FIT_NAMES,
    LIGHT_NAMES,
    MULTIPOLE_NAMES,
    PARAMETER_NAMES,
)
from lenssim.population import LensSystem

FloatArray = NDArray[np.float64]

_LOGARITHMIC = np.array([name.endswith(("_r_sersic", "_n_sersic")) for name in FIT_NAMES])

_LIMITS: dict[str, tuple[float, float, float]] = {
    "lens_theta_e": (0.02, math.inf, 0.15),
    "lens_e1": (-0.7, 0.7, 0.1),
    "lens_e2": (-0.7, 0.7, 0.1),
    "lens_gamma1": (-0.5, 0.5, 0.07),
    "lens_gamma2": (-0.5, 0.5, 0.07),
    "lens_x": (-math.inf, math.inf, 0.1),
    "lens_y": (-math.inf, math.inf, 0.1),
    "lens_slope": (1.3, 2.7, 0.15),
    "source_x": (-math.inf, math.inf, 0.15),
    "source_y": (-math.inf, math.inf, 0.15),
    "source_magnitude": (-math.inf, math.inf, 1.0),
    "source_r_sersic": (math.log(0.005), math.log(5.0), 0.5),
    "source_n_sersic": (math.log(0.3), math.log(8.0), 0.4),
    "source_e1": (-0.8, 0.8, 0.15),
    "source_e2": (-0.8, 0.8, 0.15),
    "lens_m3_cos": (-0.2, 0.2, 0.03),
    "lens_m3_sin": (-0.2, 0.2, 0.03),
    "lens_m4_cos": (-0.2, 0.2, 0.03),
    "lens_m4_sin": (-0.2, 0.2, 0.03),
    "lens_light_x": (-math.inf, math.inf, 0.1),
    "lens_light_y": (-math.inf, math.inf, 0.1),
    "lens_light_magnitude": (-math.inf, math.inf, 1.0),
    "lens_light_r_sersic": (math.log(0.01), math.log(10.0), 0.5),
    "lens_light_n_sersic": (math.log(0.3), math.log(8.0), 0.4),
    "lens_light_e1": (-0.8, 0.8, 0.15),
    "lens_light_e2": (-0.8, 0.8, 0.15),
}
"""Least and greatest value of each coordinate of the vector, and the longest step of it."""

LOWEST, HIGHEST, LONGEST_STEP = (
    np.array([_LIMITS[name][k] for name in FIT_NAMES]) for k in range(3)
)

_USUAL: dict[str, tuple[float, float]] = {
    "lens_e1": (0.0, 0.15),
    "lens_e2": (0.0, 0.15),
    "lens_gamma1": (0.0, 0.07),
    "lens_gamma2": (0.0, 0.07),
    "lens_x": (0.0, 0.1),
    "lens_y": (0.0, 0.1),
    "lens_slope": (2.0, 0.15),
    "source_n_sersic": (0.2, 0.6),
    "source_e1": (0.0, 0.25),
    "source_e2": (0.0, 0.25),
    "lens_m3_cos": (0.0, 0.015),
    "lens_m3_sin": (0.0, 0.015),
    "lens_m4_cos": (0.0, 0.015),
    "lens_m4_sin": (0.0, 0.015),
    "lens_light_n_sersic": (math.log(3.0), 0.6),
    "lens_light_e1": (0.0, 0.2),
    "lens_light_e2": (0.0, 0.2),
}
"""Mean and standard deviation of galaxies as they usually are, wide. A descent is led by them while
it is far from the image, and not when it ends."""

USUAL, USUAL_PRECISION = (
    np.array([_USUAL[name][0] if name in _USUAL else 0.0 for name in FIT_NAMES]),
    np.array([_USUAL[name][1] ** -2 if name in _USUAL else 0.0 for name in FIT_NAMES]),
)

MAX_ELLIPTICITY = 0.8
"""Modulus of an ellipticity, at most."""

_ELLIPTICITIES = [[f"{galaxy}_e{k}" for k in (1, 2)] for galaxy in ("lens", "source", "lens_light")]


@cache
def names_of(count: int) -> tuple[str, ...]:
    """Names of the coordinates of a vector of 15, 19, 22 or 26."""
    rest = count - len(PARAMETER_NAMES)
    has_multipoles = rest in (len(MULTIPOLE_NAMES), len(MULTIPOLE_NAMES + LIGHT_NAMES))
    has_light = rest >= len(LIGHT_NAMES)
    names = ALL_NAMES if has_multipoles else PARAMETER_NAMES
    return names + LIGHT_NAMES if has_light else names


@cache
def places_of(count: int) -> NDArray[np.intp]:
    """Places in `FIT_NAMES` of the coordinates of a vector of 15, 19, 22 or 26."""
    return np.array([FIT_NAMES.index(name) for name in names_of(count)])


def dark(vector: FloatArray) -> FloatArray:
    """The part of a vector that is not of the light of the lens."""
    has_light = names_of(len(vector))[-1] == LIGHT_NAMES[-1]
    return vector[: -len(LIGHT_NAMES)] if has_light else vector


def to_system(vector: FloatArray, psf_fwhm: float = math.nan) -> LensSystem:
    """The smooth lens of a vector, which is dark whatever the vector says of its light.

    Args:
        vector: shape (15,), (19,), (22,) or (26,).
        psf_fwhm: of the image's own PSF, arcsec; NaN if the specification gives it.
    """
    vector = dark(vector)
    values = dict(zip(PARAMETER_NAMES, physical(vector).tolist(), strict=False))
    m3, m4 = (0.0, 0.0), (0.0, 0.0)
    if len(vector) > len(PARAMETER_NAMES):
        m3, m4 = (
            (math.hypot(cosine, sine), math.atan2(sine, cosine) / order)
            for order, cosine, sine in ((3, *vector[-4:-2].tolist()), (4, *vector[-2:].tolist()))
        )
    return LensSystem(
        substructure_class="no_sub",
        einstein_mass=math.nan,
        smooth_theta_e=values["lens_theta_e"],
        lens_m3_amplitude=m3[0],
        lens_m3_angle=m3[1],
        lens_m4_amplitude=m4[0],
        lens_m4_angle=m4[1],
        psf_fwhm=psf_fwhm,
        **values,
    )


def to_light(vector: FloatArray, psf_fwhm: float = math.nan) -> LensSystem | None:
    """The light of the lens, as a source that nothing bends; None if the lens is dark.

    Args:
        vector: shape (15,), (19,), (22,) or (26,).
        psf_fwhm: of the image's own PSF, arcsec; NaN if the specification gives it.
    """
    light = physical(vector)[len(dark(vector)) :].tolist()
    if not light:
        return None
    source = {
        name.replace("lens_light", "source"): value
        for name, value in zip(LIGHT_NAMES, light, strict=True)
    }
    return LensSystem(
        substructure_class="no_sub",
        einstein_mass=0.0,
        smooth_theta_e=0.0,
        lens_theta_e=0.0,
        lens_e1=0.0,
        lens_e2=0.0,
        lens_gamma1=0.0,
        lens_gamma2=0.0,
        psf_fwhm=psf_fwhm,
        **source,
    )


def from_system(system: LensSystem, *, multipoles: bool) -> FloatArray:
    """The vector of a smooth lens.

    Args:
        system: its substructure is left out.
        multipoles: whether the vector holds them.
    """
    vector = np.array([getattr(system, name) for name in PARAMETER_NAMES])
    vector = vector_of(vector)
    if not multipoles:
        return vector
    components = [
        amplitude * turn
        for order, amplitude, angle in (
            (3, system.lens_m3_amplitude, system.lens_m3_angle),
            (4, system.lens_m4_amplitude, system.lens_m4_angle),
        )
        for turn in (math.cos(order * angle), math.sin(order * angle))
    ]
    return np.concatenate([vector, components])


def physical(vector: FloatArray) -> FloatArray:
    """The values of the parameters at a vector, in their units; same shape."""
    return np.where(_LOGARITHMIC[places_of(len(vector))], np.exp(vector), vector)


def vector_of(values: FloatArray) -> FloatArray:
    """The vector at values of the parameters, in their units; same shape."""
    is_logarithmic = _LOGARITHMIC[places_of(len(values))]
    return np.where(is_logarithmic, np.log(np.where(is_logarithmic, values, 1.0)), values)


def physical_per_vector(vector: FloatArray) -> FloatArray:
    """Derivatives of the parameters by the coordinates of the vector; same shape."""
    return np.where(_LOGARITHMIC[places_of(len(vector))], np.exp(vector), 1.0)


def stepped(vector: FloatArray, step: FloatArray) -> FloatArray:
    """The vector after a step, which is shortened to stay where the model is defined.

    Args:
        vector: shape (p,).
        step: same shape; no coordinate of it changes by more than `LONGEST_STEP`.
    """
    places = places_of(len(vector))
    factor = float(np.max(np.abs(step) / LONGEST_STEP[places]))
    result = vector + step / max(factor, 1.0)
    np.clip(result, LOWEST[places], HIGHEST[places], out=result)
    names = names_of(len(vector))
    for pair in _ELLIPTICITIES:
        if pair[0] not in names:
            continue
        components = [names.index(name) for name in pair]
        modulus = math.hypot(*result[components])
        if modulus > MAX_ELLIPTICITY:
            result[components] *= MAX_ELLIPTICITY / modulus
    return result
