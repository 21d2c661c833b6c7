"""The scores of several runs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from lensmodels.reporting import style
from lensmodels.reporting.plots.axes import Metrics
from lensmodels.reporting.sentences import SCORES


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
