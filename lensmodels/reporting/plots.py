"""The figures: each a pure function of what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import AsinhNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from lensmodels.data import CLASSES
from lensmodels.evaluation.information import InformationLimit
from lensmodels.evaluation.summary import classes_of, labels_of, true_log_mass
from lensmodels.reporting import style
from lensmodels.reporting.embedding_map import EmbeddingMap

FloatArray = NDArray[np.floating]
Metrics = Mapping[str, Any]

LOG_MASS = r"$\log_{10}(m\,/\,\mathrm{eV})$"

_FEW = 1500
"""Predictions up to which each is a point; more are shown by their density."""

_STRIPS = 24
"""Columns of the running median."""

_LEAST_IN_STRIP = 8


def draw_roc(table: pd.DataFrame, metrics: Metrics) -> Figure:
    """ROC curve of each class against the rest; false positives on a logarithmic axis."""
    figure = style.new_figure()
    axes = figure.subplots()
    labels = labels_of(table)
    floor = 0.5 / max(1, len(table))
    for name, area in metrics["auc"].items():
        if area is None:
            continue
        false, true, _ = roc_curve(
            labels == CLASSES.index(name), table[f"p_{name}"], drop_intermediate=False
        )
        axes.plot(
            np.maximum(false, floor),
            true,
            color=style.CLASS_COLOURS[name],
            label=f"{style.CLASS_NAMES[name]}   AUC {area:.4f}",
            drawstyle="steps-post",
        )
    chance = np.geomspace(floor, 1, 100)
    axes.plot(chance, chance, color=style.QUIET, linestyle=":", linewidth=1.2, label="chance")
    axes.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.02))
    axes.set_xlabel("false positives, of all other images")
    axes.set_ylabel("true positives, of the class")
    axes.legend(loc="lower right")
    return figure


def draw_confusion(metrics: Metrics) -> Figure:
    """Counts by true and most probable class, shaded by their share of the true class."""
    counts = np.array(metrics["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = style.new_figure(4.8, 4.2)
    axes = figure.subplots()
    axes.imshow(shares, cmap=style.DENSITY, vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.6 else style.INK
        axes.text(
            column,
            row - 0.09,
            f"{shares[row, column]:.1%}",
            ha="center",
            va="center",
            color=colour,
            fontsize=13,
        )
        axes.text(
            column, row + 0.2, f"{count:,}", ha="center", va="center", color=colour, fontsize=9
        )
    names = [style.CLASS_NAMES[name].replace(" ", "\n") for name in metrics["auc"]]
    style.without_grid(axes)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.set_xlabel("most probable class")
    axes.set_ylabel("true class")
    return figure


def draw_auc_by_snr(metrics: Metrics) -> Figure:
    """AUC of substructure against none, by the S/N of the substructure."""
    figure = style.new_figure()
    axes = figure.subplots()
    colours = style.CLASS_COLOURS | {"all": style.INK}
    kinds = [name for name in metrics["auc"] if name != "no_sub"]
    names = style.CLASS_NAMES | {"all": "both" if len(kinds) > 1 else style.CLASS_NAMES[kinds[0]]}
    for name in ("all", *CLASSES):
        thin = {} if name == "all" else {"fmt": "o--", "linewidth": 1.2}
        _snr_curve(axes, metrics, name, colours[name], names[name], **thin)
    _finish_snr(axes)
    return figure


def draw_auc_by_snr_of_runs(
    runs: Sequence[tuple[str, Metrics]], baseline: str | None = None
) -> Figure:
    """The same of several runs.

    Args:
        runs: name and metrics of each.
        baseline: name of the one that is drawn in black.
    """
    figure = style.new_figure(6.4, 4.2)
    axes = figure.subplots()
    coloured = 0
    for name, metrics in runs:
        is_baseline = name == baseline
        colour = style.INK if is_baseline else style.colour_of_run(coloured)
        coloured += not is_baseline
        _snr_curve(axes, metrics, "all", colour, name, fmt="s--" if is_baseline else "o-")
    _finish_snr(axes)
    return figure


def _snr_curve(
    axes: Axes, metrics: Metrics, of_class: str, colour: str, label: str, **marks: Any
) -> None:
    rows = [row for row in metrics["auc_by_snr"] if row["class"] == of_class]
    if rows:
        style.with_error_bars(
            axes,
            [np.sqrt(max(row["low"], 1e-3) * row["high"]) for row in rows],
            [row["auc"] for row in rows],
            [row["ci95"] for row in rows],
            colour=colour,
            label=label,
            **marks,
        )


def _finish_snr(axes: Axes) -> None:
    axes.axhline(1, color=style.QUIET, linewidth=0.8)
    axes.set_xscale("log")
    plain_ticks(axes)
    axes.set_xlabel("S/N of the substructure in the image")
    axes.set_ylabel("AUC against no substructure")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")


def draw_reliability(metrics: Metrics) -> Figure:
    """How often the most probable class is true, by the confidence stated."""
    found = metrics["reliability"]
    confidence, right = np.array(found["confidence"]), np.array(found["accuracy"])
    count = np.array(found["count"])
    figure = style.new_figure(4.8, 4.6)
    upper, lower = figure.subplots(2, height_ratios=(3.2, 1), sharex=True)
    upper.plot([0, 1], [0, 1], color=style.QUIET, linestyle=":", linewidth=1.2, label="calibrated")
    spread = np.sqrt(np.maximum(right * (1 - right), 1 / (4 * count)) / count)
    ends = np.clip(np.stack([right - 1.96 * spread, right + 1.96 * spread], axis=1), 0, 1)
    style.with_error_bars(upper, confidence, right, ends, colour=style.ACCENT, label="this model")
    upper.set(xlim=(1 / len(metrics["auc"]) - 0.02, 1.02), ylim=(0, 1.04))
    upper.set_ylabel("share that is right")
    upper.legend(loc="upper left")
    lower.bar(confidence, count, width=0.055, color=style.ACCENT, alpha=0.55)
    lower.set_yscale("log")
    lower.set_ylabel("images")
    lower.set_xlabel("stated probability of the most probable class")
    return figure


def draw_coverage(metrics: Metrics) -> Figure:
    """How often the true mass is inside the stated interval, by the interval's probability."""
    found = metrics["coverage"]
    nominal, observed = np.array(found["nominal"]), np.array(found["observed"])
    count = metrics["n_test"]
    figure = style.new_figure(4.8, 4.2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=style.QUIET, linestyle=":", linewidth=1.2, label="calibrated")
    spread = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 1 / (4 * count)) / count)
    ends = np.stack([observed - spread, observed + spread], axis=1)
    style.with_error_bars(axes, nominal, observed, ends, colour=style.ACCENT, label="this model")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("stated probability of the interval")
    axes.set_ylabel("share of true masses inside")
    axes.legend(loc="upper left")
    return figure


def draw_predicted_mass(table: pd.DataFrame, limit: InformationLimit | None) -> Figure:
    """Predicted against true mass, with density, running quantiles and the Cramer-Rao bound."""
    figure = style.new_figure(5.6, 4.9)
    axes = figure.subplots()
    predicted = table["log10_mass"].to_numpy(np.float64)
    shown = predicted_mass_panel(axes, true_log_mass(table), predicted, limit)
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, pad=0.02, aspect=30)
        bar.set_label("images")
        bar.outline.set_visible(False)
    axes.legend(loc="lower right")
    return figure


def predicted_mass_panel(
    axes: Axes, true: FloatArray, predicted: FloatArray, limit: InformationLimit | None
) -> QuadMesh | None:
    """Draws predicted against true log10(m / eV), each (n,).

    Returns:
        The density, where there are too many predictions to draw each.
    """
    shown = None
    margin = 0.06 * max(0.5, float(np.ptp(true)))
    low, high = float(true.min()) - margin, float(true.max()) + margin
    if len(true) > _FEW:
        edges = np.linspace(low, high, 81)
        counts, _, _ = np.histogram2d(true, np.clip(predicted, low, high), bins=(edges, edges))
        shown = axes.pcolormesh(
            edges,
            edges,
            np.where(counts > 0, counts, np.nan).T,
            cmap=style.DENSITY,
            norm=LogNorm(0.7, max(2.0, float(counts.max()))),
            rasterized=True,
        )
    else:
        axes.scatter(true, predicted, s=7, color=style.ACCENT, alpha=0.35, linewidths=0)
    axes.plot([low, high], [low, high], color=style.INK, linewidth=1, label="predicted = true")
    if limit is not None:
        for sign in (-1, 1):
            axes.plot(
                limit.log10_mass,
                limit.log10_mass + sign * limit.bound,
                color=style.BOUND,
                linestyle="--",
                linewidth=1.4,
                label=r"$\pm$ Cramér-Rao bound" if sign > 0 else None,
            )
    _draw_running_quantiles(axes, true, predicted)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.5))
    axes.set_xlabel(f"true {LOG_MASS}")
    axes.set_ylabel(f"predicted {LOG_MASS}")
    return shown


def _draw_running_quantiles(axes: Axes, true: FloatArray, predicted: FloatArray) -> None:
    """Median of the predictions, and the central 68% of them, in strips of the true mass."""
    edges = np.linspace(true.min(), true.max() + 1e-9, _STRIPS + 1)
    place = np.digitize(true, edges) - 1
    filled = [strip for strip in range(_STRIPS) if (place == strip).sum() >= _LEAST_IN_STRIP]
    if not filled:
        return
    middle = 0.5 * (edges[1:] + edges[:-1])[filled]
    below, median, above = np.array(
        [np.quantile(predicted[place == strip], [0.1587, 0.5, 0.8413]) for strip in filled]
    ).T
    axes.plot(middle, median, color=style.INK, marker="o", markersize=3, label="median and 68%")
    for edge in (below, above):
        axes.plot(middle, edge, color=style.INK, linewidth=0.9, alpha=0.8)


def draw_rmse_by_mass(
    runs: Sequence[tuple[str, Metrics]], limit: InformationLimit | None
) -> Figure:
    """RMSE in bins of the true mass, of one run or of several, above what can be known.

    Args:
        runs: name and metrics of each.
        limit: of the specification that they were tested on.
    """
    figure = style.new_figure(5.6, 4.2)
    axes = figure.subplots()
    lowest = []
    for number, (name, metrics) in enumerate(runs):
        rows = metrics["by_mass"]
        errors = [row["rmse_dex"] for row in rows]
        style.with_error_bars(
            axes,
            [0.5 * (row["low"] + row["high"]) for row in rows],
            errors,
            [row["ci95"]["rmse_dex"] for row in rows],
            colour=style.colour_of_run(number) if len(runs) > 1 else style.ACCENT,
            label=name,
        )
        lowest.append(min(errors))
    ceiling = 1.5
    if limit is not None:
        axes.plot(
            limit.log10_mass,
            limit.bound,
            color=style.BOUND,
            linestyle="--",
            linewidth=1.4,
            label="Cramér-Rao bound (no bias)",
        )
        axes.plot(
            limit.log10_mass,
            limit.limit_by_mass,
            color=style.QUIET,
            linewidth=1.4,
            label="best estimate over the prior",
        )
        lowest.append(float(limit.bound.min()))
    axes.set(yscale="log", ylim=(0.6 * min([*lowest, 0.05]), ceiling))
    plain_ticks(axes, "y")
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.set_xlabel(f"true {LOG_MASS}")
    axes.set_ylabel("RMSE, dex")
    axes.legend(loc="lower right")
    return figure


def draw_training(logs: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Losses, and the scores beside them, of each stage.

    Args:
        logs: of each stage, in order: the columns of its metrics.csv.

    Returns:
        None where nothing was logged.
    """
    panels = [
        (f"{stage}: {about}", log, chosen)
        for stage, log in logs.items()
        for about, columns in _CURVES.items()
        if (chosen := [name for name in columns if name in log and log[name].notna().any()])
    ]
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.new_figure(3.5 * columns + 0.4, 2.8 * rows)
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes, (title, log, names) in zip(grid, panels, strict=False):
        for number, name in enumerate(names):
            known = log.dropna(subset=[name])
            if "epoch" in known:
                values = known.groupby("epoch")[name].mean()
                x = values.index.to_numpy() + 1
            else:
                values, x = known[name], np.arange(1, len(known) + 1)
            axes.plot(
                x,
                values,
                color=style.colour_of_run(number),
                label=_CURVE_NAMES.get(name, name),
                marker="o" if len(values) < 30 else "",
                markersize=3,
            )
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    for axes in grid[len(panels) :]:
        axes.remove()
    return figure


_CURVES: dict[str, tuple[str, ...]] = {
    "loss": ("train_loss", "val_loss"),
    "loss of the second target": ("train_auxiliary_loss",),
    "score": ("knn_macro_auc", "linear_macro_auc", "val_macro_auc", "val_rmse_dex"),
    "spread of the embedding": ("embedding_std",),
    "dimensions in use": ("embedding_rank",),
}
_CURVE_NAMES = {
    "train_loss": "train",
    "val_loss": "validation",
    "train_auxiliary_loss": "train",
    "knn_macro_auc": "macro AUC of nearest neighbours",
    "linear_macro_auc": "macro AUC of a linear probe",
    "val_macro_auc": "validation macro AUC",
    "val_rmse_dex": "validation RMSE, dex",
    "embedding_std": "standard deviation",
    "embedding_rank": "effective rank",
}


def draw_embedding(mapped: EmbeddingMap, table: pd.DataFrame) -> Figure:
    """The embedding map, by class and by axion mass.

    Args:
        mapped: positions of the images.
        table: predictions of the same images, in the same order.
    """
    positions, labels = mapped.positions, labels_of(table)
    masses = true_log_mass(table)
    has_mass = np.isfinite(masses)
    several = len(np.unique(labels)) > 1 or not has_mass.any()
    panels = several + bool(has_mass.any())
    figure = style.new_figure(4.6 * panels, 4.3)
    axes = iter(figure.subplots(1, panels, squeeze=False)[0])
    size = float(np.clip(9000 / len(table), 3, 20))
    if several:
        left = next(axes)
        for label, name in enumerate(CLASSES):
            chosen = labels == label
            if chosen.any():
                left.scatter(
                    *positions[chosen].T,
                    s=size,
                    color=style.CLASS_COLOURS[name],
                    alpha=0.6,
                    linewidths=0,
                    label=style.CLASS_NAMES[name],
                )
        left.legend(loc="best", markerscale=2)
        left.set_title(f"{mapped.method}, by class")
        style.without_grid(left)
    if has_mass.any():
        right = next(axes)
        right.scatter(*positions[~has_mass].T, s=size, color="#dfe1e5", linewidths=0)
        shown = right.scatter(
            *positions[has_mass].T, s=size, c=masses[has_mass], cmap=style.SEQUENTIAL, linewidths=0
        )
        bar = figure.colorbar(shown, ax=right, pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label(f"true {LOG_MASS}")
        right.set_title(f"{mapped.method}, by axion mass")
        style.without_grid(right)
    return figure


def draw_mistakes(images: FloatArray, table: pd.DataFrame) -> Figure:
    """The worst mistakes, with what they are and what was said.

    Args:
        images: e-/s, (k, height, width).
        table: their predictions, in the same order.
    """
    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure = style.new_figure(2.3 * columns, 2.85 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    stretch = sky_stretch(images)
    for axes in grid:
        axes.set_axis_off()
    for axes, image, (_, row) in zip(grid, images, table.iterrows(), strict=False):
        axes.imshow(image, cmap=style.SKY, norm=stretch, origin="lower")
        axes.set_title(_caption(row), fontsize=8, pad=4)
    return figure


def sky_stretch(images: FloatArray) -> Normalize:
    """An asinh stretch: noise in the dark third, arcs not burnt out."""
    edge = np.concatenate([images[:, :4].ravel(), images[:, -4:].ravel()])
    noise = float(1.4826 * np.median(np.abs(edge - np.median(edge))))
    brightest = float(np.quantile(images, 0.9995))
    if not noise > 0:
        return Normalize(float(images.min()), max(brightest, float(images.min()) + 1e-12))
    return AsinhNorm(linear_width=8 * noise, vmin=-3 * noise, vmax=max(brightest, 3 * noise))


def _caption(row: pd.Series) -> str:
    snr = row["substructure_snr"]
    seen = f", S/N {snr:.0f}" if np.isfinite(snr) and row.get("class") != "no_sub" else ""
    if "log10_mass" in row:
        true = float(np.log10(row["axion_mass"]))
        said = f"{row['log10_mass']:.2f}"
        if "log10_mass_sigma" in row:
            said += rf" $\pm$ {row['log10_mass_sigma']:.2f}"
        return f"true {true:.2f}{seen}\nsaid {said}"
    classes = classes_of(row)
    probabilities = row[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    said = classes[int(probabilities.argmax())]
    return (
        f"is {style.CLASS_NAMES[row['class']]}{seen}\n"
        f"said {style.CLASS_NAMES[said]} ({probabilities.max():.2f})"
    )


def draw_scores(runs: Sequence[tuple[str, Metrics]]) -> Figure:
    """The headline figure of several runs, with its interval."""
    key = "macro_auc" if runs[0][1]["task"] == "classification" else "rmse_dex"
    figure = style.new_figure(6.4, 0.9 + 0.42 * len(runs))
    axes = figure.subplots()
    for number, (_, metrics) in enumerate(runs):
        value, ends = metrics[key], metrics["ci95"][key]
        if value is None:
            continue
        colour = style.colour_of_run(number)
        axes.plot(ends, [number, number], color=colour, linewidth=3, alpha=0.45)
        axes.plot(value, number, "o", color=colour, markersize=7)
    axes.set_yticks(range(len(runs)), [name for name, _ in runs])
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("macro AUC" if key == "macro_auc" else "RMSE, dex")
    return figure


def plain_ticks(axes: Axes, which: str = "x") -> None:
    """Decimal numbers on a logarithmic axis, at 1, 2 and 5 where there is less than two decades."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [
        float(f"{step}e{power}")
        for power in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        for step in steps
    ]
    shown = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(shown, labels=[f"{tick:g}" for tick in shown])
    axis.set_minor_formatter(NullFormatter())
