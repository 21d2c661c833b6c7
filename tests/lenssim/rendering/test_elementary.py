"""The vectorised exponential and logarithm against numpy's."""

import numpy as np

from lenssim.rendering.elementary import exponential, logarithm


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
