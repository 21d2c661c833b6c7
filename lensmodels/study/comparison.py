"""Cells compared: means over replicates with intervals, rows beside baselines and the study.

Statistics are those of `lensmodels.statistics`: cells of the same seed share the labelled images
and are compared in pairs; cells that share a pretraining are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from lensmodels.errors import LensmodelsError
from lensmodels.statistics.bootstrap import Interval
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import (
    Difference,
    Trainings,
    contrast,
    difference,
    mean_interval,
    pooled_difference,
)
from lensmodels.study.grid import BASELINE, COMPARED, Grid
from lensmodels.study.results import SCORES, CellResult
from lensmodels.tasks import TaskName
from lenssim.configuration.yaml_reading import parse_yaml

STUDY_IMAGES = "-deeplense"
"""How the names of models end whose images are made as the study's were."""


@dataclass(frozen=True)
class Published:
    """A row of the study's tables."""

    supervised: float
    finetuned: float


@cache
def published(model: str, method: str, encoder: str) -> Published | None:
    """Macro AUC of a row in the study, or None if it has no such row.

    Args:
        model: "A" or "B", or the study's own images of it, "A-deeplense" or "B-deeplense".
        method: self-supervised.
        encoder: "resnet50" or "vit".
    """
    model = model.removesuffix(STUDY_IMAGES)
    text = (files("lensmodels.study") / "published.yaml").read_text("utf-8")
    for row in parse_yaml(text, "published.yaml"):
        if row["method"] == method and row["encoder"] == encoder and model in row:
            return Published(*row[model])
    return None


@dataclass(frozen=True)
class Score:
    """A score of one set of cells, which differ in their pretraining and seed only.

    Attributes:
        mean: over them.
        interval: 95%, over images, pretrainings and label draws.
        replicates: of pretrainings and label draws, as "3 x 3 seeds".
        minutes: of one cell, its pretraining included, on average.
    """

    mean: float
    interval: Interval
    replicates: str
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
    """Cells that differ in their pretraining and seed only, in the order of these.

    Args:
        results: cells of any kind.
        model, method, encoder, task: that the cells must have.
        labels: share of the labels that they must have been finetuned with.
    """
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
    return sorted(matching, key=lambda result: (result.cell.pretrain_seed, result.cell.seed))


def mixed_pretrainings(results: Iterable[CellResult]) -> list[str]:
    """Families whose cells do not all rest on one pretraining, by the end of its log.

    A pretraining is made again where its folder was lost, and by newer code may be another.
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
    """Mean of a score over cells of several pretrainings and seeds, with its interval."""
    trainings = _trainings(cells, by)
    high = 1.0 if cells[0].cell.task == "classification" else math.inf
    return Score(
        float(trainings.by_draw(trainings.values).mean()),
        mean_interval(trainings, 0.0, high),
        trainings.replicates,
        float(np.mean([cell.minutes for cell in cells])),
    )


def difference_of(
    first: Sequence[CellResult], second: Sequence[CellResult], by: str, *, same_images: bool = True
) -> Difference:
    """First less second, over the seeds that both have if they share any.

    Args:
        first, second: cells of one kind each, as `select` gives them.
        by: name of the score.
        same_images: whether both must have been tested on the same images. Where images differ on
            purpose, in their specification, they are paired by their place.

    Raises:
        LensmodelsError: if they were not tested on the same images, or, where these may differ, if
            the archives do not have the same seed and the same classes or masses in every place.
    """
    if same_images:
        _check_images([*first, *second])
    else:
        _check_places(first, second)
    return difference(_trainings(first, by), _trainings(second, by))


def change_of_gain(
    varied: tuple[Sequence[CellResult], Sequence[CellResult]],
    reference: tuple[Sequence[CellResult], Sequence[CellResult]],
    by: str,
) -> Difference:
    """By how much a change of the images or the recipe changes what pretraining gains.

    Of the pretrainings, those count whose seeds both have, if they share any.

    Args:
        varied, reference: cells of a pretraining and of its baseline, with the change and without.
        by: name of the score.

    Raises:
        LensmodelsError: if a pretraining and its baseline were not tested on the same images, or
            if what was varied has other seeds, classes or masses in the places of its images.
    """
    _check_places([*varied[0], *varied[1]], [*reference[0], *reference[1]])
    seeds = [{cell.cell.pretrain_seed for cell in pair[0]} for pair in (varied, reference)]
    shared = seeds[0] & seeds[1] or seeds[0] | seeds[1]
    sides = []
    for weight, (pretrained, baseline) in ((1.0, varied), (-1.0, reference)):
        kept = [cell for cell in pretrained if cell.cell.pretrain_seed in shared]
        sides += [(weight, _trainings(kept, by)), (-weight, _trainings(baseline, by))]
    return contrast(sides)


def pooled_gain(
    results: Sequence[CellResult], rows: Sequence[ComparedRow], task: TaskName, by: str
) -> Difference | None:
    """The mean over rows of what pretraining gains over the supervised baseline.

    Args:
        results: of the whole grid.
        rows: of one table.
        task: of the rows.
        by: name of the score.

    Returns:
        The gain, or None if fewer than two rows have one.

    Raises:
        LensmodelsError: if they were not tested on the same images.
    """
    sides: dict[tuple[str, str], Trainings] = {}
    chosen = [row for row in rows if row.gain]
    of_table: list[CellResult] = []
    for row in chosen:
        for method in (row.method, BASELINE):
            cells = select(
                results, model=row.model, method=method, encoder=row.encoder, task=task,
                labels=row.labels,
            )  # fmt: skip
            of_table += cells
            sides.setdefault((method, row.encoder), _trainings(cells, by))
    if len(chosen) < 2:
        return None
    _check_images(of_table)
    return pooled_difference(
        [(sides[row.method, row.encoder], sides[BASELINE, row.encoder]) for row in chosen]
    )


def _check_images(cells: Sequence[CellResult]) -> None:
    """Refuse to compare cells that were tested on different images."""
    for cell in cells:
        if cell.images != cells[0].images:
            raise LensmodelsError(
                f"{cells[0].cell.name} and {cell.cell.name} were tested on different images and "
                "cannot be compared; give each archive a folder of its own."
            )


def _check_places(first: Sequence[CellResult], second: Sequence[CellResult]) -> None:
    """Refuse to pair images of two archives by their place where seed or truth are not the same."""
    _check_images(first)
    _check_images(second)
    if first and second and first[0].places != second[0].places:
        raise LensmodelsError(
            f"{first[0].cell.name} and {second[0].cell.name} were tested on archives of different "
            "seeds, or with different classes or masses, and cannot be compared image by image."
        )


def is_better(gain: Difference, task: TaskName) -> bool:
    """Whether a difference is to the side of the first: a higher AUC, a smaller error."""
    return gain.mean > 0 if task == "classification" else gain.mean < 0


def _trainings(cells: Sequence[CellResult], by: str) -> Trainings:
    """A score of cells that differ in their seed and pretraining, without incomplete ones."""
    return Trainings(
        [cell.cell.seed for cell in cells],
        [_pretraining_of(cell) for cell in cells],
        np.array([cell.scores[by].value for cell in cells]),
        np.stack([cell.scores[by].resamples for cell in cells]),
    ).complete()


def _pretraining_of(cell: CellResult) -> Hashable:
    """What tells a cell's pretraining from others: its seed, or that of the random weights.

    One that was made again from the same seed is no other one, even if its weights differ.
    """
    if cell.record.get("pretraining") is None:
        return ("random weights", cell.cell.seed)
    return ("pretraining", cell.cell.pretrain_seed)


@dataclass(frozen=True)
class ComparedRow:
    """A method with an encoder beside its baselines, on one model and task.

    Attributes:
        model, method, encoder: which row.
        labels: share of the labels.
        ours: of the method; None if no cell of it was run.
        baselines: of the same encoder, by name; those that were run.
        gains: method less baseline, by the baseline's name.
        study: the published row, if there is one.
    """

    model: str
    method: str
    encoder: str
    labels: float
    ours: Score | None
    baselines: Mapping[str, Score]
    gains: Mapping[str, Difference]
    study: Published | None

    @property
    def baseline(self) -> Score | None:
        """Of the supervised baseline."""
        return self.baselines.get(BASELINE)

    @property
    def gain(self) -> Difference | None:
        """Method less supervised baseline."""
        return self.gains.get(BASELINE)


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
        by: name of the score by which they are compared; the task's first if None.
    """
    compared_by = by or score_name(task)

    def cells(name: str) -> list[CellResult]:
        return select(results, model=model, method=name, encoder=encoder, task=task, labels=labels)

    ours = cells(method)
    baselines = {name: found for name in COMPARED if (found := cells(name))}
    return ComparedRow(
        model,
        method,
        encoder,
        labels,
        score_of(ours, compared_by) if ours else None,
        {name: score_of(found, compared_by) for name, found in baselines.items()},
        {name: difference_of(ours, found, compared_by) for name, found in baselines.items()}
        if ours
        else {},
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
        by: name of the score by which they are compared; the task's first if None.

    Returns:
        One row for each kind of training in the grid.
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


def significant_gains(rows: Sequence[ComparedRow]) -> list[dict[str, bool]]:
    """Which differences of a table of rows are significant: by the baseline's name, row by row."""
    flags = iter(significant([gain for row in rows for gain in row.gains.values()]))
    return [{name: next(flags) for name in row.gains} for row in rows]
