import numpy as np
import pytest

from lenssim.lens_fit import refit_snr

GENERATOR = np.random.default_rng(0)
DERIVATIVES = GENERATOR.normal(size=(4, 8, 8)) * np.array([1.0, 1e-6, 1e6, 3.0])[:, None, None]
RESIDUAL = GENERATOR.normal(size=(8, 8))


def test_combination_of_derivatives_leaves_nothing():
    residual = np.tensordot([2.0, 3e6, -1e-6, 0.5], DERIVATIVES, 1)
    assert refit_snr(residual, DERIVATIVES) < 1e-9 * np.linalg.norm(residual)


def test_what_is_left_is_that_of_least_squares():
    columns = DERIVATIVES.reshape(4, -1).T
    solution, *_ = np.linalg.lstsq(columns / np.linalg.norm(columns, axis=0), RESIDUAL.ravel())
    left = RESIDUAL.ravel() - columns / np.linalg.norm(columns, axis=0) @ solution
    assert refit_snr(RESIDUAL, DERIVATIVES) == pytest.approx(np.linalg.norm(left))


def test_parameters_without_effect_of_their_own_take_nothing_out():
    alone = refit_snr(RESIDUAL, DERIVATIVES)
    degenerate = np.stack([*DERIVATIVES, DERIVATIVES[0] + 2 * DERIVATIVES[3], 0 * RESIDUAL])
    assert refit_snr(RESIDUAL, degenerate) == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("derivatives", [np.zeros((3, 8, 8)), np.zeros((0, 8, 8))])
def test_without_derivatives_the_norm_is_left(derivatives):
    assert refit_snr(RESIDUAL, derivatives) == pytest.approx(np.linalg.norm(RESIDUAL))
