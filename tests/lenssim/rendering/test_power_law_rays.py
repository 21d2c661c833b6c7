"""The elliptical power law over many positions against the formula for one."""

import math

import numpy as np
import pytest

from lenssim.profiles.elliptical_power_law import angular_series, elliptical_power_law
from lenssim.rendering.power_law_rays import SCRATCH_ROWS, power_law_deflections


@pytest.mark.parametrize("count", [1, 7, 512])
@pytest.mark.parametrize("slope", [1.5, 1.93, 2.0, 2.5])
@pytest.mark.parametrize("axis_ratio", [1.0, 0.98, 0.75, 0.5, 0.2])
def test_deflections_are_those_of_the_formula(axis_ratio, slope, count):
    x, y = np.random.default_rng(3).uniform(-3, 3, (2, count))
    lens = (1.3, slope, axis_ratio, math.cos(0.4), math.sin(0.4), angular_series(axis_ratio, slope))
    ours = np.empty((2, count))
    power_law_deflections(x, y, *lens, np.empty((SCRATCH_ROWS, 512)), *ours)
    expected = np.array([elliptical_power_law(u, v, *lens) for u, v in zip(x, y, strict=True)]).T
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-12 * np.abs(expected).max())


def test_origin_has_no_deflection():
    ours = np.empty((2, 1))
    lens = (1.3, 1.9, 0.8, 1.0, 0.0, angular_series(0.8, 1.9))
    power_law_deflections(np.zeros(1), np.zeros(1), *lens, np.empty((SCRATCH_ROWS, 1)), *ours)
    assert np.all(ours == 0)
