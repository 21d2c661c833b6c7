"""The committed report of the laptop grid is the one that its table of cells gives."""

from pathlib import Path

import pytest

from lensmodels.study import load_grid, report, sections
from lensmodels.study.results import read_results

FOLDER = Path(__file__).parents[3] / "experiments" / "results" / "laptop"


@pytest.fixture
def laptop(monkeypatch):
    """The laptop grid, its results, and the sections of its report, without plots."""
    for name in ("draw_cost", "draw_figure_2", "draw_label_efficiency", "draw_auc_by_snr_of_runs"):
        monkeypatch.setattr(sections, name, lambda *_, **__: None)
    monkeypatch.setattr(sections, "png_of", lambda _: b"")
    grid, results = load_grid("laptop"), read_results(FOLDER)
    return grid, results, list(sections.all_sections(grid, results))


def test_laptop_report_is_made_from_its_table(laptop):
    assert report.report_text(*laptop) == (FOLDER / "report.md").read_text()
    for section in laptop[2]:
        for table in section.tables:
            assert table.sentence.count(". ") == 0  # at most one sentence a table
            assert len(table.headings) <= 8  # fits a page of 1,200 pixels
