"""The plots of a study: Fig. 2 of the paper, label efficiency, and cost."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lensmodels.evaluation.information import InformationLimit
from lensmodels.reporting import style
from lensmodels.reporting.plots import plain_ticks, predicted_mass_panel
from lensmodels.reporting.plots.axes import dodged, errorbar, legend_above
from lensmodels.study.comparison import Score
from lensmodels.study.results import CellResult

_COLUMNS = 3
_BASELINE_MARKS = "sD^vPX<>"

Line = tuple[str, bool]
"""Label of a line, and whether it is of a baseline."""


def draw_figure_2(
    cells: Sequence[tuple[str, CellResult]], limit: InformationLimit | None
) -> Figure:
    """Predicted against true axion mass, a panel a method, as Fig. 2 of the study.

    Args:
        cells: title and result of each panel, the baseline first.
        limit: information in the images, drawn in every panel.
    """
    columns = min(_COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    figure = style.new_figure(3.5 * columns, 3.7 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(cells) :]:
        axes.set_axis_off()
    for place, (title, result) in enumerate(cells):
        axes = grid[place]
        assert result.truth is not None and result.predicted is not None
        predicted_mass_panel(axes, result.truth, result.predicted, limit)
        axes.set_title(f"{title}\nRMSE {result.metrics['rmse_dex']:.3f} dex")
        # ticks at the left and below, also above an empty place
        is_first, is_lowest = place % columns == 0, place + columns >= len(cells)
        axes.tick_params(labelleft=is_first, labelbottom=is_lowest)
        axes.yaxis.label.set_visible(is_first)
        axes.xaxis.label.set_visible(is_lowest)
    legend_above(grid[0])
    for _ in range(2):  # before, the layout cuts off the labels below
        figure.draw_without_rendering()
    return figure


def draw_label_efficiency(
    curves: Mapping[Line, Mapping[float, Score]],
    score_name: str,
    labels: Mapping[float, int],
    bound: float | None = None,
    evidence: tuple[float, float] | None = None,
) -> Figure:
    """Score by number of labels, a line a method; baselines are black beside others.

    Args:
        curves: of each line, scores by share of the labels.
        score_name: of the axis.
        labels: of each class, by share.
        bound: on the score of any classifier, drawn where it is known.
        evidence: score of the evidence ratio and its standard error, likewise: an estimate of what
            the best classifier has.
    """
    figure = style.new_figure(6.4, 4.6)
    axes = figure.subplots()
    looks = _looks([is_baseline for _, is_baseline in curves])
    for place, (((name, is_baseline), scores), (colour, mark)) in enumerate(
        zip(curves.items(), looks, strict=True)
    ):
        shares = sorted(scores)
        errorbar(
            axes,
            dodged([labels[share] for share in shares], place, len(curves)),
            [scores[share].mean for share in shares],
            [scores[share].interval.as_list() for share in shares],
            colour=colour,
            label=name,
            fmt=f"{mark}--" if is_baseline else f"{mark}-",
        )
    _draw_best(axes, bound, evidence)
    axes.set_xscale("log")
    shares = sorted({share for scores in curves.values() for share in scores})
    axes.set_xticks([labels[share] for share in shares], [f"{labels[share]:,}" for share in shares])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("labelled images of each class")
    axes.set_ylabel(score_name)
    legend_above(axes)
    return figure


def _draw_best(axes: Axes, bound: float | None, evidence: tuple[float, float] | None) -> None:
    """Lines at the bound on a score and at the estimate of the best one, where they are known."""
    if bound is not None:
        axes.axhline(bound, label="bound: pattern known", **style.BOUND_LINE)
    if evidence is not None:
        value, error = evidence
        axes.axhline(
            value, label="evidence ratio, estimated", **style.BOUND_LINE | {"linestyle": ":"}
        )
        axes.axhspan(value - error, value + error, color=style.BOUND_LINE["color"], alpha=0.12)


def draw_cost(
    points: Sequence[tuple[str, bool, Score]],
    score_name: str,
    bound: float | None = None,
    evidence: tuple[float, float] | None = None,
) -> Figure:
    """Score by the minutes that a cell took, its pretraining included.

    Args:
        points: name, whether it is a baseline, and score of each; baselines have marks of their
            own.
        score_name: of the axis.
        bound, evidence: as of `draw_label_efficiency`.
    """
    figure = style.new_figure(6.4, 4.4)
    axes = figure.subplots()
    looks = _looks([is_baseline for _, is_baseline, _ in points])
    for (name, _, score), (colour, mark) in zip(points, looks, strict=True):
        errorbar(
            axes,
            [score.minutes],
            [score.mean],
            [score.interval.as_list()],
            colour=colour,
            label=name,
            fmt=mark,
        )
    _draw_best(axes, bound, evidence)
    axes.set_xscale("log")
    minutes = [score.minutes for _, _, score in points]
    axes.set_xlim(0.8 * min(minutes), 1.25 * max(minutes))
    plain_ticks(axes)
    axes.set_xlabel("minutes of training, pretraining included")
    axes.set_ylabel(score_name)
    figure.legend(loc="outside right upper")
    return figure


def _looks(are_baselines: Sequence[bool]) -> list[tuple[str, str]]:
    """Colour and mark of each: beside others, baselines are black, then grey, with other marks."""
    coloured = itertools.cycle((colour, mark) for mark in "ohp" for colour in style.RUN_COLOURS)
    black = itertools.cycle(itertools.product((style.INK, style.QUIET), _BASELINE_MARKS))
    alone = zip(itertools.cycle(style.RUN_COLOURS), itertools.cycle(_BASELINE_MARKS), strict=False)
    if all(are_baselines):
        return list(itertools.islice(alone, len(are_baselines)))
    return [next(black if is_baseline else coloured) for is_baseline in are_baselines]
