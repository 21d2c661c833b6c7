"""The report of a grid: tables beside the published ones, in Markdown and HTML, and plots.

DIR/report.html    everything, self-contained
DIR/report.md      the tables, for a README
DIR/figures/       the plots as PNGs
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lensmodels.methods.supervision import MARK_NOTE, supervision_of
from lensmodels.reporting import style
from lensmodels.reporting.page import render, write_text
from lensmodels.reporting.sentences import TASK_NOTES
from lensmodels.statistics.multiple_testing import LEVEL, MIN_TRAININGS
from lensmodels.study.grid import Grid
from lensmodels.study.requests import check_results, tables_of
from lensmodels.study.results import CellResult, is_done, read_results
from lensmodels.study.sections import Section, all_sections
from lenssim.storage.output_paths import check_output_folder

REPORT = "report.md"
PAGE = "report.html"
FIGURES = "figures"

_PREFIXES = ("auc_by_snr_", "cost_", "labels_", "figure_2_")
"""Prefixes of the names of the plots."""

_TITLE = "The study's grid on our archives"
_HEADING = f"# {_TITLE}"

_TEMPLATES = Path(__file__).with_name("templates")

_NOTES = (
    "A score is the mean over pretrainings and label draws, whose numbers stand beside it (as "
    "3 x 3 seeds), with a 95% interval of a hierarchical bootstrap: over test images by 1,000 "
    "resamples within each class, over pretrainings and over label draws by their scatter and "
    "Student's t, added in quadrature.",
    f"A difference is significant (bold) if its p value is at most {LEVEL} after Holm's correction "
    f"over its table, and both sides have {MIN_TRAININGS} independent pretrainings or trainings "
    "from random weights, and as many label draws. Trainings that began with the same pretraining "
    "are not independent. Cells of the same seed share the labelled images and their order, and "
    "are compared in pairs. The mean over rows is that of their effects, significant or not.",
    "The supervised baseline has the encoder, views, schedule and number of steps of the "
    "finetuning, from random weights. The one of equal compute has as many steps more as the most "
    "expensive pretraining of that encoder costs, counted in forward and backward passes, and the "
    "epoch with the lowest loss on all validation images, which are labelled.",
    "The published scores are those of Deshmukh, Sachdev, Gleyzer & Toomey, NeurIPS ML4PS 2023, "
    "on other simulations of the same two models; they have no intervals.",
)


def write_study_report(grid: Grid, folder: Path, out: Path) -> Path:
    """Writes report.html, report.md and figures/ from the results of a folder.

    Args:
        grid: that was run.
        folder: of the grid, or one that holds tables of its results, or such a table.
        out: folder to write.

    Returns:
        The path of the page.

    Raises:
        UsageError: if there are no results, one was run with other settings than the grid has, or
            `out` holds a report of another origin.
        LensmodelsError: if one is damaged, or cells were tested on different images.
    """
    drawn = [f"{FIGURES}/{file.name}" for file in _plot_files(out)]
    check_output_folder(out, (REPORT, PAGE, *drawn), _is_report)
    check_results(folder)
    results = read_results(tables_of(folder))
    of_cell = {result.cell: result for result in results}
    for cell in of_cell.keys() & set(grid.all_cells()):
        is_done(of_cell, folder, cell, {"recipe": grid.recipe(cell)})
    with style.house_style():
        sections = list(all_sections(grid, results))
    task_notes = [note for notes in TASK_NOTES.values() for note in notes]
    page = render(
        "study.html",
        templates=_TEMPLATES,
        title=_TITLE,
        subtitle=_subtitle(grid, results),
        sections=sections,
        methods=[*_NOTES, *_notes_on(results), *task_notes],
        version=results[0].record["versions"]["lenssim"],
    )
    # first: it marks the folder as ours
    write_text(out / REPORT, report_text(grid, results, sections))
    for file in _plot_files(out):
        file.unlink()
    for section in sections:
        for name, plot in section.plots_by_name.items():
            assert name.startswith(_PREFIXES)
            (out / FIGURES).mkdir(parents=True, exist_ok=True)
            (out / FIGURES / f"{name}.png").write_bytes(plot.png)
    return write_text(out / PAGE, page)


def report_text(grid: Grid, results: Sequence[CellResult], sections: Iterable[Section]) -> str:
    """The report as Markdown, without its plots.

    Args:
        grid: that was run.
        results: of all cells that are done.
        sections: made from them, in order.
    """
    text = [f"{_HEADING}\n\n{_subtitle(grid, results)}"]
    text += [section.markdown for section in sections]
    text += ["## How the numbers are made", *_NOTES, *_notes_on(results)]
    return "\n\n".join(text) + "\n"


def _notes_on(results: Sequence[CellResult]) -> list[str]:
    """What is to be known of the methods and baselines that were run."""
    methods = {result.cell.method for result in results}
    marked = any(supervision_of(name) == "simulator" for name in methods)
    return [MARK_NOTE] * marked


def _subtitle(grid: Grid, results: Sequence[CellResult]) -> str:
    models = sorted({result.cell.model for result in results})
    of_models = f"model{'s' if len(models) > 1 else ''} {' and '.join(models)}"
    done = {result.cell for result in results} & set(grid.all_cells())
    return f"{len(done)} of {len(grid.all_cells())} cells, {of_models}. {grid.about}"


def _is_report(folder: Path) -> bool:
    """Whether a folder holds a report that `write_study_report` wrote, by its report.md."""
    return (folder / REPORT).read_text(encoding="utf-8").startswith(f"{_HEADING}\n")


def _plot_files(out: Path) -> list[Path]:
    """Files in the folder of a report that have the names of its plots."""
    return [file for file in (out / FIGURES).glob("*.png") if file.name.startswith(_PREFIXES)]
