"""Goals of a grid: the published scores, the baselines, and the information in the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lensmodels.evaluation.information import information_limit
from lensmodels.methods.supervision import method_title
from lensmodels.study.comparison import (
    ComparedRow,
    is_better,
    significant_gains,
)
from lensmodels.study.grid import BASELINE
from lensmodels.study.results import FIDUCIAL_RANGE, CellResult
from lensmodels.tasks import TaskName

BELOW_PUBLISHED = 0.01
"""Macro AUC that a row may be below the published one: images and encoder differ."""

OVER_LIMIT = 1.15
"""RMSE over that of the best estimate, over the whole prior."""

OVER_BOUND = 1.5
"""RMSE over the Cramer-Rao bound, around 1e-23 eV."""


@dataclass(frozen=True)
class Goal:
    """Something to be reached by the rows of a grid.

    Attributes:
        what: as text.
        reached, missed: names of the rows that do and that do not; the others were not run.
    """

    what: str
    reached: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def count(self) -> str:
        """As "5 of 7"."""
        return f"{len(self.reached)} of {len(self.reached) + len(self.missed)}"

    @property
    def sentence(self) -> str:
        """With the rows that miss it, unless all do."""
        named = f"; not {', '.join(self.missed)}" if self.reached and self.missed else ""
        return f"{self.what}: {self.count} rows{named}."


def classification_goals(rows: Sequence[ComparedRow]) -> Iterator[Goal]:
    """Of rows with all labels, beside the study's."""
    yield _goal(
        f"supervised at least as published, less {BELOW_PUBLISHED}",
        [
            (row, row.baseline.mean >= row.study.supervised - BELOW_PUBLISHED)
            for row in rows
            if row.baseline and row.study
        ],
    )
    yield _goal(
        f"pretrained at least as published, less {BELOW_PUBLISHED}",
        [
            (row, row.ours.mean >= row.study.finetuned - BELOW_PUBLISHED)
            for row in rows
            if row.ours and row.study
        ],
    )


def gain_goal(rows: Sequence[ComparedRow], what: str, task: TaskName) -> Goal:
    """Whether pretraining is significantly better than the supervised baseline.

    Args:
        rows: of one table.
        what: as text.
        task: of the rows.
    """
    flags = significant_gains(rows)
    return _goal(
        what,
        [
            (row, of_row[BASELINE] and is_better(row.gain, task))
            for row, of_row in zip(rows, flags, strict=True)
            if row.gain
        ],
    )


def axion_mass_goals(
    rows: Sequence[ComparedRow], rows_near: Sequence[ComparedRow], spec_sha256: str
) -> Iterator[Goal]:
    """Of the axion mass, beside the baseline and the information in the images.

    Args:
        rows, rows_near: RMSE over the whole prior, and around 1e-23 eV.
        spec_sha256: of the archive.
    """
    yield gain_goal(rows, "RMSE significantly below the supervised one", "axion-mass")
    limit = information_limit(spec_sha256)
    if limit is None:
        return
    for what, compared, most in (
        (f"RMSE within {OVER_LIMIT} times the information limit", rows, OVER_LIMIT * limit.limit),
        (
            f"around 1e-23 eV within {OVER_BOUND} times the Cramér-Rao bound",
            rows_near,
            OVER_BOUND * limit.rms_bound(*FIDUCIAL_RANGE),
        ),
    ):
        yield _goal(what, [(row, row.ours.mean <= most) for row in compared if row.ours])


def few_label_shares(results: Sequence[CellResult]) -> list[float]:
    """Shares of the labels that classification was run with, all of them aside; rising."""
    shares = {result.cell.labels for result in results if result.cell.task == "classification"}
    return sorted(shares - {1.0})


def few_labels_goal(share: float) -> str:
    """What is to be reached with a share of the labels, in words."""
    return f"significantly better than supervised with {share:.0%} of the labels"


def _goal(what: str, rows: Sequence[tuple[ComparedRow, bool]]) -> Goal:
    reached, missed = (
        tuple(f"{method_title(row.method)} ({row.encoder})" for row, does in rows if does is wanted)
        for wanted in (True, False)
    )
    return Goal(what, reached, missed)
