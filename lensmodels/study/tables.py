"""The tables of a study's report: scores beside the published ones, and beside the baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lensmodels.methods.settings import METHOD_NAMES
from lensmodels.methods.supervision import MARK, method_title, supervision_of
from lensmodels.reporting.tables import (
    Table,
    TableCell,
    format_difference,
    format_interval,
    format_value,
    text_cells,
)
from lensmodels.statistics.multiple_testing import MIN_TRAININGS, significant
from lensmodels.statistics.paired import Difference
from lensmodels.study.comparison import (
    STUDY_IMAGES,
    ComparedRow,
    Score,
    difference_of,
    pooled_gain,
    score_name,
    score_of,
    select,
    significant_gains,
)
from lensmodels.study.goals import Goal, classification_goals
from lensmodels.study.grid import (
    BASELINE,
    BASELINE_NAMES,
    BASELINES,
    COMPARED,
    LONG_BASELINE,
    PCA_BASELINE,
    Grid,
)
from lensmodels.study.results import CellResult
from lensmodels.tasks import TaskName

NAMES = {name: method_title(name) for name in METHOD_NAMES} | BASELINE_NAMES
"""How methods and baselines are called."""

SCORE_NAMES: dict[TaskName, str] = {"classification": "macro AUC", "axion-mass": "RMSE, dex"}
"""How the score of a task is called."""

_DIGITS: dict[TaskName, int] = {"classification": 5, "axion-mass": 3}

_AGAINST: dict[str, str] = {
    BASELINE: "supervised",
    PCA_BASELINE: "PCA of all images",
    LONG_BASELINE: "equal compute",
}
"""What a pretraining is compared with, as part of a heading."""

_BOLD = "bold: significant after Holm"


def published_table(model: str, rows: Sequence[ComparedRow]) -> Table:
    """Scores beside the published ones, held against them where the images are the study's.

    Args:
        model: of the images.
        rows: one a method and encoder.
    """
    is_same = model.endswith(STUDY_IMAGES)
    title = "the published one" if is_same else "the published one, which is of other images"
    headings = ["published supervised", "supervised", "minus published"]
    headings += ["published pretrained", "pretrained", "minus published"]
    return Table(
        ["method", "encoder", *headings],
        [
            [
                *_name(row),
                *_beside(row.study.supervised if row.study else None, row.baseline),
                *_beside(row.study.finetuned if row.study else None, row.ours),
            ]
            for row in rows
        ],
        f"Macro AUC beside {title}, model {model}",
        goals_sentence(classification_goals(rows)) if is_same else "",
    )


def _beside(published: float | None, score: Score | None) -> list[TableCell]:
    """Published score, ours, and ours minus the published one."""
    digits = _DIGITS["classification"]
    return text_cells(
        [
            "" if published is None else format_value(published, 3),
            "" if score is None else format_value(score.mean, digits),
            ""
            if score is None or published is None
            else format_difference(score.mean - published, 3),
        ]
    )


def baseline_table(
    title: str,
    task: TaskName,
    rows: Sequence[ComparedRow],
    sentence: str,
    more: dict[str, list[TableCell]] | None = None,
) -> Table:
    """Scores of methods and their baselines, with the differences.

    Args:
        title: above the table.
        task: decides the digits.
        rows: one a method and encoder.
        sentence: below the table.
        more: further columns by heading, a cell for each row.
    """
    digits, more = _DIGITS[task], more or {}
    flags = significant_gains(rows)
    compared = [name for name in COMPARED if any(name in row.gains for row in rows)] or [BASELINE]
    headings = ["supervised", "pretrained", *(f"minus {_AGAINST[name]}" for name in compared)]
    cells = [
        [
            *_name(row),
            *(_score(score, digits) for score in (row.baseline, row.ours)),
            *(
                _difference(row.gains.get(name), digits, of_row.get(name, False))
                for name in compared
            ),
            *(column[number] for column in more.values()),
        ]
        for number, (row, of_row) in enumerate(zip(rows, flags, strict=True))
    ]
    return Table(["method", "encoder", *headings, *more], cells, f"{title} ({_BOLD})", sentence)


def _name(row: ComparedRow) -> list[TableCell]:
    return text_cells([NAMES[row.method], row.encoder])


def _score(score: Score | None, digits: int) -> TableCell:
    if score is None:
        return TableCell()
    return TableCell(
        format_value(score.mean, digits),
        format_interval(score.interval.as_list(), digits),
        score.replicates,
    )


def _difference(difference: Difference | None, digits: int, is_significant: bool) -> TableCell:
    if difference is None:
        return TableCell()
    return TableCell(
        format_difference(difference.mean, digits),
        format_interval(difference.interval.as_list(), digits),
        is_marked=is_significant,
    )


def ratio_cell(score: Score | None, reference: float | None) -> TableCell:
    """A score over a reference; empty without either."""
    return TableCell(f"{score.mean / reference:.2f}" if score and reference else "")


def goals_sentence(goals: Iterable[Goal]) -> str:
    """How many rows reach each goal, in one sentence."""
    text = "; ".join(f"{goal.what}: {goal.count} rows" for goal in goals)
    return f"{text[:1].upper()}{text[1:]}."


def significance_summary(rows: Sequence[ComparedRow]) -> str:
    """How many differences from the baselines are significant."""
    flags = [flag for of_row in significant_gains(rows) for flag in of_row.values()]
    differences = [gain for row in rows for gain in row.gains.values()]
    trainings = [gain.trainings for gain in differences]
    found = [each.mean > 0 for each, flag in zip(differences, flags, strict=True) if flag]
    text = f"{len(found)} of {len(trainings)} differences from a baseline are significant"
    if found:
        text += f", {sum(found)} of them above it and {len(found) - sum(found)} below"
    if trainings and max(trainings) < MIN_TRAININGS:
        text += f": none rests on {MIN_TRAININGS} independent pretrainings"
    return f"{text}."


def baselines_table(
    grid: Grid,
    results: Sequence[CellResult],
    model: str,
    task: TaskName,
    labels: float = 1.0,
) -> Iterator[Table]:
    """Scores of the baselines of every encoder, and their differences from the reference encoder.

    No table if all stand beside rows already and the grid names no reference encoder.

    Args:
        grid: that was run.
        results: of its cells.
        model: whose images the cells were trained on.
        task, labels: of the cells.
    """
    trained = {
        (cell.cell.method, cell.cell.encoder)
        for cell in results
        if (cell.cell.model, cell.cell.task, cell.cell.labels) == (model, task, labels)
    }
    of_rows = {(BASELINE, row.encoder) for row in grid.rows if (row.method, row.encoder) in trained}
    of_baselines: dict[tuple[str, str], list[CellResult]] = {
        (name, encoder): cells[name]
        for encoder in grid.encoders
        for cells in [cells_by_method(grid, results, model, encoder, task, labels)]
        for name in BASELINES
        if name in cells
    }
    differences = _from_reference(of_baselines, grid.reference_encoder, score_name(task))
    if not of_baselines.keys() - of_rows and not differences:
        return
    flags = dict(zip(differences, significant(list(differences.values())), strict=True))
    rows = [
        [
            *text_cells([NAMES[name], encoder]),
            _score(score_of(cells, score_name(task)), _DIGITS[task]),
        ]
        for (name, encoder), cells in of_baselines.items()
    ]
    headings, title = ["baseline", "encoder", SCORE_NAMES[task]], "Baselines"
    title += f", {SCORE_NAMES[task]}{_with(labels)}, model {model}"
    sentence = ""
    if differences:
        headings.append(f"minus {grid.reference_encoder}")
        for row, key in zip(rows, of_baselines, strict=True):
            row.append(_difference(differences.get(key), _DIGITS[task], flags.get(key, False)))
        title += f" ({_BOLD})"
        sentence = (
            f"{sum(flags.values())} of {len(flags)} differences from {grid.reference_encoder} are "
            "significant."
        )
    yield Table(headings, rows, title, sentence)


def _from_reference(
    of_baselines: Mapping[tuple[str, str], Sequence[CellResult]], reference: str | None, by: str
) -> dict[tuple[str, str], Difference]:
    """Each baseline of another encoder less the same one of the reference, by name and encoder."""
    return {
        (name, encoder): difference_of(cells, of_baselines[name, reference], by)
        for (name, encoder), cells in of_baselines.items()
        if encoder != reference and reference and (name, reference) in of_baselines
    }


_STRONG: tuple[tuple[float, str], ...] = ((5.0, "all"), (10.0, "cdm"), (10.0, "axion"))
"""Least S/N and class of the scores of strong images; "all" is the macro AUC."""

_STRONG_VORTEX = 5.0
"""Least S/N of a long vortex whose score is given."""


def strong_table(
    grid: Grid, results: Sequence[CellResult], model: str, labels: float = 1.0
) -> Iterator[Table]:
    """Scores of the images whose substructure is strong, of every method; none if not known.

    Args:
        grid: that was run.
        results: of its cells.
        model: whose images the cells were trained on.
        labels: share of the labels.
    """
    rows = []
    kind = ""
    for encoder in grid.encoders:
        cells_of = cells_by_method(grid, results, model, encoder, "classification", labels)
        for method, cells in cells_of.items():
            row = text_cells([NAMES[method], encoder])
            for above, name in _STRONG:
                scores = [
                    entry["auc"]
                    for cell in cells
                    for entry in cell.metrics.get("auc_above_snr", ())
                    if (entry["above"], entry["class"]) == (above, name)
                ]
                row.append(_spread(scores))
            row.append(_spread(list(_long_vortices(cells))))
            kind = kind or cells[0].metrics.get("snr", "")
            rows.append(row)
    if not any(cell.value for row in rows for cell in row[2:]):
        return
    headings = ["method", "encoder"] + [
        f"{'macro AUC' if name == 'all' else f'{name} against no_sub'}, S/N > {above:g}"
        for above, name in _STRONG
    ]
    about = (
        f"S/N {'after a refit' if kind == 'refit' else 'as it is'}; means over cells, and the "
        "standard deviation between them"
    )
    if any(row[-1].value for row in rows):
        headings.append(f"long vortices against no_sub, S/N > {_STRONG_VORTEX:g}")
        about += "; long vortices are of axions lighter than 1e-23 eV"
    else:
        rows = [row[:-1] for row in rows]
    title = f"Images with strong substructure{_with(labels)}, model {model}"
    yield Table(headings, rows, title, f"{about}.")


def _long_vortices(cells: Iterable[CellResult]) -> Iterator[float]:
    """AUC of the strong ones among long vortices, of each cell that knows it."""
    for cell in cells:
        long = cell.metrics.get("auc_long_vortices") or {}
        for entry in long.get("above_snr", ()):
            if entry["above"] == _STRONG_VORTEX:
                yield entry["auc"]


def _with(labels: float) -> str:
    """A share of the labels as part of a title; nothing for all."""
    return "" if labels == 1 else f" with {labels:.0%} of the labels"


def _spread(scores: Sequence[float]) -> TableCell:
    if not scores:
        return TableCell("")
    spread = f"± {np.std(scores, ddof=1):.3f}" if len(scores) > 1 else ""
    return TableCell(f"{np.mean(scores):.3f} {spread}".strip())


_SCALED_ON = {
    "labelled": "the labelled images",
    "unlabelled": "images without labels",
    "all": "all train images, also those without labels",
    "min-max": "each image by itself",
}


def with_scaling(tables: Iterable[Table], cells: Iterable[CellResult]) -> list[Table]:
    """Tables, each with a sentence on the images that the input scaling was measured on.

    Args:
        tables: of one task and share of the labels.
        cells: of these.
    """
    methods: dict[str, dict[str, None]] = {}
    for cell in cells:
        data = cell.record["settings"]["data"]
        # runs of before had no such setting, and measured on all
        kind, who = data.get("scaling_images", "all"), NAMES[cell.cell.method]
        if cell.record.get("pretraining"):
            kind, who = "all", "pretrained"
        if data["scaling"] == "min-max":
            kind = "min-max"
        methods.setdefault(_SCALED_ON[kind], {})[who] = None
    parts = [f"on {images} ({'; '.join(sorted(names))})" for images, names in methods.items()]
    sentence = f"Input scaling measured {', '.join(sorted(parts))}."
    return [replace(table, sentence=f"{table.sentence} {sentence}".strip()) for table in tables]


def with_pooled_gain(
    sentence: str,
    results: Sequence[CellResult],
    rows: Sequence[ComparedRow],
    task: TaskName,
    by: str,
) -> str:
    """A sentence, with the gain over the supervised baseline that the rows have on average.

    It stays as it is if rows have one pretraining each: an interval would not know their scatter.
    The mean is over the methods that learn from images alone.

    Args:
        sentence: ends with a full stop, or is empty.
        results: of the whole grid.
        rows: of one table.
        task: of the rows.
        by: name of the score.
    """
    of_images = [row for row in rows if supervision_of(row.method) == "images"]
    gain = pooled_gain(results, of_images, task, by)
    if gain is None or gain.trainings < MIN_TRAININGS:
        return sentence
    mean, interval = (
        format_difference(gain.mean, _DIGITS[task]),
        format_interval(gain.interval.as_list(), _DIGITS[task]),
    )
    stem = sentence.removesuffix(".")
    which = "rows" if len(of_images) == len(rows) else f"rows without {MARK}"
    return f"{stem}{'; ' if stem else ''}mean over {which}, minus supervised: {mean} ({interval})."


def cells_by_method(
    grid: Grid,
    results: Sequence[CellResult],
    model: str,
    encoder: str,
    task: TaskName,
    labels: float = 1.0,
) -> dict[str, list[CellResult]]:
    """Cells of each baseline and method, the baselines first; methods without cells are left out.

    Args:
        grid: that was run; its rows name the methods of an encoder.
        results: of its cells.
        model, encoder, task, labels: that the cells must have.
    """
    methods = [*BASELINES, *(row.method for row in grid.rows if row.encoder == encoder)]
    cells = {
        method: select(
            results, model=model, method=method, encoder=encoder, task=task, labels=labels
        )
        for method in methods
    }
    return {method: of_method for method, of_method in cells.items() if of_method}
