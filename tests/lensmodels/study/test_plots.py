"""Every line and point of a study's plots can be told from the others of it."""

import pytest

from lensmodels.reporting import style
from lensmodels.statistics.bootstrap import Interval
from lensmodels.study.comparison import Score
from lensmodels.study.plots import draw_cost, draw_label_efficiency

SCORE = Score(0.9, Interval(0.89, 0.91), "3 seeds", 3.0)


def looks(figure):
    """Colour and mark of each line, by its name."""
    (axes,) = figure.axes
    return {
        bars.get_label(): (bars.lines[0].get_color(), bars.lines[0].get_marker())
        for bars in axes.containers
    }


@pytest.mark.parametrize("baselines", [6, 3])
def test_lines_and_points_look_different(baselines):
    names = [(f"run {number}", number < baselines) for number in range(6)]
    curves = {name: {0.01: SCORE, 1.0: SCORE} for name in names}
    lines = looks(draw_label_efficiency(curves, "macro AUC", {0.01: 19, 1.0: 1900}))
    points = looks(draw_cost([(*name, SCORE) for name in names], "macro AUC"))
    assert lines == points
    assert len(lines) == len(set(lines.values())) == 6
    black = [name for name, (colour, _) in lines.items() if colour == style.INK]
    assert len(black) == (baselines if baselines < 6 else 0)  # where there is something beside
