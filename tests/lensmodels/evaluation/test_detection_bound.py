"""No classifier is better than one that knows the pattern that it looks for."""

import numpy as np
import pytest
from scipy.stats import norm

from lensmodels.evaluation.detection_bound import detection_bound, set_bound


def rows_of(snr):
    return {(row["above"], row["class"]): row["auc"] for row in detection_bound(snr, draws=40_000)}


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
def test_the_bound_of_one_known_pattern_is_that_of_two_normal_deviates(strength):
    found = rows_of({"cdm": np.full(10, strength)})
    assert found[0.0, "cdm"] == pytest.approx(norm.cdf(strength / np.sqrt(2)), abs=0.006)
    assert (0.0, "all") not in found


def test_strong_substructure_is_certain_and_none_is_chance():
    found = rows_of({"axion": np.full(10, 1e-6), "cdm": np.full(10, 30.0)})
    assert found[0.0, "axion"] == pytest.approx(0.5, abs=0.01)
    assert found[0.0, "cdm"] == pytest.approx(1.0, abs=1e-6)
    # axion and no_sub are alike: (0.75 + 1 + 0.75) / 3
    assert found[0.0, "all"] == pytest.approx(2.5 / 3, abs=0.005)
    assert (3.0, "cdm") not in found


def test_a_classifier_that_does_not_know_the_pattern_is_below():
    strength, places = 2.0, 20
    generator = np.random.default_rng(0)
    images = generator.standard_normal((2, 20_000, places))
    images[0, np.arange(20_000), generator.integers(0, places, 20_000)] += strength
    evidence = np.logaddexp.reduce(strength * images, axis=2)  # the best that can be
    auc = np.searchsorted(np.sort(evidence[1]), evidence[0]).mean() / 20_000
    assert auc < rows_of({"cdm": np.full(10, strength)})[0.0, "cdm"] - 0.1


@pytest.mark.parametrize("size", [1, 25, 400])
def test_the_evidence_of_a_set_adds_up(size):
    found = set_bound(np.full(50, 0.1), size, draws=4000)
    assert found == pytest.approx(norm.cdf(0.1 * np.sqrt(size / 2)), abs=0.02)
