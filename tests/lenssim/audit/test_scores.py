"""Errors of AUCs are right where nothing tells the classes, and where something does."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lenssim.audit.scores import Auc, class_auc, cross_validated_auc, macro_auc, mean_over_folds


def nearest_mean(features, labels, scored):
    """A classifier that is quick to train: minus the distance from the mean of each class."""
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    return -np.linalg.norm(scored[:, None] - means, axis=2)


def null_deviations(repeats, learner=None, images=200, features=4):
    """Deviations of cross-validated AUCs of features that are the same in every class."""
    generator = np.random.default_rng(5)
    labels = np.repeat(np.arange(3), images)
    options = {} if learner is None else {"learner": learner}
    return [
        cross_validated_auc(
            labels, generator.normal(size=(len(labels), features)), seed=repeat, **options
        ).deviation
        for repeat in range(repeats)
    ]


def test_macro_auc_is_that_of_scikit_learn():
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [40, 90, 60])
    scores = np.round(generator.normal(size=(190, 3)), 1)  # with ties
    expected = [roc_auc_score(labels == label, scores[:, label]) for label in range(3)]
    assert macro_auc(labels, scores).value == pytest.approx(np.mean(expected), abs=1e-12)
    assert class_auc(labels, 1, scores[:, 0]).value == pytest.approx(
        roc_auc_score(labels == 1, scores[:, 0]), abs=1e-12
    )


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_error_is_the_scatter_of_the_auc(shift):
    generator = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [80, 120, 50])
    found = []
    for _ in range(200):
        scores = generator.normal(size=(250, 3))
        scores[:, 2] += 0.5 * scores[:, 0]
        scores[np.arange(250), labels] += shift
        found.append(macro_auc(labels, scores))
    scatter = np.std([area.value for area in found])
    assert np.mean([area.error for area in found]) == pytest.approx(scatter, rel=0.15)


def test_equal_scores_are_chance_without_error():
    auc = class_auc(np.array([0, 0, 1, 1]), 1, np.ones(4))
    assert auc == Auc(0.5, 0.0)
    assert auc.deviation == 0.0
    assert auc.p_value == 1.0


def test_a_perfect_score_is_no_division_by_zero():
    auc = class_auc(np.array([0, 0, 1, 1]), 1, np.array([1.0, 2.0, 3.0, 4.0]))
    assert auc.value == 1.0
    assert auc.p_value < 1e-9


def test_folds_are_averaged():
    assert mean_over_folds([Auc(0.4, 0.03), Auc(0.6, 0.04)]) == Auc(
        pytest.approx(0.5), pytest.approx(0.025)
    )


def test_the_error_of_cross_validation_is_right_where_nothing_tells():
    deviations = null_deviations(100, nearest_mean, images=200)
    assert np.mean(deviations) == pytest.approx(0.0, abs=0.25)
    assert np.std(deviations) == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow
def test_the_error_of_gradient_boosting_is_right_where_nothing_tells():
    deviations = null_deviations(60, images=150)
    assert np.mean(deviations) == pytest.approx(0.0, abs=0.3)
    assert np.std(deviations) == pytest.approx(1.0, abs=0.2)
