"""Each deflection against lenstronomy's profile, and the vortex against its analytic limits.

The elliptical power law over many positions agrees with the formula for one.
"""

import math

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel

from lenssim.profiles.elliptical_power_law import angular_series, elliptical_power_law
from lenssim.profiles.ellipticity import axis_ratio_and_angle
from lenssim.rendering import deflection
from lenssim.rendering.power_law_rays import SCRATCH_ROWS, power_law_deflections
from lenssim.rendering.reference import VortexLine

GENERATOR = np.random.default_rng(1)
X, Y = GENERATOR.uniform(-3, 3, (2, 300))


def evaluate(function, *parameters):
    return np.array([function(x, y, *parameters) for x, y in zip(X, Y, strict=True)]).T


def lenstronomy(profile, **parameters):
    return np.array(LensModel([profile]).alpha(X, Y, [parameters]))


def test_sis():
    ours = evaluate(deflection.sis, 1.6)
    np.testing.assert_allclose(ours, lenstronomy("SIS", theta_E=1.6), rtol=1e-12)


@pytest.mark.parametrize(("e1", "e2"), [(0.1, 0.0), (-0.2, 0.15), (0.0, 0.4)])
def test_sie(e1, e2):
    axis_ratio, phi = axis_ratio_and_angle(e1, e2)
    ours = evaluate(deflection.sie, 1.3, axis_ratio, math.cos(phi), math.sin(phi))
    theirs = lenstronomy("SIE", theta_E=1.3, e1=e1, e2=e2)
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_a_round_sie_is_a_sis():
    for axis_ratio in (1.0, 1.0 - 1e-9, 1.0 - 1e-7):
        ours = evaluate(deflection.sie, 1.3, axis_ratio, 1.0, 0.0)
        np.testing.assert_allclose(ours, evaluate(deflection.sis, 1.3), atol=1e-6)


def test_shear():
    ours = evaluate(deflection.shear, 0.05, -0.02)
    np.testing.assert_allclose(ours, lenstronomy("SHEAR", gamma1=0.05, gamma2=-0.02), rtol=1e-12)


def test_point_mass():
    ours = evaluate(deflection.point_mass, 0.1**2)
    np.testing.assert_allclose(ours, lenstronomy("POINT_MASS", theta_E=0.1), rtol=1e-12)


@pytest.mark.parametrize(("length", "phi"), [(0.05, 0.3), (1.0, 2.0), (5.4, 1.1)])
def test_vortex_is_lenstronomys_written_apart(length, phi):
    half = 0.5 * length
    ours = evaluate(deflection.vortex_line, 0.17, half * math.cos(phi), half * math.sin(phi))
    np.testing.assert_allclose(ours, VortexLine()(X, Y, 0.17, length, phi), atol=1e-12)


def test_vortex_is_the_limit_of_many_point_masses():
    length, phi, theta_e = 1.0, 0.7, 0.17
    half = 0.5 * length * np.array([math.cos(phi), math.sin(phi)])
    closed = evaluate(deflection.vortex_line, theta_e, *half)
    errors = []
    for count in (10, 100, 1000):
        along = (np.arange(count) + 0.5) / count * 2 - 1
        parameters = [
            {
                "theta_E": theta_e / math.sqrt(count),
                "center_x": t * half[0],
                "center_y": t * half[1],
            }
            for t in along
        ]
        point_masses = np.array(LensModel(["POINT_MASS"] * count).alpha(X, Y, parameters))
        # away from the line, where each point mass would show
        distance = np.abs(half[0] * Y - half[1] * X) / (0.5 * length)
        far = distance > 0.2
        errors.append(np.abs(point_masses - closed)[:, far].max())
    assert errors[0] > 30 * errors[1] > 900 * errors[2]  # second order in 1/N
    assert errors[2] < 1e-7


def test_a_vortex_of_no_length_is_a_point_mass():
    for length in (1e-3, 1e-6, 1e-9):
        ours = evaluate(deflection.vortex_line, 0.17, 0.5 * length, 0.0)
        point = evaluate(deflection.point_mass, 0.17**2)
        near = np.hypot(X, Y).min()
        np.testing.assert_allclose(ours, point, atol=(length / near) ** 2 + 1e-12)


def test_the_far_field_of_a_vortex_is_a_point_mass():
    theta_e, half = 0.17, (1.0, 1.5)
    for radius in (1e2, 1e4, 1e6):
        ours = np.array(deflection.vortex_line(radius, 0.5 * radius, theta_e, *half))
        point = np.array(deflection.point_mass(radius, 0.5 * radius, theta_e**2))
        np.testing.assert_allclose(ours, point, rtol=4 / radius**2 + 1e-12)


def test_the_mass_of_a_vortex_is_inside_any_contour_around_it():
    # Gauss: the flux of the deflection through a closed contour is 2 pi theta_E^2
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    alpha = np.array(
        [deflection.vortex_line(2 * math.cos(a), 2 * math.sin(a), 0.17, 1.0, 0.9) for a in angle]
    )
    outward = alpha[:, 0] * np.cos(angle) + alpha[:, 1] * np.sin(angle)
    assert outward.mean() * 2 == pytest.approx(0.17**2, rel=1e-10)


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
