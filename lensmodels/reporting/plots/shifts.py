"""Plot of the shift tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lensmodels.reporting import style

_ROW_HEIGHT = 0.27
"""Inches."""


def draw_shifts(found: Mapping[str, Any]) -> Figure:
    """Score, calibration and share flagged of every shift, one line each.

    Args:
        found: content of shifts.json.
    """
    rows = found["rows"]
    is_class = found["task"] == "classification"
    figure = style.new_figure(9.2, 1.3 + _ROW_HEIGHT * len(rows))
    score, calibration, flagged = figure.subplots(1, 3, sharey=True)
    places = np.arange(len(rows))
    key = "macro_auc" if is_class else "rmse_dex"
    _draw_scores(score, rows, key)
    if is_class:
        score.axvline(0.5, color=style.QUIET, linestyle=":", linewidth=1.2)
        score.set_xlabel("macro AUC (dotted: chance)")
        _draw_bars(calibration, [row["expected_calibration_error"] for row in rows])
        calibration.set_xlabel("expected calibration error")
    else:
        score.set_xlabel("RMSE, dex")
        _draw_bars(calibration, [row["coverage_90"] for row in rows])
        calibration.axvline(0.9, **style.BOUND_LINE)
        calibration.set_xlabel("true mass in the 90% interval")
    _draw_bars(flagged, [row["flagged"] for row in rows])
    flagged.set(xlim=(0, 1.02), xlabel="share flagged")
    score.set_yticks(places, [row["shift"] for row in rows])
    score.set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _draw_scores(axes: Axes, rows: list[Mapping[str, Any]], key: str) -> None:
    """Scores with their intervals, and a line at that without a shift."""
    for place, row in enumerate(rows):
        if row[key] is None:
            continue
        if row["ci95"]:
            axes.plot(row["ci95"], [place, place], color=style.ACCENT, linewidth=1.2)
        axes.plot(row[key], place, "o", color=style.ACCENT, markersize=4.5)
    if rows[0][key] is not None:
        axes.axvline(rows[0][key], color=style.QUIET, linewidth=1.0)


def _draw_bars(axes: Axes, values: list[float | None]) -> None:
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if known:
        places, lengths = zip(*known, strict=True)
        axes.barh(places, lengths, height=0.6, color=style.ACCENT, alpha=0.6)
