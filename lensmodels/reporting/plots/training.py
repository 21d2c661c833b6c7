"""The course of a training, and the scores of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensmodels.methods.probes import COLLAPSED_RANK, COLLAPSED_STD
from lensmodels.reporting import style
from lensmodels.reporting.plots.axes import Metrics
from lensmodels.reporting.sentences import SCORES


@dataclass(frozen=True)
class _Panel:
    """A panel of the plot.

    Attributes:
        title: of it.
        curves: label of each column of the log.
        collapsed: value that marks a collapse; the axis then begins at zero.
        top: upper limit of the axis.
    """

    title: str
    curves: Mapping[str, str]
    collapsed: float | None = None
    top: float | None = None


_PANELS = (
    _Panel("loss", {"train_loss": "train", "val_loss": "validation"}),
    _Panel("loss of the second target", {"train_auxiliary_loss": "train"}),
    _Panel(
        "score",
        {
            "knn_macro_auc": "macro AUC of nearest neighbours",
            "linear_macro_auc": "macro AUC of a linear probe",
            "val_macro_auc": "validation macro AUC",
            "val_rmse_dex": "validation RMSE, dex",
        },
    ),
    _Panel(
        "spread of the embedding", {"embedding_std": "standard deviation"}, COLLAPSED_STD, top=1.05
    ),
    _Panel("dimensions in use", {"embedding_rank": "effective rank"}, COLLAPSED_RANK),
)


def draw_training(logs: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Losses, and the scores beside them, of each stage.

    Args:
        logs: of each stage, in order: the columns of its metrics.csv.

    Returns:
        None if nothing was logged.
    """
    shown = [
        (stage, panel, log)
        for stage, log in logs.items()
        for panel in _PANELS
        if any(name in log and log[name].notna().any() for name in panel.curves)
    ]
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = style.new_figure(3.5 * columns + 0.4, 2.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (stage, panel, log) in zip(grid, shown, strict=False):
        axes.set_title(f"{stage}: {panel.title}")
        _draw_panel(axes, panel, log)
    for axes in grid[len(shown) :]:
        axes.remove()
    return figure


def _draw_panel(axes: Axes, panel: _Panel, log: pd.DataFrame) -> None:
    names = [name for name in panel.curves if name in log and log[name].notna().any()]
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
            label=panel.curves[name],
            marker="o" if len(values) < 30 else "",
            markersize=3,
        )
    if panel.collapsed is not None:
        axes.axhline(panel.collapsed, label="collapsed below", **style.BOUND_LINE)
        axes.set_ylim(0, panel.top)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def draw_scores(runs: Sequence[tuple[str, Metrics]]) -> Figure:
    """The score of each run with its 95% interval.

    Args:
        runs: name and metrics of each, of one task.
    """
    key, name = SCORES[runs[0][1]["task"]]
    figure = style.new_figure(6.4, 0.9 + 0.42 * len(runs))
    axes = figure.subplots()
    for number, (_, metrics) in enumerate(runs):
        value, ends = metrics[key], metrics["ci95"][key]
        if value is None:
            continue
        colour = style.colour_of_run(number)
        axes.plot(ends, [number, number], color=colour, linewidth=3, alpha=0.45)
        axes.plot(value, number, "o", color=colour, markersize=7)
    axes.set_yticks(range(len(runs)), [run for run, _ in runs])
    axes.set_ylim(len(runs) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(name if key == "macro_auc" else f"{name}, dex")
    return figure
