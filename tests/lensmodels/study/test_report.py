"""What rows are held against, and the committed report, which its table of cells gives."""

from pathlib import Path

import pytest

from lensmodels.evaluation.information import information_limit
from lensmodels.statistics.bootstrap import Interval
from lensmodels.statistics.paired import Difference
from lensmodels.study import load_grid, report, sections
from lensmodels.study.comparison import ComparedRow, Published, Score
from lensmodels.study.goals import axion_mass_goals, classification_goals, gain_goal
from lensmodels.study.grid import BASELINE
from lensmodels.study.results import read_results
from lenssim import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "lenssim" / "specifications_1_0_0" / "B.yaml").sha256
"""The specification whose limit is known."""


def row(method="byol", ours=None, baseline=None, gain=None, study=None):
    """A row that has scores of these means."""
    scores = [
        None if mean is None else Score(mean, Interval(0, 1), "3 seeds", 1)
        for mean in (ours, baseline)
    ]
    baselines = {BASELINE: scores[1]} if scores[1] else {}
    gains = {BASELINE: gain} if gain else {}
    return ComparedRow("B", method, "r", 1.0, scores[0], baselines, gains, study)


def gain(mean, p_value, trainings=3):
    return Difference(mean, Interval(mean - 0.1, mean + 0.1), p_value, trainings)


def test_rows_are_held_against_their_own_published_figure():
    rows = [
        row("byol", ours=0.951, baseline=0.954, study=Published(0.963, 0.960)),
        row("dino", ours=0.987, baseline=0.987, study=Published(0.998, 0.998)),
        row("simsiam", study=Published(0.984, 0.996)),  # not run
    ]
    supervised, pretrained = classification_goals(rows)
    assert supervised.reached == pretrained.reached == ("BYOL (r)",)
    assert supervised.missed == pretrained.missed == ("DINO (r)",)
    assert pretrained.sentence.endswith("1 of 2 rows; not DINO (r).")


def test_a_gain_counts_if_it_is_significant_and_to_the_better():
    rows = [
        row("byol", gain=gain(0.1, 0.001)),
        row("dino", gain=gain(0.1, 0.03)),  # not after the correction for three tests
        row("simsiam", gain=gain(-0.1, 0.001)),
        row("contrastive-noise", gain=gain(0.1, 0.001, trainings=2)),
        row("contrastive-rotation", gain=gain(0.1, 0.9)),
        row("contrastive-rotation"),
    ]
    goal = gain_goal(rows, "better", "classification")
    assert goal.count == "1 of 5" and goal.reached == ("BYOL (r)",)


def test_the_axion_mass_is_held_against_the_information_in_the_images():
    limit = information_limit(SPEC)
    good, bad = row("byol", ours=1.1 * limit.limit), row("dino", ours=1.2 * limit.limit)
    bound = limit.rms_bound(-23.25, -22.75)
    near = [row("byol", ours=1.6 * bound), row("dino", ours=1.4 * bound)]
    _, whole, around = axion_mass_goals([good, bad], near, SPEC)
    assert whole.reached == ("BYOL (r)",) and around.reached == ("DINO (r)",)
    assert len(list(axion_mass_goals([good], near, "another"))) == 1


RESULTS = Path(__file__).parents[3] / "experiments" / "results"
FOLDER = RESULTS / "laptop"


@pytest.fixture
def without_plots(monkeypatch):
    """Sections of a report without their plots."""
    for name in ("draw_cost", "draw_figure_2", "draw_label_efficiency", "draw_auc_by_snr_of_runs"):
        monkeypatch.setattr(sections, name, lambda *_, **__: None)
    monkeypatch.setattr(sections, "png_of", lambda _: b"")


@pytest.fixture
def laptop(without_plots):
    """The laptop grid, its results, and the sections of its report, without plots."""
    grid, results = load_grid("laptop"), read_results(FOLDER)
    return grid, results, list(sections.all_sections(grid, results))


@pytest.mark.parametrize("name", ["wide", "published", "published-long", "architectures"])
def test_report_is_made_from_its_table(without_plots, name):
    grid, results = load_grid(name), read_results(RESULTS / name)
    text = report.report_text(grid, results, sections.all_sections(grid, results))
    assert text == (RESULTS / name / "report.md").read_text()


def test_laptop_report_is_made_from_its_table(laptop):
    assert report.report_text(*laptop) == (FOLDER / "report.md").read_text()
    for section in laptop[2]:
        for table in section.tables:
            assert table.sentence.count(". ") <= 1  # at most two sentences a table
            assert len(table.headings) <= 8  # fits a page of 1,200 pixels
