"""RUN/report.html: the page of a run, and testing a run, of which it is the last step.

Everything is in the page: plots are inlined, nothing is loaded, no script runs. What comes from
files and settings is escaped by the template engine.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from lensmodels.evaluation.information import InformationLimit, information_limit
from lensmodels.evaluation.requests import check_test, evaluation_folder
from lensmodels.evaluation.shift_testing import (
    measure_shifts,
    read_shifts,
    remove_stale_shifts,
)
from lensmodels.evaluation.testing import ScoreOptions, score
from lensmodels.methods.probes import has_collapsed
from lensmodels.methods.supervision import MARK_NOTE, method_title, supervision_of
from lensmodels.reporting import sentences
from lensmodels.reporting.evaluated_run import PLOTS, read_evaluated
from lensmodels.reporting.optional_plots import CAPTIONS, missing_sentences, read_missing
from lensmodels.reporting.page import render, write_text
from lensmodels.reporting.requests import REPORT
from lensmodels.reporting.run_plots import draw_plots, read_logs
from lensmodels.reporting.score_tables import class_table, mass_table, snr_tables
from lensmodels.reporting.shift_tables import shift_sentences, shift_table, terminal_text
from lensmodels.reporting.tables import (
    format_difference,
    format_interval,
    format_power,
    format_value,
)
from lensmodels.runs import CONFIG, LOGS, RunConfig
from lensmodels.runs.folder import DESCRIBED
from lensmodels.startup import announce, say

MAIN_PLOT = {"classification": "confusion", "axion-mass": "predicted_mass"}
"""The plot that stands first on the page of a task."""

_TASKS = {"classification": "substructure class", "axion-mass": "axion mass"}


def write_report(run: Path) -> Path:
    """Writes RUN/report.html from the files that `evaluate` wrote into the run.

    Returns:
        The path of the page.

    Raises:
        UsageError: if the run was not evaluated.
    """
    evaluated = read_evaluated(run)
    config, metrics = evaluated.config, evaluated.metrics
    limit = information_limit(metrics["data"]["spec_sha256"])
    task, method = metrics["task"], method_title(config.method, config.pretrain)
    main = MAIN_PLOT[task]
    missing = missing_sentences(read_missing(evaluated.folder / PLOTS))
    shifts = read_shifts(evaluated.folder)
    of_task = (
        [class_table(metrics), *snr_tables(metrics)]
        if task == "classification"
        else [mass_table(metrics)]
    )
    page = render(
        "run.html",
        title=f"{method}, {config.encoder.name}: {_TASKS[task]}",
        subtitle=f"{evaluated.name}, tested on {evaluated.tested_on} ({metrics['data']['url']})",
        sentences=[
            *sentences.sentences(metrics, limit),
            *sentences.unknown_sentences(metrics),
            *sentences.posterior_sentences(metrics),
            *sentences.calibration_sentences(metrics),
            *sentences.novelty_sentences(metrics),
            *shift_sentences(shifts),
            *sentences.warning_sentences(evaluated.predictions),
            *_collapse_sentences(evaluated.folder),
            *missing,
        ],
        main_plots=[plot for plot in [evaluated.plot(main)] if plot],
        cards=_cards(metrics, limit),
        plots=[plot for name in CAPTIONS if name != main and (plot := evaluated.plot(name))],
        tables=[*of_task, *([] if shifts is None else [shift_table(shifts)])],
        run=evaluated,
        methods=[
            *_notes(config),
            *sentences.METHOD_NOTES,
            *sentences.TASK_NOTES[task],
            *([] if metrics.get("calibration") is None else [sentences.CALIBRATION_NOTE]),
            *([] if metrics.get("in_distribution") is None else [sentences.NOVELTY_NOTE]),
        ],
        version=config.version,
    )
    return write_text(evaluated.folder / REPORT, page)


def _notes(config: RunConfig) -> list[str]:
    """What supervised the pretraining, and on which images the input scaling was measured."""
    is_marked = supervision_of(config.method, config.pretrain) == "simulator"
    notes = [MARK_NOTE] if is_marked else []
    measured = config.measured
    if measured is None or measured.scaled_on is None:  # not kept by runs of version 0.1.0
        return notes
    kind = measured.scaling["kind"]
    return [*notes, f"The input scaling ({kind}) was measured on {measured.scaled_on}."]


def _collapse_sentences(run: Path) -> list[sentences.Sentence]:
    """A warning if the features had collapsed when the pretraining ended."""
    names = ["embedding_std", "embedding_rank"]
    log = read_logs(run).get("pretrain")
    if log is None or not set(names) <= set(log):
        return []
    last = log[names].dropna().iloc[-1:]
    if last.empty or not has_collapsed(*last.iloc[0]):
        return []
    std, rank = last.iloc[0]
    return [
        sentences.Sentence(
            f"The features had collapsed when the pretraining ended: their spread was {std:.3f} "
            f"and their effective rank {rank:.1f}.",
            is_warning=True,
        )
    ]


def _cards(metrics: Mapping[str, Any], limit: InformationLimit | None) -> list[dict[str, str]]:
    """The main numbers: name, value and note of each."""
    ends = metrics["ci95"]
    if metrics["task"] == "classification":
        confidence = np.average(
            metrics["reliability"]["confidence"], weights=metrics["reliability"]["count"]
        )
        excess = format_difference(100 * float(confidence - metrics["accuracy"]), 1)
        cards = [
            (
                "macro AUC",
                format_value(metrics["macro_auc"]),
                format_interval(ends["macro_auc"]) or "a class has no test images",
            ),
            (
                "accuracy",
                f"{metrics['accuracy']:.1%}",
                f"{ends['accuracy'][0]:.1%} to {ends['accuracy'][1]:.1%}",
            ),
            (
                "expected calibration error",
                format_value(metrics["expected_calibration_error"], 3),
                f"stated confidence minus accuracy: {excess} percentage points",
            ),
        ]
    else:
        cards = [
            (
                "RMSE, dex",
                format_value(metrics["rmse_dex"], 3),
                format_interval(ends["rmse_dex"], 3),
            )
        ]
        if limit is not None:
            note = "from the information in the images and the prior"
            cards.append(("best possible, dex", format_value(limit.limit, 3), note))
        resolved, coverage = metrics["resolved"], metrics["coverage"]
        if resolved is not None:
            name = f"RMSE below {format_power(resolved['below'])} eV, dex"
            note = f"{resolved['count']:,} images"
            cards.append((name, format_value(resolved["rmse_dex"], 3), note))
        if coverage is not None:
            inside = dict(zip(coverage["nominal"], coverage["observed"], strict=True))
            cards.append(
                (
                    "true mass within one sigma",
                    f"{inside[0.6827]:.0%}",
                    f"68% expected; within two: {inside[0.9545]:.0%}, 95% expected",
                )
            )
    tested = f"trained on {metrics['n_labels']:,} with labels"
    cards.append(("test images", f"{metrics['n_test']:,}", tested))
    return [dict(zip(("name", "value", "note"), card, strict=True)) for card in cards]


def evaluate(
    run: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    shift_images: int | None = None,
    **options: Unpack[ScoreOptions],
) -> dict[str, Any]:
    """Tests a run, and writes its metrics.json, predictions.csv, plots and report.html.

    They are written to `evaluation_folder(run, data, out)`: a test on another archive does not
    replace that of the run. `report` takes such a folder as a run. With `shift_images`, the run is
    tested on shifted images, too, which gives shifts.json and shifts.csv.

    Args:
        run: folder of a run that was trained.
        data: folder or URL of another archive than the one it was trained on.
        out: folder to write to.
        shift_images: images of each class and shift; none is tested if not given.
        options: of `score`.

    Raises:
        UsageError: if the folder is another run, or holds files of another origin, or `data` is an
            image file; other errors are those of `score`.

    Returns:
        The content of metrics.json.
    """
    run = Path(run)
    folder = evaluation_folder(run, data, out)
    check_test(run, data, folder, shifted=shift_images is not None)
    elsewhere = folder.resolve() != run.resolve()
    if elsewhere:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DESCRIBED).write_text(f"{run.resolve()}\n")  # marks the folder as ours
    tested, metrics = score(run, data, out=folder, **options)
    if elsewhere:
        _copy_description(run, folder)
    remove_stale_shifts(folder, run)
    if shift_images is not None:
        announce("testing on shifted images")
        measure_shifts(run, shift_images, out=folder, data=data, **options)
        say(terminal_text(folder))
    announce("drawing the plots")
    draw_plots(folder, tested, metrics)
    announce("writing the report")
    write_report(folder)
    return metrics


def _copy_description(run: Path, folder: Path) -> None:
    """Copies the settings and logs of a run, which its report describes."""
    shutil.copyfile(run / CONFIG, folder / CONFIG)
    shutil.rmtree(folder / LOGS, ignore_errors=True)
    for log in (run / LOGS).glob("*/metrics.csv"):
        copy = folder / log.relative_to(run)
        copy.parent.mkdir(parents=True)
        shutil.copyfile(log, copy)
