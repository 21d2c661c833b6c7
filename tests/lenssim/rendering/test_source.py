"""The source profile against lenstronomy's."""

import numpy as np
import pytest
from lenstronomy.LightModel.light_model import LightModel

from lenssim.rendering.source import sersic_amplitude, sersic_b, sersic_ellipse


@pytest.mark.parametrize("n_sersic", [0.5, 1.0, 4.0])
def test_profile_is_lenstronomys(n_sersic):
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 200))
    theirs = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(
        x, y, [{"amp": 3.0, "R_sersic": 0.25, "n_sersic": n_sersic, "e1": -0.1, "e2": 0.1}]
    )
    b = float(sersic_b(n_sersic))
    ours = [
        sersic_ellipse(u, v, 3.0, 0.25, n_sersic, b, -0.1, 0.1) for u, v in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_total_flux_is_what_was_asked_for():
    amplitude = sersic_amplitude(7.0, 0.25, 1.0)
    radius = np.linspace(0, 10, 200_001)
    b = float(sersic_b(1.0))
    profile = np.array([sersic_ellipse(r, 0.0, amplitude, 0.25, 1.0, b, 0.0, 0.0) for r in radius])
    flux = np.trapezoid(2 * np.pi * radius * profile, radius)
    assert flux == pytest.approx(7.0, rel=1e-6)
