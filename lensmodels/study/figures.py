"""The figures of the benchmark: Fig. 2 of the study, label efficiency, S/N and cost."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lensmodels.evaluation.information import InformationLimit
from lensmodels.reporting import style
from lensmodels.reporting.plots import plain_ticks, predicted_mass_panel
from lensmodels.study.comparison import Score
from lensmodels.study.results import CellResult

_COLUMNS = 3

Line = tuple[str, bool]
"""What a line is called, and whether it is a baseline."""


def draw_figure_2(
    cells: Sequence[tuple[str, CellResult]], limit: InformationLimit | None
) -> Figure:
    """Predicted against true axion mass, a panel a method, as Fig. 2 of the study.

    Args:
        cells: title and result of each panel, the baseline first.
        limit: what the images can tell, drawn in every panel.
    """
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    figure = style.new_figure(3.5 * columns, 3.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.ravel()[len(cells) :]:
        axes.set_axis_off()
    for place, (title, result) in enumerate(cells):
        axes = grid.ravel()[place]
        assert result.truth is not None and result.predicted is not None
        predicted_mass_panel(axes, result.truth, result.predicted, limit)
        axes.set_title(f"{title}\nRMSE {result.metrics['rmse_dex']:.3f} dex")
        # ticks at the left and below, also above an empty place
        is_first, is_lowest = place % columns == 0, place + columns >= len(cells)
        axes.tick_params(labelleft=is_first, labelbottom=is_lowest)
        axes.yaxis.label.set_visible(is_first)
        axes.xaxis.label.set_visible(is_lowest)
    grid[0, 0].legend(loc="lower right", fontsize=8)
    return figure


def draw_label_efficiency(curves: Mapping[Line, Mapping[float, Score]], score_name: str) -> Figure:
    """Score by share of the labels, a line a method; baselines are black.

    Args:
        curves: of each line, scores by share of the labels.
        score_name: of the axis.
    """
    figure = style.new_figure(6.4, 4.6)
    axes = figure.subplots()
    coloured = 0
    for (name, is_baseline), scores in curves.items():
        shares = sorted(scores)
        colour = style.INK if is_baseline else style.colour_of_run(coloured)
        coloured += not is_baseline
        style.with_error_bars(
            axes,
            shares,
            [scores[share].mean for share in shares],
            [scores[share].interval.as_list() for share in shares],
            colour=colour,
            label=name,
            fmt="s--" if is_baseline else "o-",
        )
    axes.set_xscale("log")
    shares = sorted({share for scores in curves.values() for share in scores})
    axes.set_xticks(shares, [f"{share:.0%}" for share in shares])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("share of the labels")
    axes.set_ylabel(score_name)
    axes.legend(loc="best")
    return figure


def draw_cost(points: Sequence[tuple[str, bool, Score]], score_name: str) -> Figure:
    """Score by the minutes that a cell took, its pretraining included.

    Args:
        points: name, whether it is a baseline, and score of each; baselines are told apart by
            their marks.
        score_name: of the axis.
    """
    figure = style.new_figure(6.4, 4.4)
    axes = figure.subplots()
    coloured = 0
    marks = itertools.cycle("sD^v")
    for name, is_baseline, score in points:
        colour = style.INK if is_baseline else style.colour_of_run(coloured)
        coloured += not is_baseline
        style.with_error_bars(
            axes,
            [score.minutes],
            [score.mean],
            [score.interval.as_list()],
            colour=colour,
            label=name,
            fmt=next(marks) if is_baseline else "o",
        )
    axes.set_xscale("log")
    minutes = [score.minutes for _, _, score in points]
    axes.set_xlim(0.8 * min(minutes), 1.25 * max(minutes))
    plain_ticks(axes)
    axes.set_xlabel("minutes of training, pretraining included")
    axes.set_ylabel(score_name)
    figure.legend(loc="outside right upper")
    return figure
