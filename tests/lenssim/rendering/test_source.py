"""The source profile against lenstronomy's, and its exponential and logarithm against numpy's."""

import numpy as np
import pytest
from lenstronomy.LightModel.light_model import LightModel

from lenssim.rendering.elementary import exponential, logarithm
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


def evaluate(values):
    result = np.array(values, dtype=np.float64)
    exponential(result, np.empty(result.size, dtype=np.int64))
    return result


def test_it_is_the_exponential():
    values = np.random.default_rng(0).uniform(-690, 690, 10_000)
    np.testing.assert_allclose(evaluate(values), np.exp(values), rtol=2e-13)


def test_small_arguments_are_exact():
    values = np.concatenate([[0.0], np.geomspace(1e-18, 0.3, 200), -np.geomspace(1e-18, 0.3, 200)])
    np.testing.assert_allclose(evaluate(values), np.exp(values), rtol=2e-14)


def test_what_is_far_below_is_as_good_as_zero():
    result = evaluate([-701.0, -1e6, -np.inf])
    assert (result >= 0).all()
    assert (result < 1e-300).all()


def test_nan_stays_nan():
    assert np.isnan(evaluate([np.nan, 1.0])[0])


def test_logarithm():
    values = np.concatenate([10.0 ** np.linspace(-300, 300, 2001), [1.0, 2.0, 0.5, 1 - 1e-16]])
    ours = values.copy()
    logarithm(ours, ours.view(np.int64))
    np.testing.assert_allclose(ours, np.log(values), rtol=1e-14, atol=1e-15)
