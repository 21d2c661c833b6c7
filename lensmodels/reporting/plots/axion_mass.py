"""Plots of a regression of the axion mass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter
from scipy.stats import binom

from lensmodels.evaluation.information import InformationLimit
from lensmodels.evaluation.summary import true_log_mass
from lensmodels.reporting import style
from lensmodels.reporting.plots.axes import (
    LOG_MASS,
    FloatArray,
    Metrics,
    draw_calibration,
    errorbar,
    legend_above,
    plain_ticks,
)

_MAX_POINTS = 1500
"""Predictions up to which each is a point; more are shown by their density."""

_STRIPS = 24
"""Strips of true mass with a median each."""

_MIN_IN_STRIP = 8


def draw_coverage(metrics: Metrics) -> Figure:
    """How often the true mass is inside the stated interval, by the interval's probability."""
    coverage = metrics["coverage"]
    figure = style.new_figure(4.8, 4.4)
    axes = figure.subplots()
    nominal, observed = np.array(coverage["nominal"]), np.array(coverage["observed"])
    draw_calibration(axes, nominal, observed, metrics["n_test"])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("stated probability of the interval")
    axes.set_ylabel("share of true masses inside")
    return figure


def draw_posterior_ranks(metrics: Metrics) -> Figure:
    """Ranks of the true masses in their posteriors, and the coverage by TARP."""
    found, count = metrics["posterior"], metrics["n_test"]
    figure = style.new_figure(8.0, 4.0)
    left, right = figure.subplots(1, 2)
    ranks = np.array(found["ranks"])
    bins = len(ranks)
    edges = np.linspace(0, 1, bins + 1)
    low, high = binom.interval(0.95, count, 1 / bins)
    left.axhspan(low, high, color=style.QUIET, alpha=0.25, linewidth=0)
    left.stairs(ranks, edges, color=style.ACCENT, linewidth=1.6)
    left.set(xlim=(0, 1), ylim=(0, 1.15 * max(high, ranks.max())))
    left.set_xlabel("posterior probability of a lower mass than the true one")
    left.set_ylabel("images")
    tarp = found["tarp"]
    draw_calibration(right, np.array(tarp["nominal"]), np.array(tarp["observed"]), count)
    for axis in (right.xaxis, right.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    right.set_xlabel("credibility (TARP)")
    right.set_ylabel("share of true masses inside")
    return figure


def draw_predicted_mass(table: pd.DataFrame, limit: InformationLimit | None) -> Figure:
    """Predicted against true mass, with density, running quantiles and the Cramer-Rao bound."""
    figure = style.new_figure(5.6, 5.2)
    axes = figure.subplots()
    predicted = table["log10_mass"].to_numpy(np.float64)
    density = predicted_mass_panel(axes, true_log_mass(table), predicted, limit)
    if density is not None:
        bar = figure.colorbar(density, ax=axes, pad=0.02, aspect=30)
        bar.set_label("images")
        bar.outline.set_visible(False)
    legend_above(axes)
    return figure


def predicted_mass_panel(
    axes: Axes, true: FloatArray, predicted: FloatArray, limit: InformationLimit | None
) -> QuadMesh | None:
    """Draws predicted against true log10(m / eV), as points or, if there are many, as a density.

    Args:
        axes: to draw on.
        true, predicted: log10(m / eV), (n,) each.
        limit: Cramér-Rao bound to draw about the diagonal; None draws none.

    Returns:
        The density; None if each prediction is a point.
    """
    density = None
    margin = 0.06 * max(0.5, float(np.ptp(true)))
    low, high = float(true.min()) - margin, float(true.max()) + margin
    if len(true) > _MAX_POINTS:
        edges = np.linspace(low, high, 81)
        counts, _, _ = np.histogram2d(true, np.clip(predicted, low, high), bins=(edges, edges))
        density = axes.pcolormesh(
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
                label=r"$\pm$ Cramér-Rao bound" if sign > 0 else None,
                **style.BOUND_LINE,
            )
    _draw_running_quantiles(axes, true, predicted)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.5))
    axes.set_xlabel(f"true {LOG_MASS}")
    axes.set_ylabel(f"predicted {LOG_MASS}")
    return density


def _draw_running_quantiles(axes: Axes, true: FloatArray, predicted: FloatArray) -> None:
    """Median of the predictions, and the central 68% of them, in strips of the true mass."""
    edges = np.linspace(true.min(), true.max() + 1e-9, _STRIPS + 1)
    place = np.digitize(true, edges) - 1
    filled = [strip for strip in range(_STRIPS) if (place == strip).sum() >= _MIN_IN_STRIP]
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
    figure = style.new_figure(5.6, 4.4)
    axes = figure.subplots()
    lowest = [0.05]
    for number, (name, metrics) in enumerate(runs):
        rows = metrics["by_mass"]
        errors = [row["rmse_dex"] for row in rows]
        errorbar(
            axes,
            [0.5 * (row["low"] + row["high"]) for row in rows],
            errors,
            [row["ci95"]["rmse_dex"] for row in rows],
            colour=style.colour_of_run(number) if len(runs) > 1 else style.ACCENT,
            label=name,
        )
        lowest.append(min(errors))
    if limit is not None:
        axes.plot(
            limit.log10_mass, limit.bound, label="Cramér-Rao bound (no bias)", **style.BOUND_LINE
        )
        axes.plot(
            limit.log10_mass,
            limit.limit_by_mass,
            color=style.QUIET,
            linewidth=1.4,
            label="best estimate over the prior",
        )
        lowest.append(float(limit.bound.min()))
    axes.set(yscale="log", ylim=(0.6 * min(lowest), 1.5))
    plain_ticks(axes, "y")
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.set_xlabel(f"true {LOG_MASS}")
    axes.set_ylabel("RMSE, dex")
    legend_above(axes)
    return figure
