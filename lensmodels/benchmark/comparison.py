"""Cells compared: means over seeds with intervals, rows beside their baselines and the study.

An interval is over both what could have been drawn otherwise: the test images, by the bootstrap,
and the seeds of the finetuning, of which every resample draws as many as there are. Two sets of
cells are compared on the same resamples of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

from lensmodels.benchmark.grid import BASELINE, LONG_BASELINE
from lensmodels.benchmark.results import CellResult
from lensmodels.errors import LensmodelsError
from lensmodels.evaluation import bootstrap
from lensmodels.evaluation.bootstrap import Counts, FloatArray, Interval, Statistic
from lensmodels.tasks import TaskName

NEAR = (-23.25, -22.75)
"""log10(m / eV) of what the study calls around 1e-23 eV."""

_SEED = 0


@dataclass(frozen=True)
class Published:
    """A row of the study's tables."""

    supervised: float
    finetuned: float


@cache
def published(model: str, method: str, encoder: str) -> Published | None:
    """Macro AUC of a row in the study, or None where it has no such row.

    Args:
        model: "A" or "B".
        method: self-supervised.
        encoder: "resnet50" or "vit".
    """
    text = (files("lensmodels.benchmark") / "published.yaml").read_text()
    for row in yaml.safe_load(text):
        if row["method"] == method and row["encoder"] == encoder and model in row:
            return Published(*row[model])
    return None


@dataclass(frozen=True)
class Score:
    """A figure of one set of cells, which differ in their seed only.

    Attributes:
        mean: over the seeds.
        interval: 95%, over images and seeds.
        seeds: cells.
        minutes: of one cell, its pretraining included, on average.
    """

    mean: float
    interval: Interval
    seeds: int
    minutes: float


@dataclass(frozen=True)
class Difference:
    """A set of cells less another, on the same images.

    Attributes:
        mean: of the score, first less second.
        interval: 95%, over images and seeds.
        is_better: whether the mean is to the side of the first.
    """

    mean: float
    interval: Interval
    is_better: bool

    @property
    def is_real(self) -> bool:
        """Whether the interval excludes zero."""
        return self.interval.excludes_zero


Figure = Callable[[CellResult], Statistic]
"""What a cell scores, as a function of how often each image counts."""


def macro_auc(result: CellResult) -> Statistic:
    """Macro AUC of a cell."""
    return bootstrap.weighted_macro_auc(result.truth.astype(np.int64), result.predicted)


def rmse(result: CellResult) -> Statistic:
    """RMSE of log10(m / eV) over the whole prior, dex."""
    return bootstrap.weighted_rms(result.predicted - result.truth)


def rmse_near(result: CellResult) -> Statistic:
    """RMSE of the images around 1e-23 eV, dex."""
    near = (result.truth >= NEAR[0]) & (result.truth < NEAR[1])
    square = np.where(near, np.square(result.predicted - result.truth), 0.0)

    def root_mean(counts: Counts) -> FloatArray:
        with np.errstate(invalid="ignore"):  # a resample without any of these images
            return np.sqrt(counts @ square / (counts @ near))

    return root_mean


def figure_of(task: TaskName) -> Figure:
    """The figure by which cells of a task are compared."""
    return macro_auc if task == "classification" else rmse


def select(
    results: Iterable[CellResult],
    *,
    model: str,
    method: str,
    encoder: str,
    task: TaskName,
    labels: float = 1.0,
) -> list[CellResult]:
    """Cells that differ in their seed only, by seed."""
    wanted = (model, method, encoder, task, labels)
    found = [
        each
        for each in results
        if (
            each.cell.model,
            each.cell.method,
            each.cell.encoder,
            each.cell.task,
            each.cell.labels,
        )
        == wanted
    ]
    return sorted(found, key=lambda each: each.cell.seed)


def score_of(cells: Sequence[CellResult], figure: Figure) -> Score:
    """Mean of a figure over cells of several seeds, with its interval."""
    statistics = [figure(cell) for cell in cells]
    drawn = _over_resamples(statistics, _strata(cells))
    return Score(
        float(np.mean(_as_they_are(statistics, cells))),
        _interval(_mean_over_drawn_seeds(drawn, stream=0)),
        len(cells),
        float(np.mean([cell.minutes for cell in cells])),
    )


def difference_of(
    first: Sequence[CellResult], second: Sequence[CellResult], figure: Figure
) -> Difference:
    """First less second, with its interval.

    Raises:
        LensmodelsError: where they were not tested on the same images.
    """
    if any(not np.array_equal(cell.truth, first[0].truth) for cell in (*first, *second)):
        raise LensmodelsError(
            f"{first[0].cell.name} and {second[0].cell.name} were tested on different images and "
            "cannot be compared; give each grid a folder of its own."
        )
    strata = _strata(first)
    ours, theirs = ([figure(cell) for cell in cells] for cells in (first, second))
    mean = np.mean(_as_they_are(ours, first)) - np.mean(_as_they_are(theirs, second))
    both = _over_resamples([*ours, *theirs], strata)
    interval = _interval(
        _mean_over_drawn_seeds(both[: len(ours)], stream=1)
        - _mean_over_drawn_seeds(both[len(ours) :], stream=2)
    )
    higher_is_better = first[0].cell.task == "classification"
    return Difference(float(mean), interval, bool((mean > 0) == higher_is_better))


def _strata(cells: Sequence[CellResult]) -> NDArray[np.int64]:
    """Classes within which images are drawn; one where there are none."""
    truth = cells[0].truth
    if cells[0].cell.task == "classification":
        return truth.astype(np.int64)
    return np.zeros(len(truth), np.int64)


def _as_they_are(statistics: Sequence[Statistic], cells: Sequence[CellResult]) -> list[float]:
    once = np.ones((1, len(cells[0].truth)))
    return [float(statistic(once)[0]) for statistic in statistics]


def _over_resamples(statistics: Sequence[Statistic], strata: NDArray[np.int64]) -> FloatArray:
    """Every figure of every resample, (figures, resamples)."""

    def blocks() -> Iterable[list[FloatArray]]:
        counts: Counts
        for counts in bootstrap.resamples(strata, seed=_SEED):
            yield [statistic(counts) for statistic in statistics]

    return np.concatenate([np.stack(block) for block in blocks()], axis=1)


def _mean_over_drawn_seeds(values: FloatArray, *, stream: int) -> FloatArray:
    """Means over as many seeds as there are, drawn anew for every resample, (resamples,)."""
    seeds, count = values.shape
    chosen = np.random.default_rng([_SEED, stream]).integers(seeds, size=(seeds, count))
    return np.take_along_axis(values, chosen, axis=0).mean(axis=0)


def _interval(values: FloatArray) -> Interval:
    tail = 0.5 * (1 - bootstrap.LEVEL)
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class ComparedRow:
    """A method with an encoder beside its baselines, on one model and task.

    Attributes:
        model, method, encoder: which row.
        labels: share of the labels.
        ours: of the method; None where no cell of it was run.
        baseline, long_baseline: of the same encoder.
        gain, long_gain: method less baseline.
        study: the published row, where there is one.
    """

    model: str
    method: str
    encoder: str
    labels: float
    ours: Score | None
    baseline: Score | None
    long_baseline: Score | None
    gain: Difference | None
    long_gain: Difference | None
    study: Published | None


def compare_row(
    results: Sequence[CellResult],
    *,
    model: str,
    method: str,
    encoder: str,
    stands_for: str,
    task: TaskName,
    labels: float = 1.0,
    figure: Figure | None = None,
) -> ComparedRow:
    """A row of a table.

    Args:
        results: of the whole grid.
        model, method, encoder, task, labels: which row.
        stands_for: the study's encoder.
        figure: what is compared; the task's where None.
    """
    scored = figure or figure_of(task)

    def cells(name: str) -> list[CellResult]:
        return select(results, model=model, method=name, encoder=encoder, task=task, labels=labels)

    ours, baseline, longer = cells(method), cells(BASELINE), cells(LONG_BASELINE)
    return ComparedRow(
        model,
        method,
        encoder,
        labels,
        score_of(ours, scored) if ours else None,
        score_of(baseline, scored) if baseline else None,
        score_of(longer, scored) if longer else None,
        difference_of(ours, baseline, scored) if ours and baseline else None,
        difference_of(ours, longer, scored) if ours and longer else None,
        published(model, method, stands_for) if task == "classification" else None,
    )
