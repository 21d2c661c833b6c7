"""Scaled and moved priors draw the scaled and moved values."""

import numpy as np
import pytest

from lenssim.errors import SpecError
from lenssim.spec import Prior
from lenssim.spec.shifted_priors import moved_prior, scaled_prior

BOTH = [
    2.5,
    {"uniform": [1.0, 2.0]},
    {"normal": [2.0, 0.1]},
    {"truncated_normal": [2.0, 0.5, 1.0, 2.5]},
    {"choice": [1.0, 2.0, 4.0]},
]
SCALED = [
    *BOTH,
    {"log_uniform": [1.0, 10.0]},
    {"lognormal": [1.2, 0.3]},
    {"lognormal": [1.2, 0.3, 0.5, 4.0]},
    {"rayleigh": [0.3]},
    {"rayleigh": [0.3, 0.1, 0.9]},
    {
        "velocity_function": {
            "sigma_star": 161.0,
            "alpha": 2.32,
            "beta": 2.67,
            "low": 100.0,
            "high": 400.0,
        }
    },
]


def draws(prior):
    generator = np.random.default_rng(3)
    return np.array([prior.draw(generator) for _ in range(50)])


@pytest.mark.parametrize("written", SCALED, ids=str)
def test_scaled_prior_draws_the_scaled_values(written):
    prior = Prior.model_validate(written)
    np.testing.assert_allclose(draws(scaled_prior(prior, 1.3)), 1.3 * draws(prior), rtol=1e-9)


@pytest.mark.parametrize("written", BOTH, ids=str)
def test_moved_prior_draws_the_moved_values(written):
    prior = Prior.model_validate(written)
    np.testing.assert_allclose(draws(moved_prior(prior, -0.4)), draws(prior) - 0.4, rtol=1e-9)


@pytest.mark.parametrize("change", [scaled_prior, moved_prior])
def test_distribution_that_cannot_be_changed_is_named(change):
    with pytest.raises(SpecError, match=r"poisson.*cannot be scaled or moved"):
        change(Prior.model_validate({"poisson": 3.0}), 2.0)
