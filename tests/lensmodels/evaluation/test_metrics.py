"""Scores against scikit-learn, and against cases that are known by hand.

The shipped limits of information are those of the specifications 1.0.0 of models A and B.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error

from lensmodels.evaluation import metrics
from lensmodels.evaluation.information import information_limit
from lenssim import load_spec


def test_accuracy_and_confusion(guesses):
    labels, probabilities = guesses
    right = metrics.accuracy(labels, probabilities)
    assert right == pytest.approx(accuracy_score(labels, probabilities.argmax(axis=1)))
    counts = metrics.confusion_matrix(labels, probabilities)
    assert np.trace(counts) / 400 == pytest.approx(right)
    assert list(counts.sum(axis=1)) == list(np.bincount(labels))


def test_confusion_has_a_row_for_a_class_that_is_missing():
    counts = metrics.confusion_matrix(np.array([0, 0]), np.array([[1.0, 0, 0], [0, 0, 1.0]]))
    assert counts.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_calibrated_probabilities_have_no_calibration_error():
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet([0.6, 0.6, 0.6], size=40_000)
    labels = (generator.random(40_000)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1)
    found = metrics.reliability(labels, probabilities)
    assert found.expected_calibration_error < 0.01
    assert found.count.sum() == 40_000


def test_a_model_that_is_always_sure_and_half_right_is_off_by_a_half():
    sure = np.tile([1.0, 0.0, 0.0], (100, 1))
    labels = np.repeat([0, 1], 50)
    found = metrics.reliability(labels, sure)
    assert found.expected_calibration_error == pytest.approx(0.5)
    assert list(found.count) == [100]


def test_regression_metrics():
    generator = np.random.default_rng(2)
    true = generator.uniform(-24, -22, 300)
    predicted = true + generator.normal(0.1, 0.2, 300)
    found = metrics.regression_metrics(true, predicted)
    assert found.rmse_dex == pytest.approx(root_mean_squared_error(true, predicted))
    assert found.r2 == pytest.approx(r2_score(true, predicted))
    assert found.bias_dex == pytest.approx(np.mean(predicted - true))
    assert found.mae_dex == pytest.approx(np.mean(np.abs(predicted - true)))


def test_r2_of_a_single_mass_is_undefined():
    assert metrics.regression_metrics(np.full(3, -23.0), np.zeros(3)).r2 is None


def test_mass_bins_hold_every_image_once_and_the_ends_of_the_prior():
    true = np.array([-24.0, -23.8, -23.75, -23.0, -22.1, -22.0])
    bins = metrics.mass_bins(true)
    assert sorted(np.concatenate([group.members for group in bins])) == list(range(6))
    assert (bins[0].low, bins[-1].high) == (-24.0, -22.0)
    for group in bins:
        assert (true[group.members] >= group.low).all()
        assert (true[group.members] <= group.high).all()
    assert list(bins[0].members) == [0, 1]


def test_snr_bins_are_of_equal_count_and_leave_the_empty_class_out():
    snr = np.concatenate([np.arange(100.0), np.zeros(50)])
    substructured = np.arange(150) < 100
    bins = metrics.snr_bins(snr, substructured, bins=4)
    assert [len(group.members) for group in bins] == [25, 25, 25, 25]
    assert (bins[0].low, bins[-1].high) == (0.0, 99.0)
    assert all(first.high == second.low for first, second in pairwise(bins))
    assert substructured[np.concatenate([group.members for group in bins])].all()


def test_too_few_images_make_no_snr_bin():
    assert metrics.snr_bins(np.ones(5), np.ones(5, bool)) == []


def test_coverage_of_a_right_uncertainty_and_of_one_half_too_small():
    generator = np.random.default_rng(3)
    sigma = generator.uniform(0.1, 0.5, 50_000)
    error = sigma * generator.normal(size=50_000)
    right = metrics.coverage(np.zeros(50_000), error, sigma)
    assert right.observed == pytest.approx(right.nominal, abs=0.01)
    assert right.pull == pytest.approx(1, abs=0.02)
    small = metrics.coverage(np.zeros(50_000), error, sigma / 2)
    assert small.pull == pytest.approx(2, abs=0.04)
    assert (small.observed < small.nominal).all()


def test_local_scatter_follows_the_scatter_of_the_test():
    generator = np.random.default_rng(4)
    tested = generator.uniform(-24, -22, 5000)
    width = np.where(tested < -23, 0.05, 0.4)
    true = tested + width * generator.normal(size=5000)
    found = metrics.local_scatter(np.array([-23.8, -22.2]), tested, true)
    assert found == pytest.approx([0.05, 0.4], rel=0.25)


SPECIFICATIONS = Path(__file__).parents[2] / "lenssim" / "specifications_1_0_0"


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (SPECIFICATIONS / "A.yaml", 0.184),
        (SPECIFICATIONS / "B.yaml", 0.225),
        ("A", 0.185),
        ("B", 0.222),
    ],
)
def test_models_a_and_b_have_a_limit(model, limit):
    """A change of a specification asks for experiments/information.py to be run again."""
    found = information_limit(load_spec(model).sha256)
    assert found is not None
    assert found.limit == pytest.approx(limit, abs=0.005)
    assert (found.log10_mass[0], found.log10_mass[-1]) == (-24, -22)


def test_the_bound_rises_a_thousandfold_from_long_vortices_to_short_ones():
    found = information_limit(load_spec(SPECIFICATIONS / "B.yaml").sha256)
    assert found.bound[0] < 0.01
    assert found.bound[-1] > 5


def test_the_prior_bounds_the_best_estimate_only_where_the_image_does_not():
    found = information_limit(load_spec(SPECIFICATIONS / "A.yaml").sha256)
    assert found.limit_by_mass.max() < 1
    seen = found.bound < 0.05
    assert (found.limit_by_mass[seen] >= found.bound[seen]).all()
    assert (found.limit_by_mass[found.bound < 0.01] < 0.02).all()
    assert (found.limit_by_mass[-4:] < 0.5 * found.bound[-4:]).all()


def test_where_the_quadrupole_is_faint_the_best_estimate_does_worse_than_the_bound():
    found = information_limit(load_spec(SPECIFICATIONS / "B.yaml").sha256)
    faint = np.abs(found.log10_mass + 23.1) < 0.1
    assert (found.limit_by_mass[faint] > 1.2 * found.bound[faint]).all()


def test_another_specification_has_none():
    changed = load_spec("B", ["substructure.f_sub=0.02"])
    assert information_limit(changed.sha256) is None
