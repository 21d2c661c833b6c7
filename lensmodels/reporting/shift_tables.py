"""Shift tests as a table and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lensmodels.evaluation.shift_testing import read_shifts
from lensmodels.evaluation.shifts import HOME
from lensmodels.reporting.sentences import SCORE_DIGITS, SCORES, Sentence
from lensmodels.reporting.tables import Table, TableCell, format_interval, format_value

FLAGGED = 0.99
"""Share of the images of a shift from which on it counts as flagged."""

_DASH = "\N{EN DASH}"


def shift_table(found: Mapping[str, Any]) -> Table:
    """A row a shift: score, calibration, confidence and the share that is flagged.

    Args:
        found: content of shifts.json.
    """
    is_class = found["task"] == "classification"
    key, name = SCORES[found["task"]]
    columns = (
        {
            "calibration error": "expected_calibration_error",
            "mean highest probability": "mean_probability",
        }
        if is_class
        else {"true mass in the 90% interval": "coverage_90", "its width, dex": "mean_width_dex"}
    )
    return Table(
        [
            "shift",
            "images",
            name if is_class else f"{name}, dex",
            *columns,
            "flagged",
            "by pixels alone",
        ],
        [
            [
                TableCell(row["shift"]),
                TableCell(f"{row['images']:,}"),
                TableCell(_number(row[key]), interval=format_interval(row["ci95"], SCORE_DIGITS)),
                *(TableCell(_number(row[column])) for column in columns.values()),
                TableCell(_share(row["flagged"])),
                TableCell(_share(row["flagged_by_pixels"])),
            ]
            for row in found["rows"]
        ],
        title="Shifted test sets",
        sentence=(
            f"Images of {found['specification']['name']}, {found['images_per_class']:,} of each "
            "class, that depart from its specification in one thing each. Scores are of all images "
            "of a set, also of those that are flagged as outside what the model knows."
        ),
    )


def shift_sentences(found: Mapping[str, Any] | None) -> list[Sentence]:
    """How many shifts are flagged, and how the model does on the others.

    Args:
        found: content of shifts.json; None if the run was not tested on shifts.
    """
    rows = [row for row in found["rows"] if row["shift"] != HOME.name] if found else []
    if found is None or not rows:
        return []
    if rows[0]["flagged"] is None:
        return [
            Sentence(
                "The run keeps nothing of its validation images, so that no shifted image is "
                "flagged: train it with more of them (data.validation_fraction).",
                is_warning=True,
            )
        ]
    missed = [row for row in rows if row["flagged"] < FLAGGED]
    count = f"{len(rows) - len(missed)} of {len(rows)} shifted test sets are flagged"
    text = f"{count} as outside what the model knows, for {FLAGGED:.0%} of their images or more."
    key, name = SCORES[found["task"]]
    if missed:
        listed = ", ".join(
            f"{row['shift']} ({row['flagged']:.0%} flagged, {name} {_number(row[key])})"
            for row in missed
        )
        text = f"{text} Others: {listed}."
    return [Sentence(text, is_warning=any(_is_worse(row, found) for row in missed))]


def terminal_text(folder: Path) -> str:
    """The table of the shift tests of a folder, and which shifts could not be made."""
    found = read_shifts(folder)
    assert found is not None  # they were just written
    notes = [
        f"Note: the shift {name} is left out: {reason}"
        for name, reason in found["left_out"].items()
    ]
    return "\n".join([text_table(shift_table(found)), *notes])


def text_table(table: Table) -> str:
    """A table as lines of aligned text, for a terminal; without intervals and notes."""
    rows: list[Sequence[str]] = [
        table.headings,
        *([cell.value for cell in row] for row in table.rows),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _is_worse(row: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether the score of a shift lies outside the interval of the score without a shift."""
    key, _ = SCORES[found["task"]]
    home = found["rows"][0]
    if row[key] is None or not home["ci95"]:
        return row[key] is None
    low, high = home["ci95"]
    return row[key] < low if found["task"] == "classification" else row[key] > high


def _number(value: float | None) -> str:
    return _DASH if value is None else format_value(value, SCORE_DIGITS)


def _share(value: float | None) -> str:
    return _DASH if value is None else f"{value:.1%}"
