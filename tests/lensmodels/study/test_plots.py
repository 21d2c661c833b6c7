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


@pytest.mark.parametrize(("baselines", "others"), [(12, 0), (12, 14)])
def test_lines_and_points_look_different(baselines, others):
    names = [(f"run {number}", number < baselines) for number in range(baselines + others)]
    curves = {name: {0.01: SCORE, 1.0: SCORE} for name in names}
    lines = looks(draw_label_efficiency(curves, "macro AUC", {0.01: 19, 1.0: 1900}))
    points = looks(draw_cost([(*name, SCORE) for name in names], "macro AUC"))
    assert lines == points
    assert len(lines) == len(set(lines.values())) == baselines + others
    plain = [name for name, (colour, _) in lines.items() if colour in (style.INK, style.QUIET)]
    assert len(plain) == (baselines if others else 0)
