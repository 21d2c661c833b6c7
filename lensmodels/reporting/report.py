"""report.html: one self-contained page of a run, or of several side by side.

Everything is in the page: figures are inlined, nothing is loaded, no script runs. What comes from
files and settings is escaped by the template engine.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from lensmodels.methods.probes import has_collapsed
from lensmodels.methods.settings import METHOD_NAMES
from lensmodels.reporting import plots, style, wording
from lensmodels.reporting.captions import FIGURES, HEADINGS
from lensmodels.reporting.figures import PLOTS, read_logs
from lensmodels.reporting.optional import OptionalFigures, missing_sentences, read_missing
from lensmodels.reporting.page import PageFigure, png_of, render, write_text
from lensmodels.reporting.requests import COMPARISON, REPORT, check_comparison
from lensmodels.runs import RunConfig, read_config
from lensmodels.statistics import bootstrap
from lenssim.configuration.yaml_reading import format_yaml

_TRUTH = ["split", "class", "sample", "label", "axion_mass", "substructure_snr"]


@dataclass(frozen=True)
class EvaluatedRun:
    """A run that was evaluated, as read from its folder."""

    folder: Path
    config: RunConfig
    metrics: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def name(self) -> str:
        """What it is called on a page."""
        return self.folder.resolve().name

    @property
    def is_averaged(self) -> bool:
        """Whether its test took the mean over the symmetries of each image."""
        return bool(self.metrics.get("average_symmetries", False))


def write_report(run: Path) -> Path:
    """Writes RUN/report.html from what `evaluate` left in the run.

    Returns:
        The path of the page.

    Raises:
        UsageError: where the run was not evaluated.
    """
    evaluated = read_evaluated(run)
    config, metrics = evaluated.config, evaluated.metrics
    limit = information_limit(metrics["data"]["spec_sha256"])
    method = METHOD_NAMES[config.method]
    task = {"classification": "substructure class", "axion-mass": "axion mass"}[metrics["task"]]
    page = render(
        "run.html",
        title=f"{method}, {config.encoder.name}: {task}",
        subtitle=f"{evaluated.name}, tested on {metrics['n_test']:,} images of "
        f"{_data_name(metrics)} ({metrics['data']['url']})",
        cards=_cards(metrics, limit),
        sentences=[
            *wording.sentences(metrics, limit),
            *wording.unknown_sentences(metrics),
            *_of_pretraining(Path(run)),
            *missing_sentences(read_missing(Path(run) / PLOTS), HEADINGS),
        ],
        figures=_run_figures(evaluated),
        table=_table(metrics),
        facts=_facts(evaluated),
        settings=_settings(config),
        methods=[*wording.METHOD_NOTES, *wording.TASK_NOTES[metrics["task"]]],
        version=config.version,
    )
    return write_text(Path(run) / REPORT, page)


def _of_pretraining(run: Path) -> list[wording.Sentence]:
    """That the features had collapsed when the pretraining ended, where they had."""
    names = ["embedding_std", "embedding_rank"]
    log = read_logs(run).get("pretrain")
    if log is None or not set(names) <= set(log):
        return []
    last = log[names].dropna().iloc[-1:]
    if last.empty or not has_collapsed(*last.iloc[0]):
        return []
    std, rank = last.iloc[0]
    return [
        wording.Sentence(
            f"The features had collapsed when the pretraining ended: their spread was {std:.3f} "
            f"and their effective rank {rank:.1f}.",
            is_warning=True,
        )
    ]


def compare(runs: Sequence[Path], out: Path, *, seed: int = 0) -> Path:
    """Puts several runs side by side on a page, with the differences of their scores.

    Differences are by paired bootstrap, where the runs were tested on the same images.

    Args:
        runs: folders of evaluated runs of one task, two or more; the first is what the others are
            compared with in words.
        out: folder to write: report.html, and comparison.json with the differences.
        seed: of the bootstrap.

    Returns:
        The path of the page.

    Raises:
        UsageError: where there is one run only, they are of different tasks, one was not
            evaluated, or `out` holds a report or comparison of another origin, such as a run's.
    """
    check_comparison(runs, out)
    evaluated = [read_evaluated(run) for run in runs]
    tasks = {each.metrics["task"] for each in evaluated}
    if len(tasks) > 1:
        raise UsageError(f"Runs of different tasks ({' and '.join(sorted(tasks))}) do not compare.")
    task = tasks.pop()
    key, score = wording.SCORES[task]
    names = _distinct_names(evaluated)
    paired = paired_differences(evaluated, seed=seed)
    words = [
        wording.difference_sentence(task, names[number], names[0], *paired[number, 0])
        for number in range(1, len(evaluated))
        if (number, 0) in paired
    ]
    unpaired = [names[number] for number in range(1, len(evaluated)) if (number, 0) not in paired]
    if unpaired:
        words.append(
            wording.Sentence(
                f"{' and '.join(unpaired)} cannot be compared with {names[0]} image by image: "
                "they were not tested on the same images, or the score is undefined.",
                is_warning=True,
            )
        )
    averaged = [name for name, each in zip(names, evaluated, strict=True) if each.is_averaged]
    if averaged and len(averaged) < len(names):
        words.append(
            wording.Sentence(
                f"{' and '.join(averaged)} {'was' if len(averaged) == 1 else 'were'} tested with "
                "the mean over the eight symmetries of each image, and the others were not: part "
                "of the difference may be that.",
                is_warning=True,
            )
        )
    unknown = dict.fromkeys(name for each in evaluated for name in each.metrics.get("unknown", ()))
    words += wording.unknown_sentences({"unknown": list(unknown)})
    figures, missing = _comparison_figures(evaluated, names)
    words += missing_sentences(missing, HEADINGS)
    page = render(
        "compare.html",
        title=f"{len(evaluated)} runs compared",
        subtitle=f"{score} on {' and '.join(sorted({_tested_on(each) for each in evaluated}))}",
        sentences=words,
        table=_comparison_table(evaluated, names),
        names=names,
        score_name=score[0].upper() + score[1:],
        differences=_difference_rows(names, paired, wording.DIFFERENCE_DIGITS[task]),
        figures=figures,
        details=[
            {"name": name, "facts": _facts(each), "settings": _settings(each.config)}
            for name, each in zip(names, evaluated, strict=True)
        ],
        methods=[*wording.METHOD_NOTES, wording.PAIRING_NOTE, *wording.TASK_NOTES[task]],
        version=evaluated[0].config.version,
    )
    compared = {
        "score": key,
        "runs": {name: each.metrics for name, each in zip(names, evaluated, strict=True)},
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


def read_evaluated(run: Path) -> EvaluatedRun:
    """A run with its metrics and predictions.

    Raises:
        UsageError: where it was not evaluated, or the files are damaged.
    """
    run = Path(run)
    config = read_config(run)
    try:
        metrics = json.loads((run / "metrics.json").read_text())
        predictions = pd.read_csv(run / "predictions.csv")
    except (FileNotFoundError, ValueError):
        raise UsageError(
            f"{run} has no metrics.json and predictions.csv that can be read; make them with "
            f"`lensmodels evaluate {run}`."
        ) from None
    return EvaluatedRun(run, config, metrics, predictions)


Differences = dict[tuple[int, int], tuple[float, bootstrap.Interval]]


def paired_differences(runs: Sequence[EvaluatedRun], *, seed: int = 0) -> Differences:
    """Difference of the score, first less second, and its interval, of every ordered pair of runs.

    Pairs that were not tested on the same images, or whose score is undefined, are left out.
    """
    statistics = {
        number: _score(run)
        for number, run in enumerate(runs)
        if run.metrics[wording.SCORES[run.metrics["task"]][0]] is not None
    }
    found: Differences = {}
    for first, second in itertools.permutations(statistics, 2):
        if (second, first) in found:
            value, interval = found[second, first]
            found[first, second] = -value, bootstrap.Interval(-interval.high, -interval.low)
        elif _are_of_same_images(runs[first], runs[second]):
            strata = labels_of(runs[first].predictions)
            once = np.ones((1, len(strata)))
            one, other = statistics[first], statistics[second]
            value = float(one(once)[0] - other(once)[0])
            found[first, second] = value, bootstrap.paired_interval(one, other, strata, seed=seed)
    return found


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

    The S/N and the mass of each are compared too: the same sample of another archive has others.
    """
    return first[_TRUTH].equals(second[_TRUTH])


def _score(run: EvaluatedRun) -> bootstrap.Statistic:
    if run.metrics["task"] == "classification":
        table = run.predictions
        return bootstrap.weighted_macro_auc(true_columns(table), probabilities_of(table))
    return bootstrap.weighted_rms(log_mass_error(run.predictions))


def _card(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _cards(metrics: Mapping[str, Any], limit: Any) -> list[dict[str, str]]:
    ends = metrics["ci95"]
    tested = _card(
        "test images", f"{metrics['n_test']:,}", f"trained on {metrics['n_labels']:,} with labels"
    )
    if metrics["task"] == "classification":
        return [
            _card(
                "macro AUC",
                wording.figure(metrics["macro_auc"]),
                wording.span(ends["macro_auc"]) or "a class has no test images",
            ),
            _card(
                "accuracy",
                f"{metrics['accuracy']:.1%}",
                f"{ends['accuracy'][0]:.1%} to {ends['accuracy'][1]:.1%}",
            ),
            tested,
        ]
    cards = [
        _card("RMSE, dex", f"{metrics['rmse_dex']:.3f}", wording.span(ends["rmse_dex"], 3)),
    ]
    if limit is not None:
        cards.append(
            _card(
                "best possible, dex",
                f"{limit.limit:.3f}",
                "from the information in the images and the prior",
            )
        )
    resolved = metrics["resolved"]
    if resolved is not None:
        cards.append(
            _card(
                f"RMSE below {wording.power(resolved['below'])} eV",
                f"{resolved['rmse_dex']:.3f}",
                f"{resolved['count']:,} images",
            )
        )
    return [*cards, tested]


def _run_figures(run: EvaluatedRun) -> list[PageFigure]:
    found = []
    for name, (heading, caption) in FIGURES.items():
        file = run.folder / PLOTS / f"{name}.png"
        if file.exists():
            found.append(PageFigure(heading, caption, file.read_bytes()))
    return found


def _table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures by class, or by mass."""
    if metrics["task"] == "classification":
        counts = np.array(metrics["confusion"])
        return {
            "headings": ["class", "images", "AUC", "95% interval", "found", "pure"],
            "rows": [
                [
                    style.CLASS_NAMES[name],
                    f"{counts[label].sum():,}",
                    wording.figure(metrics["auc"][name]),
                    wording.span(metrics["ci95"]["auc"][name]),
                    _share(counts[label, label], counts[label].sum()),
                    _share(counts[label, label], counts[:, label].sum()),
                ]
                for label, name in enumerate(metrics["auc"])
            ],
        }
    return {
        "headings": [
            "log10(m / eV)",
            "images",
            "RMSE, dex",
            "95% interval",
            "mean |error|",
            "mean error",
        ],
        "rows": [
            [
                wording.span([row["low"], row["high"]], 2),
                f"{row['count']:,}",
                f"{row['rmse_dex']:.3f}",
                wording.span(row["ci95"]["rmse_dex"], 3),
                f"{row['mae_dex']:.3f}",
                wording.signed(row["bias_dex"], 3),
            ]
            for row in metrics["by_mass"]
        ],
    }


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "undefined"


def _facts(run: EvaluatedRun) -> list[tuple[str, str]]:
    config, metrics = run.config, run.metrics
    data = metrics["data"]
    averaged = ", each the mean of its eight symmetries" if run.is_averaged else ""
    start = config.pretrained or ("this run" if config.method != "supervised" else "random weights")
    return [
        ("method", METHOD_NAMES[config.method]),
        ("encoder", f"{config.encoder.name}, from {start}{', frozen' if config.frozen else ''}"),
        ("trained on", config.data.url),
        (
            "train images",
            f"{metrics['n_train']:,}, of which {metrics['n_labels']:,} with their labels",
        ),
        ("tested on", f"{data['url']}, test split, {metrics['n_test']:,} images{averaged}"),
        ("data model", f"{data['model']}, seed {data['seed']}"),
        ("specification, SHA-256", data["spec_sha256"] or "none: the images were imported"),
        ("data, SHA-256", data["sha256"]),
        ("seed", str(config.seed)),
        ("software", f"lensmodels {metrics['version']}"),
    ]


def _data_name(metrics: Mapping[str, Any]) -> str:
    """Name of the data set of a test: a model's, or what was imported."""
    data = metrics["data"]
    return f"{'model ' if data['spec_sha256'] else ''}{data['model']}"


def _settings(config: RunConfig) -> str:
    return format_yaml(config.model_dump(mode="json"), ascii_only=False)


def _tested_on(run: EvaluatedRun) -> str:
    return f"{run.metrics['n_test']:,} test images of {_data_name(run.metrics)}"


def _distinct_names(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Folder names, or whole paths where two have the same name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def _comparison_table(runs: Sequence[EvaluatedRun], names: Sequence[str]) -> dict[str, Any]:
    classification = runs[0].metrics["task"] == "classification"
    digits = 4 if classification else 3
    scores = ["macro_auc", "accuracy"] if classification else ["rmse_dex", "mae_dex", "bias_dex"]
    headings = {
        "macro_auc": "macro AUC",
        "accuracy": "accuracy",
        "rmse_dex": "RMSE, dex",
        "mae_dex": "mean |error|",
        "bias_dex": "mean error",
    }
    rows = []
    for number, (name, run) in enumerate(zip(names, runs, strict=True)):
        plain = [
            METHOD_NAMES[run.config.method],
            run.config.encoder.name,
            f"{run.metrics['n_labels']:,}",
        ]
        cells = [{"value": value, "interval": ""} for value in plain]
        cells += [
            {
                "value": (wording.signed if key == "bias_dex" else wording.figure)(
                    run.metrics[key], digits
                ),
                "interval": wording.span(run.metrics["ci95"][key], digits),
            }
            for key in scores
        ]
        rows.append({"name": name, "colour": style.colour_of_run(number), "cells": cells})
    return {
        "headings": ["method", "encoder", "labels", *(headings[key] for key in scores)],
        "rows": rows,
    }


def _difference_rows(
    names: Sequence[str], paired: Differences, digits: int
) -> list[dict[str, Any]]:
    if not paired:
        return []
    return [
        {
            "name": name,
            "cells": [
                _difference_cell(paired.get((row, column)), digits) for column in range(len(names))
            ],
        }
        for row, name in enumerate(names)
    ]


def _difference_cell(
    found: tuple[float, bootstrap.Interval] | None, digits: int
) -> dict[str, Any] | None:
    if found is None:
        return None
    value, interval = found
    return {
        "value": wording.signed(value, digits),
        "interval": wording.span(interval.as_list(), digits),
        "excludes_zero": interval.excludes_zero,
    }


def _comparison_figures(
    runs: Sequence[EvaluatedRun], names: Sequence[str]
) -> tuple[list[PageFigure], dict[str, str]]:
    """The scores, the overlay that tells most, and each run's own main figure.

    Returns:
        The figures, and why the others could not be drawn, by name.
    """
    measured = [(name, run.metrics) for name, run in zip(names, runs, strict=True)]
    classification = runs[0].metrics["task"] == "classification"
    specifications = {run.metrics["data"]["spec_sha256"] for run in runs}
    limit = information_limit(specifications.pop()) if len(specifications) == 1 else None
    optional = OptionalFigures()
    found = []
    with style.house_style():
        scores = optional.draw("scores", lambda: png_of(plots.draw_scores(measured)))
        name, overlay = "rmse_by_mass", None
        if not classification:
            overlay = optional.draw(name, lambda: png_of(plots.draw_rmse_by_mass(measured, limit)))
        elif any(run.metrics["auc_by_snr"] for run in runs):
            name = "auc_by_snr"
            overlay = optional.draw(name, lambda: png_of(plots.draw_auc_by_snr_of_runs(measured)))
    if scores is not None:
        found.append(
            PageFigure(
                "Scores",
                "Each run with its own 95% interval over test images. The paired differences above "
                "are sharper, as both runs saw the same images.",
                scores,
            )
        )
    if overlay is not None:
        found.append(PageFigure(*FIGURES[name], overlay))
    own = "confusion" if classification else "predicted_mass"
    heading, caption = FIGURES[own]
    for name, run in zip(names, runs, strict=True):
        file = run.folder / PLOTS / f"{own}.png"
        if file.exists():
            found.append(PageFigure(f"{heading}: {name}", caption, file.read_bytes()))
            caption = ""  # once is enough
    return found, optional.missing
