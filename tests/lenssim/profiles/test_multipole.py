"""Multipoles against lenstronomy, and what their amplitude means."""

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel

from lenssim.profiles.multipole import multipole, multipole_components, multipole_hessian

X, Y = np.random.default_rng(2).uniform(-3, 3, (2, 200))
CASES = [(2, 0.02, 0.4), (3, 0.013, 0.3), (3, -0.01, -2.0), (4, 0.008, 1.0), (4, 0.0, 0.2)]


def evaluate(function, order, amplitude, angle, theta_e=1.0, x=X, y=Y):
    components = multipole_components(order, amplitude, angle, theta_e)
    return np.array([function(u, v, order, *components) for u, v in zip(x, y, strict=True)]).T


@pytest.mark.parametrize(("order", "amplitude", "angle"), CASES)
def test_deflection_and_hessian_are_those_of_lenstronomy(order, amplitude, angle):
    model = LensModel(["MULTIPOLE"])
    parameters = [{"m": order, "a_m": amplitude, "phi_m": angle}]
    np.testing.assert_allclose(
        evaluate(multipole, order, amplitude, angle), model.alpha(X, Y, parameters), atol=1e-15
    )
    f_xx, f_xy, _, f_yy = model.hessian(X, Y, parameters)
    np.testing.assert_allclose(
        evaluate(multipole_hessian, order, amplitude, angle), [f_xx, f_xy, f_yy], atol=1e-13
    )


@pytest.mark.parametrize("order", [3, 4])
def test_amplitude_is_the_relative_shift_of_the_isodensity_contour(order):
    theta_e, amplitude, angle = 1.4, 0.01, 0.25
    phi = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    # the contour kappa = 1/2 of the sphere is the circle of radius theta_E
    radius = theta_e * (1 + amplitude * np.cos(order * (phi - angle)))
    x, y = radius * np.cos(phi), radius * np.sin(phi)
    f_xx, _, f_yy = evaluate(multipole_hessian, order, amplitude, angle, theta_e, x, y)
    kappa = 0.5 * theta_e / radius + 0.5 * (f_xx + f_yy)
    np.testing.assert_allclose(kappa, 0.5, rtol=1e-12)


@pytest.mark.parametrize("order", [3, 4])
def test_ring_keeps_its_radius(order):
    phi = 2 * np.pi * np.arange(64) / 64
    x, y = np.cos(phi), np.sin(phi)
    alpha_x, alpha_y = evaluate(multipole, order, 0.01, 0.7, 1.0, x, y)
    assert abs(np.mean(alpha_x * x + alpha_y * y)) < 1e-16
