"""Plots of a classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import norm
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

from lensmodels.data import CLASSES
from lensmodels.evaluation.summary import labels_of
from lensmodels.reporting import style
from lensmodels.reporting.plots.axes import (
    Metrics,
    dodged,
    draw_calibration,
    errorbar,
    legend_above,
    plain_ticks,
)

_GOOD_AUC = 0.9
"""Highest AUC of a plot from which on 1 - AUC is shown, on a logarithmic axis."""


def draw_roc(table: pd.DataFrame, metrics: Metrics) -> Figure:
    """ROC curve of each class against the rest; false positives on a logarithmic axis."""
    figure = style.new_figure()
    axes = figure.subplots()
    labels = labels_of(table)
    floor = 0.5 / max(1, len(table))
    for name, area in metrics["auc"].items():
        if area is None:
            continue
        label = f"{style.CLASS_NAMES[name]}, AUC {area:.4f}"
        RocCurveDisplay.from_predictions(
            labels == CLASSES.index(name),
            table[f"p_{name}"],
            drop_intermediate=False,
            ax=axes,
            curve_kwargs={
                "color": style.CLASS_COLOURS[name],
                "drawstyle": "steps-post",
                "label": label,
            },
        )
    chance = np.geomspace(floor, 1, 100)
    axes.plot(chance, chance, color=style.QUIET, linestyle=":", linewidth=1.2, label="chance")
    axes.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.02), aspect="auto")
    axes.set_xlabel("false positives, as a share of all other images")
    axes.set_ylabel("true positives, as a share of the class")
    legend_above(axes)
    return figure


def draw_confusion(metrics: Metrics) -> Figure:
    """Counts by true and most probable class, shaded by their share of the true class."""
    counts = np.array(metrics["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = style.new_figure(4.8, 4.2)
    axes = figure.subplots()
    names = [style.CLASS_NAMES[name].replace(" ", "\n") for name in metrics["auc"]]
    display = ConfusionMatrixDisplay(shares, display_labels=names).plot(
        ax=axes, cmap=style.DENSITY, colorbar=False, im_kw={"vmin": 0, "vmax": 1.15}
    )
    for text, share, count in zip(
        display.text_.ravel(), shares.ravel(), counts.ravel(), strict=True
    ):
        text.set_text(f"{share:.1%}\n{count:,} images")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("most probable class")
    axes.set_ylabel("true class")
    return figure


def draw_auc_by_snr(metrics: Metrics) -> Figure:
    """AUC of substructure against none, by the S/N of the substructure."""
    classes = [name for name in metrics["auc"] if name != "no_sub"]
    both = "both" if len(classes) > 1 else style.CLASS_NAMES[classes[0]]
    curves: list[tuple[str, str, dict[str, Any]]] = [("all", both, {"colour": style.INK})]
    curves += [
        (
            name,
            style.CLASS_NAMES[name],
            {"colour": style.CLASS_COLOURS[name], "fmt": "o--", "linewidth": 1.2},
        )
        for name in classes
    ]
    return _snr_plot([(metrics, *curve) for curve in curves])


def draw_auc_by_snr_of_runs(
    runs: Sequence[tuple[str, Metrics]],
    baseline: str | None = None,
    *,
    has_bound: bool = False,
) -> Figure:
    """AUC of substructure against none, by its S/N, of several runs.

    Args:
        runs: name and metrics of each.
        baseline: name of the one that is drawn in black.
        has_bound: whether to draw the AUC of a detector that knows the pattern of the substructure
            (`evaluation.detection_bound`), where lens and source are those of the smooth images. Of
            images that are chosen by their S/N they are not: these have brighter sources, so that
            a weak bin can lie a little above the curve.
    """
    others = [name for name, _ in runs if name != baseline]
    marks = {
        name: {"colour": style.colour_of_run(number)} for number, name in enumerate(others)
    } | {baseline: {"colour": style.INK, "fmt": "s--"}}
    curves = [(metrics, "all", name, marks[name]) for name, metrics in runs]
    return _snr_plot(curves, has_bound=has_bound)


def _snr_plot(
    curves: Sequence[tuple[Metrics, str, str, dict[str, Any]]], *, has_bound: bool = False
) -> Figure:
    """AUC by S/N; as 1 - AUC on a logarithmic axis that points down if the models are good.

    Args:
        curves: metrics, class ("all" for both), label and marks of each.
        has_bound: whether the AUC of a known pattern is drawn.
    """
    rows_of = [
        [row for row in metrics["auc_by_snr"] if row["class"] == name]
        for metrics, name, _, _ in curves
    ]
    areas = np.array([row["auc"] for rows in rows_of for row in rows])
    is_good = bool(len(areas)) and areas.max() > _GOOD_AUC
    misses = 1 - areas[areas < 1]
    floor = 0.5 * float(misses.min()) if len(misses) else 1e-5
    lowest = max([10 * floor, *(2 * (1 - row["ci95"][0]) for rows in rows_of for row in rows)])
    figure = style.new_figure(5.6, 4.4)
    axes = figure.subplots()
    for place, (rows, (_, _, label, marks)) in enumerate(zip(rows_of, curves, strict=True)):
        if not rows:
            continue
        snr = [np.sqrt(max(row["low"], 1e-3) * row["high"]) for row in rows]
        auc = np.array([row["auc"] for row in rows])
        ends = np.array([row["ci95"] for row in rows])
        if is_good:
            auc, ends = np.maximum(1 - auc, floor), np.maximum(1 - ends[:, ::-1], floor)
        errorbar(axes, dodged(snr, place, len(curves)), auc, ends, label=label, **marks)
    axes.set_xscale("log")
    if has_bound:
        along = np.geomspace(*axes.get_xlim(), num=100)
        # how often the larger of two normal deviates is the one whose mean is larger by the S/N
        best = norm.sf(along / np.sqrt(2)) if is_good else norm.cdf(along / np.sqrt(2))
        axes.plot(along, best, label="pattern known", **style.BOUND_LINE)
        axes.set_xlim(along[0], along[-1])
    plain_ticks(axes)
    kinds = {metrics.get("snr", "raw") for metrics, _, _, _ in curves}
    after = " after a refit of lens and source" if kinds == {"refit"} else ""
    axes.set_xlabel(f"S/N of the substructure{after}")
    if is_good:
        axes.set_yscale("log")
        axes.set_ylim(min(lowest, 1.0), 0.7 * floor)
        axes.set_ylabel("1 \N{MINUS SIGN} AUC against no substructure")
    else:
        axes.set_ylim(top=1)
        axes.set_ylabel("AUC against no substructure")
    legend_above(axes)
    return figure


def draw_reliability(metrics: Metrics) -> Figure:
    """How often the most probable class is true, by the confidence stated."""
    reliability = {key: np.array(value) for key, value in metrics["reliability"].items()}
    confidence, count = reliability["confidence"], reliability["count"]
    figure = style.new_figure(4.8, 4.8)
    upper, lower = figure.subplots(2, height_ratios=(3.2, 1), sharex=True)
    draw_calibration(upper, confidence, reliability["accuracy"], count)
    upper.set(xlim=(1 / len(metrics["auc"]) - 0.02, 1.02), xlabel=None)
    upper.set_ylabel("share for which it is the true class")
    lower.bar(confidence, count, width=0.055, color=style.ACCENT, alpha=0.55)
    lower.set_yscale("log")
    lower.set_ylabel("images")
    lower.set_xlabel("stated probability of the most probable class")
    return figure
