"""A page of several runs side by side, with the differences of their scores."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lensmodels.errors import UsageError
from lensmodels.evaluation.information import information_limit
from lensmodels.evaluation.summary import (
    labels_of,
    log_mass_error,
    probabilities_of,
    true_columns,
)
from lensmodels.methods.supervision import MARK_NOTE, method_title, supervision_of
from lensmodels.reporting import plots, style
from lensmodels.reporting.evaluated_run import EvaluatedRun, read_evaluated
from lensmodels.reporting.optional_plots import CAPTIONS, OptionalPlots, missing_sentences
from lensmodels.reporting.page import PagePlot, png_of, render, write_text
from lensmodels.reporting.requests import COMPARISON, REPORT, check_comparison
from lensmodels.reporting.run_page import MAIN_PLOT
from lensmodels.reporting.sentences import (
    DIFFERENCE_DIGITS,
    METHOD_NOTES,
    PAIRING_NOTE,
    SCORES,
    TASK_NOTES,
    Sentence,
    difference_sentence,
    unknown_sentences,
)
from lensmodels.reporting.tables import (
    Table,
    TableCell,
    format_difference,
    format_interval,
    format_value,
    text_cells,
)
from lensmodels.statistics import bootstrap

_COLUMNS = {
    "classification": {"macro_auc": "macro AUC", "accuracy": "accuracy"},
    "axion-mass": {"rmse_dex": "RMSE, dex", "mae_dex": "mean |error|", "bias_dex": "bias"},
}
"""Keys and headings of the metrics in the table of a task."""

_COLUMN_DIGITS = {"classification": 4, "axion-mass": 3}

_SCORES_CAPTION = (
    "Scores",
    "Each run with its own 95% interval over test images. The paired differences above are "
    "sharper, as both runs were tested on the same images.",
)

_TRUTH = ["split", "class", "sample", "label", "axion_mass", "substructure_snr"]


def compare(runs: Sequence[Path], out: Path, *, seed: int = 0) -> Path:
    """Puts several runs side by side on a page, with the differences of their scores.

    Differences are by paired bootstrap, of runs that were tested on the same images.

    Args:
        runs: folders of two or more evaluated runs of one task; the sentences compare the others
            with the first.
        out: folder to write: report.html, and comparison.json with the differences.
        seed: of the bootstrap.

    Returns:
        The path of the page.

    Raises:
        UsageError: if there is one run only, they are of different tasks, one was not evaluated,
            or `out` holds a report or comparison of another origin, such as a run's.
    """
    check_comparison(runs, out)
    evaluated = [read_evaluated(run) for run in runs]
    tasks = {run.metrics["task"] for run in evaluated}
    if len(tasks) > 1:
        raise UsageError(f"Runs of different tasks ({' and '.join(sorted(tasks))}) do not compare.")
    task = tasks.pop()
    key, score = SCORES[task]
    names = _distinct_names(evaluated)
    paired = paired_differences(evaluated, seed=seed)
    page_plots, missing = _plots(evaluated, names)
    page = render(
        "compare.html",
        title=f"{len(evaluated)} runs compared",
        subtitle=f"{score} on {' and '.join(sorted({run.tested_on for run in evaluated}))}",
        sentences=[*_sentences(task, evaluated, names, paired), *missing],
        table=_run_table(task, evaluated, names),
        score_name=score[0].upper() + score[1:],
        differences=_difference_table(names, paired, DIFFERENCE_DIGITS[task]) if paired else None,
        plots=page_plots,
        details_of=list(zip(names, evaluated, strict=True)),
        methods=[*METHOD_NOTES, PAIRING_NOTE, *TASK_NOTES[task]],
        version=evaluated[0].config.version,
    )
    compared = {
        "score": key,
        "runs": {name: run.metrics for name, run in zip(names, evaluated, strict=True)},
        "differences": [
            {
                "run": names[first],
                "less": names[second],
                "difference": value,
                "ci95": interval.as_list(),
                "excludes_zero": interval.excludes_zero,
            }
            for (first, second), (value, interval) in paired.items()
        ],
    }
    write_text(Path(out) / COMPARISON, json.dumps(compared, indent=1) + "\n")
    return write_text(Path(out) / REPORT, page)


Differences = dict[tuple[int, int], tuple[float, bootstrap.Interval]]


def paired_differences(runs: Sequence[EvaluatedRun], *, seed: int = 0) -> Differences:
    """Difference of the score, first less second, and its interval, of every ordered pair of runs.

    Pairs that were not tested on the same images, or whose score is undefined, are left out.
    """
    statistics = {
        number: _score(run)
        for number, run in enumerate(runs)
        if run.metrics[SCORES[run.metrics["task"]][0]] is not None
    }
    differences: Differences = {}
    for first, second in itertools.permutations(statistics, 2):
        if (second, first) in differences:
            value, interval = differences[second, first]
            differences[first, second] = -value, bootstrap.Interval(-interval.high, -interval.low)
        elif _are_of_same_images(runs[first], runs[second]):
            strata = labels_of(runs[first].predictions)
            once = np.ones((1, len(strata)))
            one, other = statistics[first], statistics[second]
            value = float(one(once)[0] - other(once)[0])
            interval = bootstrap.paired_interval(one, other, strata, seed=seed)
            differences[first, second] = value, interval
    return differences


def _are_of_same_images(first: EvaluatedRun, second: EvaluatedRun) -> bool:
    """Whether two runs were tested on the same images, in the same order.

    Imported images without S/N and mass are told apart by the checksum of their archive alone.
    """
    if not same_images(first.predictions, second.predictions):
        return False
    known = first.predictions[["axion_mass", "substructure_snr"]].notna()
    if known.any(axis=None):
        return True
    return bool(first.metrics["data"]["sha256"] == second.metrics["data"]["sha256"])


def same_images(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two tables of predictions are of the same images, in the same order.

    S/N and mass are compared too: the same sample of another archive has others.
    """
    return first[_TRUTH].equals(second[_TRUTH])


def _score(run: EvaluatedRun) -> bootstrap.Statistic:
    if run.metrics["task"] == "classification":
        table = run.predictions
        return bootstrap.weighted_macro_auc(true_columns(table), probabilities_of(table))
    return bootstrap.weighted_rms(log_mass_error(run.predictions))


def _distinct_names(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Folder names, or whole paths if two are the same."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def _sentences(
    task: str, runs: Sequence[EvaluatedRun], names: Sequence[str], paired: Differences
) -> list[Sentence]:
    """The differences from the first run, and what besides the method may cause them."""
    others = range(1, len(runs))
    text = [
        difference_sentence(task, names[number], names[0], *paired[number, 0])
        for number in others
        if (number, 0) in paired
    ]
    unpaired = [names[number] for number in others if (number, 0) not in paired]
    averaged = [name for name, run in zip(names, runs, strict=True) if run.is_averaged]
    labels = {name: run.metrics["n_labels"] for name, run in zip(names, runs, strict=True)}
    warnings = []
    if unpaired:
        warnings.append(
            f"{' and '.join(unpaired)} cannot be compared with {names[0]} image by image: they "
            "were not tested on the same images, or the score is undefined."
        )
    if averaged and len(averaged) < len(names):
        warnings.append(
            f"{' and '.join(averaged)} {'was' if len(averaged) == 1 else 'were'} tested with the "
            "mean over the eight symmetries of each image, and the others were not: part of the "
            "difference may be that."
        )
    if any(_is_simulator_supervised(run) for run in runs):
        warnings.append(MARK_NOTE)
    if len(set(labels.values())) > 1:
        counts = ", ".join(f"{name} {count:,}" for name, count in labels.items())
        warnings.append(
            f"The runs were trained with different numbers of labels ({counts}): part of the "
            "difference may be that."
        )
    text += [Sentence(warning, is_warning=True) for warning in warnings]
    unknown = dict.fromkeys(name for run in runs for name in run.metrics.get("unknown", ()))
    return [*text, *unknown_sentences({"unknown": list(unknown)})]


def _is_simulator_supervised(run: EvaluatedRun) -> bool:
    return supervision_of(run.config.method, run.config.pretrain) == "simulator"


def _run_table(task: str, runs: Sequence[EvaluatedRun], names: Sequence[str]) -> Table:
    digits = _COLUMN_DIGITS[task]
    rows = []
    for number, (name, run) in enumerate(zip(names, runs, strict=True)):
        row = [TableCell(name, colour=style.colour_of_run(number))]
        row += text_cells(
            [
                method_title(run.config.method, run.config.pretrain),
                run.config.encoder.name,
                f"{run.metrics['n_labels']:,}",
            ]
        )
        row += [
            TableCell(
                format_value(run.metrics[key], digits),
                format_interval(run.metrics["ci95"][key], digits),
            )
            for key in _COLUMNS[task]
        ]
        rows.append(row)
    return Table(["run", "method", "encoder", "labels", *_COLUMNS[task].values()], rows)


def _difference_table(names: Sequence[str], paired: Differences, digits: int) -> Table:
    """Score of the run in the row less that of the run in the column."""
    rows = []
    for first, name in enumerate(names):
        row = [TableCell(name)]
        for second in range(len(names)):
            if (first, second) not in paired:
                row.append(TableCell())
                continue
            value, interval = paired[first, second]
            row.append(
                TableCell(
                    format_difference(value, digits),
                    format_interval(interval.as_list(), digits),
                )
            )
        rows.append(row)
    return Table(["", *names], rows)


def _plots(
    runs: Sequence[EvaluatedRun], names: Sequence[str]
) -> tuple[list[PagePlot], list[Sentence]]:
    """The scores, the scores by mass or S/N, and the main plot of each run.

    Returns:
        The plots, and a sentence on each that could not be drawn.
    """
    task = runs[0].metrics["task"]
    measured = [(name, run.metrics) for name, run in zip(names, runs, strict=True)]
    specifications = {run.metrics["data"]["spec_sha256"] for run in runs}
    limit = information_limit(specifications.pop()) if len(specifications) == 1 else None
    drawings = {"scores": lambda: png_of(plots.draw_scores(measured))}
    if task == "axion-mass":
        drawings["rmse_by_mass"] = lambda: png_of(plots.draw_rmse_by_mass(measured, limit))
    elif any(run.metrics["auc_by_snr"] for run in runs):
        drawings["auc_by_snr"] = lambda: png_of(plots.draw_auc_by_snr_of_runs(measured))
    optional = OptionalPlots()
    with style.house_style():
        pngs = {name: optional.draw(name, draw) for name, draw in drawings.items()}
    captions = CAPTIONS | {"scores": _SCORES_CAPTION}
    shown = [PagePlot(*captions[name], png) for name, png in pngs.items() if png is not None]
    heading, caption = CAPTIONS[MAIN_PLOT[task]]
    for name, run in zip(names, runs, strict=True):
        plot = run.plot(MAIN_PLOT[task])
        if plot is not None:
            shown.append(PagePlot(f"{heading}: {name}", caption, plot.png))
            caption = ""  # the same for every run
    return shown, missing_sentences(optional.missing)
