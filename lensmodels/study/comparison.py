"""Cells compared: means over seeds with intervals, rows beside their baselines and the study.

An interval is over what could have come out otherwise: the test images, by the bootstrap, and,
where there are several seeds, the training, by the scatter of the seeds and Student's t. Both are
added in quadrature. Two sets of cells are compared on the same resamples of the images, and seed by
seed over the seeds that both have, which then share the labelled images, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from lensmodels.errors import LensmodelsError
from lensmodels.statistics import bootstrap
from lensmodels.statistics.bootstrap import FloatArray, Interval
from lensmodels.study.grid import BASELINE, LONG_BASELINE, Grid
from lensmodels.study.results import SCORES, CellResult
from lensmodels.tasks import TaskName
from lenssim.configuration.yaml_reading import parse_yaml


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
    text = (files("lensmodels.study") / "published.yaml").read_text("utf-8")
    for row in parse_yaml(text, "published.yaml"):
        if row["method"] == method and row["encoder"] == encoder and model in row:
            return Published(*row[model])
    return None


@dataclass(frozen=True)
class Score:
    """A score of one set of cells, which differ in their seed only.

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


LEAST_SEEDS = 3
"""Trainings on both sides, below which a difference is one of these trainings, not of methods."""


@dataclass(frozen=True)
class Difference:
    """A set of cells less another, on the same images.

    Attributes:
        mean: of the score, first less second.
        interval: 95%, over images and seeds.
        is_better: whether the mean is to the side of the first.
        seeds: that both have; of the side that has fewer, where they share none.
    """

    mean: float
    interval: Interval
    is_better: bool
    seeds: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero, for these trainings or for the methods."""
        return self.interval.excludes_zero

    @property
    def is_real(self) -> bool:
        """Whether it would be there with other images and other seeds."""
        return self.is_clear and self.seeds >= LEAST_SEEDS


def score_name(task: TaskName) -> str:
    """Name of the score by which cells of a task are compared, of those in `results.SCORES`."""
    return next(iter(SCORES[task]))


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
    return sorted(found, key=_seed_of)


def mixed_pretrainings(results: Iterable[CellResult]) -> list[str]:
    """Families whose cells do not all rest on one pretraining, by the figures of its log.

    A pretraining is made anew where its folder was lost, and by newer code may be another.
    """
    found: dict[str, list[Any]] = {}
    for each in results:
        pretraining = each.record["pretraining"]
        if pretraining is not None:
            known = found.setdefault(each.cell.family, [])
            if pretraining["figures"] not in known:
                known.append(pretraining["figures"])
    return [family for family, known in found.items() if len(known) > 1]


def score_of(cells: Sequence[CellResult], by: str) -> Score:
    """Mean of a score over cells of several seeds, with its interval."""
    values, resampled = _measured(cells, by)
    interval = _interval(values.mean(), resampled.mean(axis=0), _standard_error(values))
    if cells[0].cell.task == "classification":
        interval = Interval(interval.low, min(interval.high, 1.0))  # Student knows of no end
    return Score(
        float(values.mean()),
        interval,
        len(cells),
        float(np.mean([cell.minutes for cell in cells])),
    )


def difference_of(first: Sequence[CellResult], second: Sequence[CellResult], by: str) -> Difference:
    """First less second, with its interval; over the seeds that both have, where there are any.

    Raises:
        LensmodelsError: where they were not tested on the same images.
    """
    for cell in (*first, *second):
        if cell.images != first[0].images:
            raise LensmodelsError(
                f"{first[0].cell.name} and {cell.cell.name} were tested on different images and "
                "cannot be compared; give each archive a folder of its own."
            )
    shared = {cell.cell.seed for cell in first} & {cell.cell.seed for cell in second}
    if shared:
        first, second = (
            sorted((cell for cell in cells if cell.cell.seed in shared), key=_seed_of)
            for cells in (first, second)
        )
    ours, our_resamples = _measured(first, by)
    theirs, their_resamples = _measured(second, by)
    mean = ours.mean() - theirs.mean()
    if shared:
        error, freedom = _standard_error(ours - theirs)
    else:
        (our_error, one), (their_error, other) = map(_standard_error, (ours, theirs))
        error, freedom = math.hypot(our_error, their_error), min(one, other)
    resampled = our_resamples.mean(axis=0) - their_resamples.mean(axis=0)
    higher_is_better = first[0].cell.task == "classification"
    return Difference(
        float(mean),
        _interval(mean, resampled, (error, freedom)),
        bool((mean > 0) == higher_is_better),
        min(len(first), len(second)),
    )


def _seed_of(result: CellResult) -> int:
    return result.cell.seed


def _measured(cells: Sequence[CellResult], by: str) -> tuple[FloatArray, FloatArray]:
    """A score of each cell, (cells,), and of each resample of its images, (cells, resamples)."""
    found = [cell.scores[by] for cell in cells]
    return np.array([each.value for each in found]), np.stack([each.resamples for each in found])


def _standard_error(values: FloatArray) -> tuple[float, int]:
    """Of a mean over seeds, and its degrees of freedom; none of either for one seed."""
    if len(values) < 2:
        return 0.0, 0
    return float(values.std(ddof=1) / math.sqrt(len(values))), len(values) - 1


def _interval(mean: float, resampled: FloatArray, seeds: tuple[float, int]) -> Interval:
    """95% interval of a mean, from resamples of the images and the error from the seeds."""
    tail = 0.5 * (1 - bootstrap.LEVEL)
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    error, freedom = seeds
    spread = float(student_t.ppf(1 - tail, freedom) * error) if freedom else 0.0
    return Interval(
        float(mean - math.hypot(mean - low, spread)), float(mean + math.hypot(high - mean, spread))
    )


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
    by: str | None = None,
) -> ComparedRow:
    """A row of a table.

    Args:
        results: of the whole grid.
        model, method, encoder, task, labels: which row.
        stands_for: the study's encoder.
        by: name of the score by which they are compared; the task's first where None.
    """
    compared_by = by or score_name(task)

    def cells(name: str) -> list[CellResult]:
        return select(results, model=model, method=name, encoder=encoder, task=task, labels=labels)

    ours, baseline, longer = cells(method), cells(BASELINE), cells(LONG_BASELINE)
    return ComparedRow(
        model,
        method,
        encoder,
        labels,
        score_of(ours, compared_by) if ours else None,
        score_of(baseline, compared_by) if baseline else None,
        score_of(longer, compared_by) if longer else None,
        difference_of(ours, baseline, compared_by) if ours and baseline else None,
        difference_of(ours, longer, compared_by) if ours and longer else None,
        published(model, method, stands_for) if task == "classification" else None,
    )


def compare_rows(
    grid: Grid,
    results: Sequence[CellResult],
    *,
    model: str,
    task: TaskName,
    labels: float = 1.0,
    by: str | None = None,
) -> list[ComparedRow]:
    """Every row of a grid, in its order, whether or not anything of it was run.

    Args:
        grid: whose rows.
        results: of the whole grid.
        model, task, labels: of the cells.
        by: name of the score by which they are compared; the task's first where None.
    """
    return [
        compare_row(
            results,
            model=model,
            method=row.method,
            encoder=row.encoder,
            stands_for=grid.encoders[row.encoder].stands_for,
            task=task,
            labels=labels,
            by=by,
        )
        for row in grid.rows
    ]
