"""The fast AUC is exact, and the intervals are what theory and coverage say.

Areas under ROC curves agree with scikit-learn, and are undefined where they should be.
"""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lensmodels.statistics import auc, bootstrap
from lensmodels.statistics.bootstrap import weighted_macro_auc
from lensmodels.tasks import classification


@pytest.fixture
def generator():
    return np.random.default_rng(11)


@pytest.mark.parametrize("levels", [7, 10**9], ids=["many ties", "no ties"])
def test_the_fast_auc_is_that_of_scikit_learn_for_any_counts(generator, levels):
    positive = generator.random(300) < 0.3
    scores = (generator.integers(levels, size=300) + 2 * positive) / levels
    counts = generator.integers(0, 4, size=(5, 300)).astype(float)
    found = bootstrap.weighted_auc(positive, scores)(counts)
    expected = [roc_auc_score(positive, scores, sample_weight=row) for row in counts]
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_macro_auc_is_that_of_scikit_learn(generator):
    labels = generator.integers(3, size=200)
    probabilities = generator.dirichlet([1, 1, 1], size=200)
    [found] = bootstrap.weighted_macro_auc(labels, probabilities)(np.ones((1, 200)))
    assert found == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))


def test_resamples_keep_the_size_of_every_class_and_are_repeatable(generator):
    strata = generator.integers(3, size=100)
    counts = np.concatenate(list(bootstrap.resamples(strata, seed=1, count=50)))
    for stratum in range(3):
        sizes = counts[:, strata == stratum].sum(axis=1)
        assert (sizes == (strata == stratum).sum()).all()
    again = np.concatenate(list(bootstrap.resamples(strata, seed=1, count=50)))
    assert (counts == again).all()
    assert len(np.unique(counts, axis=0)) == 50


def test_every_image_is_drawn_once_on_average():
    strata = np.repeat([0, 1], [20, 80])
    counts = np.concatenate(list(bootstrap.resamples(strata, seed=1, count=4000)))
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.08)
    # binomial: a bootstrap, not a permutation
    np.testing.assert_allclose(counts.var(axis=0), 1, atol=0.15)


def test_the_interval_of_a_mean_is_that_of_theory(generator):
    values = generator.normal(size=2000)
    [found] = bootstrap.intervals(
        [bootstrap.weighted_mean(values)], np.zeros(2000, int), seed=0, count=4000
    )
    half = 1.96 * values.std() / np.sqrt(2000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_intervals_contain_the_true_auc_as_often_as_they_say(generator):
    """Normal scores a unit apart have an AUC of Phi(1 / sqrt 2) = 0.7602."""
    inside = 0
    positive = np.arange(200) < 100
    for trial in range(200):
        scores = generator.normal(size=200) + positive
        [found] = bootstrap.intervals(
            [bootstrap.weighted_auc(positive, scores)], positive.astype(int), seed=trial, count=300
        )
        inside += found.low <= 0.76025 <= found.high
    assert 0.89 <= inside / 200 <= 0.99


def test_a_paired_interval_is_narrower_than_unpaired_runs_suggest(generator):
    labels = np.arange(1000) < 500
    shared = generator.normal(size=1000) + labels
    better, worse = shared + 0.12 * labels, shared + 0.02 * generator.normal(size=1000)
    statistics = [bootstrap.weighted_auc(labels, scores) for scores in (better, worse)]
    one, other = bootstrap.intervals(statistics, labels.astype(int), seed=0)
    difference = bootstrap.paired_interval(*statistics, labels.astype(int), seed=0)
    assert one.low < other.high, "each by itself, the two runs cannot be told apart"
    assert difference.low > 0
    assert difference.excludes_zero


def test_a_run_does_not_differ_from_itself(generator):
    labels = generator.integers(3, size=90)
    score = bootstrap.weighted_macro_auc(labels, generator.dirichlet([1, 1, 1], size=90))
    found = bootstrap.paired_interval(score, score, labels, seed=0)
    assert (found.low, found.high) == (0, 0)
    assert not found.excludes_zero


def test_rms_of_counted_errors():
    rms = bootstrap.weighted_rms(np.array([3.0, 4.0]))
    assert rms(np.array([[1.0, 1.0], [2.0, 0.0]])) == pytest.approx([np.sqrt(12.5), 3.0])


def test_auc_is_that_of_scikit_learn(guesses):
    labels, probabilities = guesses
    areas = auc.one_vs_rest_auc(labels, probabilities)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average=None)
    assert areas == pytest.approx(list(expected))
    macro = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert auc.macro_mean(areas) == pytest.approx(macro)


def test_a_missing_class_has_no_auc_and_no_mean_is_taken_without_it(guesses):
    labels, probabilities = guesses
    some = labels != 2
    areas = auc.one_vs_rest_auc(labels[some], probabilities[some])
    assert areas[2] is None
    assert areas[0] is not None
    assert areas[1] is not None
    assert auc.macro_mean(areas) is None


def test_one_class_alone_has_no_auc(guesses):
    labels, probabilities = guesses
    one = labels == 0
    assert auc.one_vs_rest_auc(labels[one], probabilities[one]) == [None, None, None]


def test_every_macro_auc_is_undefined_without_a_class(guesses):
    """The test's, the validation's and the bootstrap's follow one rule."""
    labels, probabilities = guesses
    for chosen, is_defined in ((labels >= 0, True), (labels != 2, False)):
        truth, scores = labels[chosen], probabilities[chosen]
        tested = auc.macro_auc(truth, scores)
        validated = classification.macro_auc(torch.tensor(scores), torch.tensor(truth))
        [resampled] = weighted_macro_auc(truth, scores)(np.ones((1, len(truth))))
        assert (tested is not None) is is_defined
        assert math.isfinite(validated) is is_defined
        assert math.isfinite(resampled) is is_defined
