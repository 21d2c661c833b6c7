"""Areas under ROC curves against scikit-learn, and when they are undefined."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lensmodels.statistics import auc
from lensmodels.statistics.bootstrap import weighted_macro_auc
from lensmodels.tasks import classification


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
