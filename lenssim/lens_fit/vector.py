"""The free parameters as the vector that a fit moves.

The half-light radius and the Sersic index of the source enter by their logarithms: they are
positive, and the image is closer to linear in these.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lenssim.lens_fit.parameters import ALL_NAMES, PARAMETER_NAMES
from lenssim.population import LensSystem

FloatArray = NDArray[np.float64]

_LOGARITHMIC = np.array([name in ("source_r_sersic", "source_n_sersic") for name in ALL_NAMES])

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
}
"""Least and greatest value of each coordinate of the vector, and the longest step of it."""

LOWEST, HIGHEST, LONGEST_STEP = (
    np.array([_LIMITS[name][k] for name in ALL_NAMES]) for k in range(3)
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
}
"""Mean and standard deviation of galaxies as they usually are, wide. A descent is led by them while
it is far from the image, and not when it ends."""

USUAL, USUAL_PRECISION = (
    np.array([_USUAL[name][0] if name in _USUAL else 0.0 for name in ALL_NAMES]),
    np.array([_USUAL[name][1] ** -2 if name in _USUAL else 0.0 for name in ALL_NAMES]),
)

MAX_ELLIPTICITY = 0.8
"""Modulus of an ellipticity, at most."""

_ELLIPTICITIES = [
    [ALL_NAMES.index(f"{galaxy}_e{k}") for k in (1, 2)] for galaxy in ("lens", "source")
]


def to_system(vector: FloatArray, psf_fwhm: float = math.nan) -> LensSystem:
    """The smooth lens of a vector, of `PARAMETERS` alone or with the multipoles.

    Args:
        vector: shape (15,) or (19,).
        psf_fwhm: of the image's own PSF, arcsec; NaN if the specification gives it.
    """
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


def from_system(system: LensSystem, *, multipoles: bool) -> FloatArray:
    """The vector of a smooth lens.

    Args:
        system: its substructure is left out.
        multipoles: whether the vector holds them.
    """
    vector = np.array([getattr(system, name) for name in PARAMETER_NAMES])
    vector[_LOGARITHMIC[: len(vector)]] = np.log(vector[_LOGARITHMIC[: len(vector)]])
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
    return np.where(_LOGARITHMIC[: len(vector)], np.exp(vector), vector)


def physical_per_vector(vector: FloatArray) -> FloatArray:
    """Derivatives of the parameters by the coordinates of the vector; same shape."""
    return np.where(_LOGARITHMIC[: len(vector)], np.exp(vector), 1.0)


def stepped(vector: FloatArray, step: FloatArray) -> FloatArray:
    """The vector after a step, which is shortened to stay where the model is defined.

    Args:
        vector: shape (p,).
        step: same shape; no coordinate of it changes by more than `LONGEST_STEP`.
    """
    count = len(vector)
    factor = float(np.max(np.abs(step) / LONGEST_STEP[:count]))
    result = vector + step / max(factor, 1.0)
    np.clip(result, LOWEST[:count], HIGHEST[:count], out=result)
    for pair in _ELLIPTICITIES:
        modulus = math.hypot(*result[pair])
        if modulus > MAX_ELLIPTICITY:
            result[pair] *= MAX_ELLIPTICITY / modulus
    return result
