"""Cells compared: means over seeds with intervals, rows beside their baselines and the study.

Statistics are those of `lensmodels.statistics`: cells of the same seed share the labelled images
and are compared in pairs; cells that share a pretraining are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from lensmodels.errors import LensmodelsError
from lensmodels.statistics.bootstrap import Interval
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import Difference, Trainings, difference, mean_interval
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
    matching = [
        result
        for result in results
        if (
            result.cell.model,
            result.cell.method,
            result.cell.encoder,
            result.cell.task,
            result.cell.labels,
        )
        == wanted
    ]
    return sorted(matching, key=_seed_of)


def mixed_pretrainings(results: Iterable[CellResult]) -> list[str]:
    """Families whose cells do not all rest on one pretraining, by the end of its log.

    A pretraining is made anew where its folder was lost, and by newer code may be another.
    """
    figures_of: dict[str, list[Any]] = {}
    for result in results:
        pretraining = result.record["pretraining"]
        if pretraining is not None:
            known = figures_of.setdefault(result.cell.family, [])
            if pretraining["figures"] not in known:
                known.append(pretraining["figures"])
    return [family for family, known in figures_of.items() if len(known) > 1]


def score_of(cells: Sequence[CellResult], by: str) -> Score:
    """Mean of a score over cells of several seeds, with its interval."""
    trainings = _trainings(cells, by)
    high = 1.0 if cells[0].cell.task == "classification" else math.inf
    return Score(
        float(trainings.values.mean()),
        mean_interval(trainings, 0.0, high),
        len(cells),
        float(np.mean([cell.minutes for cell in cells])),
    )


def difference_of(first: Sequence[CellResult], second: Sequence[CellResult], by: str) -> Difference:
    """First less second; over the seeds that both have, where there are any.

    Raises:
        LensmodelsError: where they were not tested on the same images.
    """
    for cell in (*first, *second):
        if cell.images != first[0].images:
            raise LensmodelsError(
                f"{first[0].cell.name} and {cell.cell.name} were tested on different images and "
                "cannot be compared; give each archive a folder of its own."
            )
    return difference(_trainings(first, by), _trainings(second, by))


def is_better(gain: Difference, task: TaskName) -> bool:
    """Whether a difference is to the side of the first: a higher AUC, a smaller error."""
    return gain.mean > 0 if task == "classification" else gain.mean < 0


def _seed_of(result: CellResult) -> int:
    return result.cell.seed


def _trainings(cells: Sequence[CellResult], by: str) -> Trainings:
    """A score of cells that differ in their seed, and perhaps in their pretraining."""
    return Trainings(
        [cell.cell.seed for cell in cells],
        [_pretraining_of(cell) for cell in cells],
        np.array([cell.scores[by].value for cell in cells]),
        np.stack([cell.scores[by].resamples for cell in cells]),
    )


def _pretraining_of(cell: CellResult) -> Hashable:
    """What tells a cell's pretraining from others: what its log ended with; its seed for none."""
    pretraining = cell.record.get("pretraining")
    if pretraining is None:
        return cell.cell.seed
    return tuple(sorted(pretraining["figures"].items()))


@dataclass(frozen=True)
class ComparedRow:
    """A method with an encoder beside its baselines, on one model and task.

    Attributes:
        model, method, encoder: which row.
        labels: share of the labels.
        ours: of the method; None where no cell of it was run.
        baseline, long_baseline: of the same encoder.
        gain, long_gain: method less baseline.
        study: the published row, if there is one.
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
    study_encoder: str,
    task: TaskName,
    labels: float = 1.0,
    by: str | None = None,
) -> ComparedRow:
    """A row of a table.

    Args:
        results: of the whole grid.
        model, method, encoder, task, labels: which row.
        study_encoder: the study's encoder.
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
        published(model, method, study_encoder) if task == "classification" else None,
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
            study_encoder=grid.encoders[row.encoder].study_encoder,
            task=task,
            labels=labels,
            by=by,
        )
        for row in grid.rows
    ]


def significant_gains(rows: Sequence[ComparedRow]) -> list[tuple[bool, bool]]:
    """Which differences of a table of rows are significant: from each baseline, row by row."""
    flags = significant([gain for row in rows for gain in (row.gain, row.long_gain)])
    return list(zip(flags[::2], flags[1::2], strict=True))
