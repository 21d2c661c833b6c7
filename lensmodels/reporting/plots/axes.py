"""What the plots share: legends, tick labels, error bars, the calibration diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.calibration import CalibrationDisplay

from lensmodels.reporting import style

FloatArray = NDArray[np.floating]
Metrics = Mapping[str, Any]

_LEGEND_KEY, _LEGEND_LETTER = 0.6, 0.072
"""Widths in a legend, inches."""

LOG_MASS = r"$\log_{10}(m\,/\,\mathrm{eV})$"


def legend_above(axes: Axes) -> None:
    """Puts the legend above the axes, where it hides no curve."""
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    width = _LEGEND_KEY + _LEGEND_LETTER * max(map(len, labels), default=0)
    columns = max(1, int(figure.get_figwidth() / width))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def errorbar(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    intervals: ArrayLike,
    *,
    colour: str,
    label: str | None = None,
    **marks: Any,
) -> None:
    """Points with their intervals.

    Args:
        axes: to draw on.
        x, y: of the points, (n,).
        intervals: [low, high] around each y, (n, 2).
        colour: of points and bars.
        label: in the legend.
        marks: settings of `Axes.errorbar`.
    """
    ends = np.asarray(intervals, np.float64)
    # a percentile interval need not contain the estimate, and matplotlib takes no negative bar
    lengths = np.clip([np.subtract(y, ends[:, 0]), np.subtract(ends[:, 1], y)], 0, None)
    settings: dict[str, Any] = {"fmt": "o-", "markersize": 4.5, "elinewidth": 1.2} | marks
    axes.errorbar(x, y, lengths, color=colour, label=label, **settings)


def dodged(x: ArrayLike, place: int, count: int) -> FloatArray:
    """Positions on a logarithmic axis, moved so that the error bars of curves do not overlap.

    Args:
        x: shared by the curves, (n,).
        place: of the curve among them, from 0.
        count: of the curves.

    Returns:
        Positions in the same unit, same shape.
    """
    return np.asarray(x) * np.exp(0.03 * (place - 0.5 * (count - 1)))


def draw_calibration(
    axes: Axes, stated: FloatArray, observed: FloatArray, counts: ArrayLike
) -> None:
    """A calibration diagram with 95% intervals (Wilson 1927), which stay within 0 and 1.

    Args:
        axes: to draw on.
        stated: probabilities, (n,).
        observed: how often what was stated is true, (n,).
        counts: images that each rests on, (n,) or one number.
    """
    counts = np.broadcast_to(counts, np.shape(observed))
    ends = [
        binomtest(round(share * count), int(count)).proportion_ci(method="wilson")
        for share, count in zip(observed, counts, strict=True)
    ]
    display = CalibrationDisplay(prob_true=observed, prob_pred=stated, y_prob=stated)
    display.plot(ax=axes, name="this model", color=style.ACCENT, marker="o", markersize=4.5)
    errorbar(axes, stated, observed, ends, colour=style.ACCENT, fmt="none")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    legend_above(axes)


def plain_ticks(axes: Axes, which: str = "x") -> None:
    """Decimal numbers on a logarithmic axis, at 1, 2 and 5 on one of less than 2.5 decades."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    steps: Sequence[int] = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(shown, labels=[f"{tick:g}" for tick in shown])
    axis.set_minor_formatter(NullFormatter())
