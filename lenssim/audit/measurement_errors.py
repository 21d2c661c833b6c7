"""How well an image tells the parameters of its smooth lens and source: Fisher information.

An audit asks what a perfect observer could tell, and no observer knows a radius to all digits. The
error of a parameter is its marginal one in the smooth lens, where the ring radius, the source's
position and everything that varies in the archive are free:

    F_ij = sum over pixels of dI/dp_i dI/dp_j / sigma^2,

with derivatives by central differences of rendered images, and wide Gaussian priors. It is computed
for a few images, whose median is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import LensSystem
from lenssim.simulation import render, smooth_system
from lenssim.spec import Specification

FloatArray = NDArray[np.float64]

FISHER_IMAGES = 8
"""Images that derivatives are rendered for."""

RING_RADIUS = "ring_radius"

_PARAMETERS = {
    RING_RADIUS: (1e-3, 0.5),
    "lens_e1": (2e-3, 0.3),
    "lens_e2": (2e-3, 0.3),
    "lens_gamma1": (1e-3, 0.2),
    "lens_gamma2": (1e-3, 0.2),
    "lens_x": (1e-3, 0.2),
    "lens_y": (1e-3, 0.2),
    "lens_slope": (5e-3, 0.3),
    "lens_m3_amplitude": (1e-3, 0.05),
    "lens_m4_amplitude": (1e-3, 0.05),
    "lens_m3_angle": (1e-2, 2.0),
    "lens_m4_angle": (1e-2, 2.0),
    "source_x": (1e-3, 0.5),
    "source_y": (1e-3, 0.5),
    "source_magnitude": (1e-2, 2.0),
    "source_r_sersic": (1e-3, 0.5),
    "source_n_sersic": (1e-2, 2.0),
    "source_e1": (5e-3, 0.5),
    "source_e2": (5e-3, 0.5),
    "psf_fwhm": (1e-3, 0.02),
}
"""For each parameter, in its unit: half the difference that a derivative is taken over, and the
standard deviation of a wide prior, which only counts where an image does not tell the parameter."""

_ALWAYS_FREE = (RING_RADIUS, "source_x", "source_y")


def measurement_errors(
    systems: Sequence[LensSystem], spec: Specification, spreads: Mapping[str, float]
) -> dict[str, float]:
    """Standard errors of the parameters that images are rendered from.

    Args:
        systems: of the archive, a few of each class.
        spec: its instrument and sampling.
        spreads: standard deviation of each parameter over the archive; one that is the same in
            every image, with 0, is known.

    Returns:
        For each parameter of `spreads` that an image depends on and that is free, in its unit.
    """
    free = [name for name in _PARAMETERS if name in _ALWAYS_FREE or spreads.get(name, 0.0) > 0.0]
    errors = [_marginal_errors(smooth_system(system), spec, free) for system in systems]
    return dict(zip(free, np.median(errors, axis=0).tolist(), strict=True))


def _marginal_errors(smooth: LensSystem, spec: Specification, free: Sequence[str]) -> FloatArray:
    """Errors of the free parameters at one smooth lens, shape (parameters,)."""
    shifted = [
        _shifted(smooth, name, sign * _PARAMETERS[name][0]) for name in free for sign in (1.0, -1.0)
    ]
    images = render([smooth, *shifted], spec)
    sigma = noise_sigma(images[0], pixel_noise(spec.instrument))
    steps, priors = np.array([_PARAMETERS[name] for name in free]).T
    derivatives = (images[1::2] - images[2::2]) / (2.0 * steps[:, None, None]) / sigma
    flat = derivatives.reshape(len(free), -1)
    # scaled to a unit diagonal, which keeps parameters of other units apart from rounding
    information = flat @ flat.T + np.diag(priors**-2.0)
    scale = np.sqrt(np.diag(information))
    covariance = np.linalg.pinv(information / np.outer(scale, scale), hermitian=True)
    return np.sqrt(np.diag(covariance)) / scale


def _shifted(system: LensSystem, name: str, step: float) -> LensSystem:
    field = "lens_theta_e" if name == RING_RADIUS else name
    return replace(system, **{field: getattr(system, field) + step})
