"""The source profile against lenstronomy's."""

import numpy as np
import pytest
from lenstronomy.LightModel.light_model import LightModel

from lenssim.rendering.source import (
    elliptical_radius,
    sersic_amplitude,
    sersic_b,
    sersic_exponent,
)


def profile(x, y, amplitude, n_sersic, e1=0.0, e2=0.0):
    b = float(sersic_b(n_sersic))
    exponents = [
        sersic_exponent(elliptical_radius(u, v, e1, e2), 0.25, n_sersic, b)
        for u, v in zip(x, y, strict=True)
    ]
    return amplitude * np.exp(exponents)


@pytest.mark.parametrize("n_sersic", [0.5, 1.0, 4.0])
def test_profile_is_lenstronomys(n_sersic):
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 200))
    theirs = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(
        x, y, [{"amp": 3.0, "R_sersic": 0.25, "n_sersic": n_sersic, "e1": -0.1, "e2": 0.1}]
    )
    ours = profile(x, y, 3.0, n_sersic, -0.1, 0.1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_total_flux_is_what_was_asked_for():
    amplitude = sersic_amplitude(7.0, 0.25, 1.0)
    radius = np.linspace(0, 10, 200_001)
    brightness = profile(radius, np.zeros_like(radius), amplitude, 1.0)
    flux = np.trapezoid(2 * np.pi * radius * brightness, radius)
    assert flux == pytest.approx(7.0, rel=1e-6)
