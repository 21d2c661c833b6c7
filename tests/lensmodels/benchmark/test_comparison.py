"""Means over seeds, intervals and differences."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lensmodels.benchmark.comparison import (
    compare_row,
    difference_of,
    macro_auc,
    rmse,
    rmse_near,
    score_of,
)
from lensmodels.benchmark.grid import Cell
from lensmodels.benchmark.results import CellResult
from lensmodels.errors import LensmodelsError

LABELS = np.repeat([0.0, 1.0, 2.0], 150)


def classified(method: str, signal: float, seed: int = 0, labels: float = 1.0) -> CellResult:
    """A cell that knows the class with some signal over noise of its own."""
    noise = np.random.default_rng([seed, 7]).normal(size=(len(LABELS), 3))
    logits = noise + signal * np.eye(3)[LABELS.astype(int)]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    cell = Cell("B", method, "r", "classification", labels, seed)
    record = {"minutes": {"pretrain": 2.0, "finetune": 1.0}, "metrics": {}}
    return CellResult(cell, record, LABELS, log_probabilities)


def weighed(scatter: float, seed: int = 0) -> CellResult:
    generator = np.random.default_rng(seed)
    truth = generator.uniform(-24, -22, 500)
    cell = Cell("B", "byol", "r", "axion-mass", 1.0, seed)
    record = {"minutes": {"pretrain": None, "finetune": 1.0}, "metrics": {}}
    return CellResult(cell, record, truth, truth + scatter * generator.normal(size=500))


def test_a_score_is_the_mean_over_seeds():
    cells = [classified("byol", 2.0, seed) for seed in range(3)]
    score = score_of(cells, macro_auc)
    one_by_one = [
        roc_auc_score(LABELS, np.exp(cell.predicted), multi_class="ovr") for cell in cells
    ]
    assert score.mean == pytest.approx(np.mean(one_by_one), abs=1e-12)
    assert score.interval.low < score.mean < score.interval.high
    assert (score.seeds, score.minutes) == (3, 3.0)


def test_seeds_that_scatter_widen_the_interval():
    alike = [classified("byol", 2.0, 0) for _ in range(3)]
    apart = [classified("byol", signal, 0) for signal in (1.0, 2.0, 3.0)]

    def width(cells):
        interval = score_of(cells, macro_auc).interval
        return interval.high - interval.low

    assert width(apart) > 1.5 * width(alike)


def test_a_clear_difference_is_real_and_none_is_not():
    better, worse = classified("byol", 2.5), classified("supervised", 1.0, seed=1)
    found = difference_of([better], [worse], macro_auc)
    assert found.is_real and found.is_better and found.mean > 0
    back = difference_of([worse], [better], macro_auc)
    assert back.is_real and not back.is_better
    nothing = difference_of([classified("byol", 2, 0)], [classified("byol", 2, 0)], macro_auc)
    assert not nothing.is_real and nothing.mean == 0


def test_a_smaller_error_is_better():
    truth = weighed(0.1).truth
    first, second = weighed(0.1), weighed(0.3)
    found = difference_of([first], [second], rmse)
    assert found.is_better and found.mean < 0 and found.is_real
    assert len(truth) == 500


def test_other_images_are_not_compared():
    with pytest.raises(LensmodelsError, match="different images"):
        difference_of([weighed(0.1, 0)], [weighed(0.1, 1)], rmse)


def test_the_error_around_a_mass_counts_only_images_there():
    result = weighed(0.2)
    near = (result.truth >= -23.25) & (result.truth < -22.75)
    expected = np.sqrt(np.mean((result.predicted - result.truth)[near] ** 2))
    assert score_of([result], rmse_near).mean == pytest.approx(expected)


def test_a_row_has_what_was_run():
    results = [classified("byol", 2.5), classified("supervised", 1.0)]
    row = compare_row(
        results, model="B", method="byol", encoder="r", stands_for="resnet50",
        task="classification",
    )  # fmt: skip
    assert row.gain and row.gain.is_better
    assert row.long_baseline is None and row.long_gain is None
    assert row.study and row.study.finetuned == 0.960
    few = compare_row(
        results, model="B", method="byol", encoder="r", stands_for="resnet50",
        task="classification", labels=0.1,
    )  # fmt: skip
    assert few.ours is None and few.baseline is None
