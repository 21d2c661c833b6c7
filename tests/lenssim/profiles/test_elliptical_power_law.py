"""The elliptical power law against lenstronomy's EPL, and its limits."""

import math

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.Util.param_util import phi_q2_ellipticity

from lenssim.profiles.elliptical_power_law import (
    angular_series,
    elliptical_power_law,
    elliptical_power_law_hessian,
)

X, Y = np.random.default_rng(1).uniform(-3, 3, (2, 200))
THETA_E = 1.3


def evaluate(function, slope, axis_ratio, phi, x=X, y=Y):
    series = angular_series(axis_ratio, slope)
    lens = (THETA_E, slope, axis_ratio, math.cos(phi), math.sin(phi), series)
    return np.array([function(u, v, *lens) for u, v in zip(x, y, strict=True)]).T


def lenstronomy_parameters(slope, axis_ratio, phi):
    e1, e2 = phi_q2_ellipticity(phi, axis_ratio)
    return [{"theta_E": THETA_E, "gamma": slope, "e1": e1, "e2": e2}]


def relative_error(ours, theirs):
    return np.max(np.linalg.norm(ours - theirs, axis=0) / np.linalg.norm(theirs, axis=0))


LENSES = [
    (slope, axis_ratio, phi)
    for slope in (1.5, 1.9, 2.0, 2.13, 2.5)
    for axis_ratio, phi in ((1.0, 0.0), (0.97, -1.0), (0.8, 0.4), (0.5, 2.0), (0.2, 1.2))
]


@pytest.mark.parametrize(("slope", "axis_ratio", "phi"), LENSES)
def test_deflection_is_that_of_lenstronomy(slope, axis_ratio, phi):
    ours = evaluate(elliptical_power_law, slope, axis_ratio, phi)
    theirs = np.array(
        LensModel(["EPL"]).alpha(X, Y, lenstronomy_parameters(slope, axis_ratio, phi))
    )
    assert relative_error(ours, theirs) < 1e-11


@pytest.mark.parametrize(("slope", "axis_ratio", "phi"), LENSES)
def test_hessian_is_that_of_lenstronomy(slope, axis_ratio, phi):
    ours = evaluate(elliptical_power_law_hessian, slope, axis_ratio, phi)
    f_xx, f_xy, _, f_yy = LensModel(["EPL"]).hessian(
        X, Y, lenstronomy_parameters(slope, axis_ratio, phi)
    )
    assert relative_error(ours, np.array([f_xx, f_xy, f_yy])) < 1e-10


def test_hessian_is_the_derivative_of_the_deflection():
    lens, step = (2.1, 0.7, 0.5), 1e-5
    f_xx, f_xy, f_yy = evaluate(elliptical_power_law_hessian, *lens)
    along_x = evaluate(elliptical_power_law, *lens, x=X + step)
    along_x -= evaluate(elliptical_power_law, *lens, x=X - step)
    along_y = evaluate(elliptical_power_law, *lens, y=Y + step)
    along_y -= evaluate(elliptical_power_law, *lens, y=Y - step)
    near_centre = np.hypot(X, Y) < 0.1
    for ours, difference in ((f_xx, along_x[0]), (f_xy, along_x[1]), (f_yy, along_y[1])):
        np.testing.assert_allclose(
            ours[~near_centre], difference[~near_centre] / (2 * step), atol=1e-7
        )
    np.testing.assert_allclose(along_x[1], along_y[0], atol=1e-9)


def test_round_isothermal_lens_is_a_singular_isothermal_sphere():
    ours = evaluate(elliptical_power_law, 2.0, 1.0, 0.3)
    np.testing.assert_allclose(ours, THETA_E * np.array([X, Y]) / np.hypot(X, Y), rtol=1e-12)


def test_mass_inside_the_ellipse_is_that_of_the_circle():
    # mean convergence of one inside q x^2 + y^2 / q = theta_E^2: half the flux of the deflection
    slope, axis_ratio = 2.2, 0.6
    angle = 2 * np.pi * np.arange(400) / 400
    semi_major, semi_minor = THETA_E / math.sqrt(axis_ratio), THETA_E * math.sqrt(axis_ratio)
    x, y = semi_major * np.cos(angle), semi_minor * np.sin(angle)
    alpha_x, alpha_y = evaluate(elliptical_power_law, slope, axis_ratio, 0.0, x, y)
    normal_x, normal_y = semi_minor * np.cos(angle), semi_major * np.sin(angle)
    flux = np.mean(alpha_x * normal_x + alpha_y * normal_y)
    assert flux == pytest.approx(THETA_E**2, rel=1e-12)


def test_origin_has_no_deflection():
    assert np.all(evaluate(elliptical_power_law, 1.9, 0.8, 0.3, x=[0.0], y=[0.0]) == 0)


def test_terms_follow_the_ellipticity():
    terms = [angular_series(axis_ratio, 2.0).size for axis_ratio in (1.0, 0.8, 0.5, 0.2)]
    assert terms[0] == 1
    assert terms == sorted(terms)
    assert terms[-1] < 80
