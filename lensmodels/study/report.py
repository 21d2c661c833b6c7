"""The report of a grid: tables beside the published ones, in Markdown and HTML, and figures.

DIR/report.html    everything, self-contained
DIR/report.md      tables and sentences, for a README
DIR/figures/       the figures as PNGs
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from lensmodels.evaluation.information import information_limit
from lensmodels.methods.settings import METHOD_NAMES
from lensmodels.reporting import plots, style
from lensmodels.reporting.page import PageFigure, png_of, render, write_text
from lensmodels.reporting.tables import markdown_table
from lensmodels.reporting.wording import (
    TASK_NOTES,
    Sentence,
    signed,
    span,
)
from lensmodels.statistics.multiple_testing import LEVEL, MIN_TRAININGS
from lensmodels.statistics.paired import Difference
from lensmodels.study import figures
from lensmodels.study.comparison import (
    ComparedRow,
    Score,
    compare_rows,
    mixed_pretrainings,
    score_name,
    score_of,
    select,
    significant_gains,
)
from lensmodels.study.goals import (
    Goal,
    axion_mass_goals,
    classification_goals,
    few_label_shares,
    few_labels_goal,
    gain_goal,
)
from lensmodels.study.grid import BASELINE, BASELINES, LONG_BASELINE, Grid
from lensmodels.study.requests import check_results, tables_of
from lensmodels.study.results import NEAR, CellResult, read_results
from lensmodels.tasks import TaskName
from lenssim.storage.output_paths import check_output_folder

_NAMES = METHOD_NAMES | {LONG_BASELINE: "Supervised, equal compute"}

_SCORE_NAMES: dict[TaskName, str] = {"classification": "macro AUC", "axion-mass": "RMSE, dex"}

_DIGITS: dict[TaskName, int] = {"classification": 5, "axion-mass": 3}

REPORT = "report.md"
PAGE = "report.html"
FIGURES = "figures"

_KINDS = ("auc_by_snr_", "cost_", "labels_", "figure_2_")
"""What the names of the figures begin with."""

_TITLE = "The study's grid on our archives"
_HEADING = f"# {_TITLE}"

_TEMPLATES = Path(__file__).with_name("templates")

_NOTES = (
    "A score is the mean over the seeds, whose number stands beside it, with a 95% interval: over "
    "test images by a bootstrap of 1,000 resamples within each class, and over trainings by their "
    "scatter and Student's t, added in quadrature.",
    f"A difference is significant (bold) if its p value is at most {LEVEL} after Holm's correction "
    f"over its table, and both sides have {MIN_TRAININGS} independent trainings or more. Trainings "
    "that began with the same pretraining are not independent. Cells of the same seed share the "
    "labelled images and their order, and are compared in pairs.",
    "The supervised baseline has the encoder, views, schedule and number of steps of the "
    "finetuning, from random weights. The one of equal compute has as many steps more as the most "
    "expensive pretraining of that encoder costs, counted in forward and backward passes.",
    "The published scores are those of Deshmukh, Sachdev, Gleyzer & Toomey, NeurIPS ML4PS 2023, "
    "on other simulations of the same two models; they have no intervals.",
)


@dataclass(frozen=True)
class TableCell:
    """A cell of a table: a value, its interval, and whether it is a significant difference."""

    value: str
    interval: str = ""
    is_significant: bool = False

    @property
    def markdown(self) -> str:
        """As Markdown; what is significant is bold."""
        value = f"**{self.value}**" if self.is_significant else self.value
        return f"{value} ({self.interval})" if self.interval else value


@dataclass(frozen=True)
class Table:
    """A table of a section."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[TableCell]]

    @property
    def markdown(self) -> str:
        """As Markdown."""
        rows = [[cell.markdown for cell in row] for row in self.rows]
        return f"**{self.title}**\n\n" + markdown_table(self.headings, rows)


@dataclass
class Section:
    """A part of the report."""

    heading: str
    about: str
    tables: list[Table] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    figures: list[PageFigure] = field(default_factory=list)

    @property
    def markdown(self) -> str:
        """As Markdown, without its figures."""
        parts = [f"## {self.heading}", self.about]
        parts += [table.markdown for table in self.tables]
        if self.sentences:
            parts.append("\n".join(f"- {sentence.text}" for sentence in self.sentences))
        return "\n\n".join(parts)


def write_study_report(grid: Grid, folder: Path, out: Path) -> Path:
    """Writes report.html, report.md and figures/ from the results of a folder.

    Args:
        grid: that was run.
        folder: of the grid, or one that holds tables of its results, or such a table.
        out: folder to write.

    Returns:
        The path of the page.

    Raises:
        UsageError: where there are no results, or `out` holds a report of another origin.
        LensmodelsError: where one is damaged, or cells were tested on different images.
    """
    drawn = [f"{FIGURES}/{file.name}" for file in _figure_files(out)]
    check_output_folder(out, (REPORT, PAGE, *drawn), _is_report)
    check_results(folder)
    results = read_results(tables_of(folder))
    pictures = _Pictures()
    with style.house_style():
        sections = list(_sections(grid, results, pictures))
    sections += _cautions(results)
    models = sorted({each.cell.model for each in results})
    of_models = f"model{'s' if len(models) > 1 else ''} {' and '.join(models)}"
    done = {each.cell for each in results} & set(grid.all_cells())
    subtitle = f"{len(done)} of {len(grid.all_cells())} cells, {of_models}. {grid.about}"
    task_notes = [note for notes in TASK_NOTES.values() for note in notes]
    page = render(
        "study.html",
        templates=_TEMPLATES,
        title=_TITLE,
        subtitle=subtitle,
        sections=sections,
        methods=[*_NOTES, *task_notes],
        version=results[0].record["versions"]["lenssim"],
    )
    text = [f"{_HEADING}\n\n{subtitle}"]
    text += [section.markdown for section in sections]
    text += ["## How the figures are made", *_NOTES]
    write_text(out / REPORT, "\n\n".join(text) + "\n")  # first: it says that the folder is ours
    pictures.write(out)
    return write_text(out / PAGE, page)


def _is_report(folder: Path) -> bool:
    """Whether a folder holds a report that `write_study_report` wrote, by its report.md."""
    return (folder / REPORT).read_text(encoding="utf-8").startswith(f"{_HEADING}\n")


class _Pictures:
    """Keeps figures as PNGs, to be written together, and gives them to the page."""

    def __init__(self) -> None:
        self._pngs: dict[str, bytes] = {}

    def add(self, name: str, heading: str, caption: str, figure: Figure) -> PageFigure:
        """A figure under a name, which begins with one of `_KINDS`."""
        assert name.startswith(_KINDS)
        self._pngs[name] = png_of(figure)
        return PageFigure(heading, caption, self._pngs[name])

    def write(self, out: Path) -> None:
        """Writes the figures in place of those of an earlier report; other files stay."""
        for file in _figure_files(out):
            file.unlink()
        for name, content in self._pngs.items():
            (out / FIGURES).mkdir(parents=True, exist_ok=True)
            (out / FIGURES / f"{name}.png").write_bytes(content)


def _figure_files(out: Path) -> list[Path]:
    """Files in the folder of a report that have the names of its figures."""
    return [file for file in (out / FIGURES).glob("*.png") if file.name.startswith(_KINDS)]


def _sections(grid: Grid, results: Sequence[CellResult], pictures: _Pictures) -> Iterator[Section]:
    for model in sorted({each.cell.model for each in results}):
        mine = [each for each in results if each.cell.model == model]
        tasks = {(each.cell.task, each.cell.labels == 1.0) for each in mine}
        if ("classification", True) in tasks:
            yield _classification(grid, mine, model, pictures)
        if ("classification", False) in tasks:
            yield _few_labels(grid, mine, model, pictures)
        if ("axion-mass", True) in tasks:
            yield _axion_mass(grid, mine, model, pictures)


def _cautions(results: Sequence[CellResult]) -> Iterator[Section]:
    """What a reader of the tables must know of how they came together."""
    mixed = mixed_pretrainings(results)
    if mixed:
        about = (
            "The cells of these rows rest on more than one pretraining, made by other code or on "
            f"another machine: {', '.join(mixed)}. Delete their results to run them again."
        )
        yield Section("Take care", about)


def _run(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Rows that have anything to show."""
    return [row for row in rows if row.ours or row.baseline]


def _name(row: ComparedRow) -> list[TableCell]:
    return [TableCell(METHOD_NAMES[row.method]), TableCell(row.encoder)]


def _encoders_in_words(grid: Grid) -> str:
    """Which encoders there are, in a sentence."""
    parts = []
    for name, encoder in grid.encoders.items():
        settings = encoder.settings
        what = settings.name + (
            f" with patches of {settings.patch_size}" if settings.patch_size else ""
        )
        parts.append(f"{name} is {what}, in the place of the study's {encoder.stands_for}")
    return "; ".join(parts) + "."


def _score(score: Score | None, digits: int) -> TableCell:
    if score is None:
        return TableCell("")
    ends = span(score.interval.as_list(), digits)
    seeds = f"{score.seeds} seed{'s' if score.seeds > 1 else ''}"
    return TableCell(f"{score.mean:.{digits}f}", f"{ends}; {seeds}")


def _difference(difference: Difference | None, digits: int, is_significant: bool) -> TableCell:
    if difference is None:
        return TableCell("")
    return TableCell(
        signed(difference.mean, digits), span(difference.interval.as_list(), digits), is_significant
    )


_COMPARED = (
    "supervised",
    "equal compute",
    "pretrained",
    "minus supervised",
    "minus equal compute",
)


def _compared(row: ComparedRow, digits: int, flags: tuple[bool, bool]) -> list[TableCell]:
    """The cells below `_COMPARED`; the flags say which differences are significant."""
    return [
        _score(row.baseline, digits),
        _score(row.long_baseline, digits),
        _score(row.ours, digits),
        _difference(row.gain, digits, flags[0]),
        _difference(row.long_gain, digits, flags[1]),
    ]


def _minus(score: Score | None, published: float | None) -> TableCell:
    if score is None or published is None:
        return TableCell("")
    return TableCell(signed(score.mean - published, 3))


def _published(value: float | None) -> TableCell:
    return TableCell("" if value is None else f"{value:.3f}")


def _classification(
    grid: Grid, results: Sequence[CellResult], model: str, pictures: _Pictures
) -> Section:
    digits = _DIGITS["classification"]
    rows = _run(compare_rows(grid, results, model=model, task="classification"))
    full_labels = next(
        each for each in results if each.cell.task == "classification" and each.cell.labels == 1.0
    )
    table = Table(
        f"Macro AUC, model {model}",
        [
            "method",
            "encoder",
            "published supervised",
            "supervised",
            "minus published",
            "equal compute",
            "published pretrained",
            "pretrained",
            "minus published",
            "minus supervised",
            "minus equal compute",
        ],
        [
            [
                *_name(row),
                _published(row.study.supervised if row.study else None),
                _score(row.baseline, digits),
                _minus(row.baseline, row.study.supervised if row.study else None),
                _score(row.long_baseline, digits),
                _published(row.study.finetuned if row.study else None),
                _score(row.ours, digits),
                _minus(row.ours, row.study.finetuned if row.study else None),
                _difference(row.gain, digits, flags[0]),
                _difference(row.long_gain, digits, flags[1]),
            ]
            for row, flags in zip(rows, significant_gains(rows), strict=True)
        ],
    )
    section = Section(
        f"Classes, model {model}",
        f"Which substructure a lens has, from {full_labels.metrics['n_labels']:,} images with "
        f"labels; tested on {full_labels.metrics['n_test']:,} others. Bold: significant after "
        f"Holm's correction. {_encoders_in_words(grid)}",
        [table],
        [*_goals(classification_goals(rows)), _summary(rows)],
    )
    full = partial(select, results, model=model, task="classification")
    for encoder in grid.encoders:
        chosen = [
            (_NAMES[method], cells[0].metrics)
            for method, of_encoder in _lines(grid)
            if of_encoder == encoder
            and method != LONG_BASELINE
            and (cells := full(method=method, encoder=encoder))
        ]
        if chosen:
            section.figures.append(
                pictures.add(
                    f"auc_by_snr_{model}_{encoder}",
                    f"By signal to noise, {encoder}",
                    "AUC of images with substructure against those without, by the S/N of the "
                    "substructure; the first seed of each row.",
                    plots.draw_auc_by_snr_of_runs(chosen, baseline=_NAMES[BASELINE]),
                )
            )
    scored = score_name("classification")
    points = [
        (_label(grid, method, encoder), method in BASELINES, score_of(cells, scored))
        for method, encoder in _lines(grid)
        if (cells := full(method=method, encoder=encoder))
    ]
    section.figures.append(
        pictures.add(
            f"cost_{model}",
            "What it costs",
            "Macro AUC by the minutes that a cell took, on the machines that it was run on.",
            figures.draw_cost(points, _SCORE_NAMES["classification"]),
        )
    )
    return section


def _few_labels(
    grid: Grid, results: Sequence[CellResult], model: str, pictures: _Pictures
) -> Section:
    digits = _DIGITS["classification"]
    shares = few_label_shares(results)
    section = Section(
        f"Few labels, model {model}",
        "The same with the labels of some of the images; the "
        "pretraining sees all images and no label. The supervised baseline has the same labels and "
        "as many steps.",
    )
    for share in shares:
        rows = _run(compare_rows(grid, results, model=model, task="classification", labels=share))
        section.tables.append(
            Table(
                f"Macro AUC with {share:.0%} of the labels",
                ["method", "encoder", *_COMPARED],
                [
                    [*_name(row), *_compared(row, digits, flags)]
                    for row, flags in zip(rows, significant_gains(rows), strict=True)
                ],
            )
        )
        section.sentences += _goals([gain_goal(rows, few_labels_goal(share), "classification")])
    for encoder in grid.encoders:
        curves = {}
        for method, of_encoder in _lines(grid):
            if of_encoder != encoder or method == LONG_BASELINE:
                continue
            scores = {
                share: score_of(cells, score_name("classification"))
                for share in (*shares, 1.0)
                if (
                    cells := select(
                        results,
                        model=model,
                        method=method,
                        encoder=encoder,
                        task="classification",
                        labels=share,
                    )
                )
            }
            if len(scores) > 1:
                curves[_NAMES[method], method in BASELINES] = scores
        if curves:
            section.figures.append(
                pictures.add(
                    f"labels_{model}_{encoder}",
                    f"Label efficiency, {encoder}",
                    "Macro AUC by the share of the labels that the finetuning sees.",
                    figures.draw_label_efficiency(curves, _SCORE_NAMES["classification"]),
                )
            )
    return section


def _axion_mass(
    grid: Grid, results: Sequence[CellResult], model: str, pictures: _Pictures
) -> Section:
    digits = _DIGITS["axion-mass"]
    of_task = [each for each in results if each.cell.task == "axion-mass"]
    limit = information_limit(of_task[0].spec_sha256)
    rows, rows_near = (
        _run(compare_rows(grid, results, model=model, task="axion-mass", by=name))
        for name in ("rmse", "rmse_near")
    )
    near = f"between {NEAR[0]} and {NEAR[1]}"
    references = {
        "over the limit": limit.limit if limit else None,
        "over the Cramér-Rao bound": limit.rms_bound(*NEAR) if limit else None,
    }
    tables = [
        Table(
            title,
            ["method", "encoder", *_COMPARED, ratio],
            [
                [*_name(row), *_compared(row, digits, flags), _ratio(row.ours, references[ratio])]
                for row, flags in zip(compared, significant_gains(compared), strict=True)
            ],
        )
        for title, ratio, compared in (
            (f"RMSE over the whole prior, model {model}", "over the limit", rows),
            (f"RMSE {near}, model {model}", "over the Cramér-Rao bound", rows_near),
        )
    ]
    known = (
        f" The best estimate reaches {limit.limit:.3f} dex over the prior, and the Cramér-Rao "
        f"bound is {limit.rms_bound(*NEAR):.3f} dex {near}, as a root mean square; the bound is of "
        f"estimates without bias, and the best one has {limit.rms_limit(*NEAR):.3f} dex there."
        if limit
        else ""
    )
    goals = axion_mass_goals(rows, rows_near, of_task[0].spec_sha256)
    section = Section(
        f"Axion mass, model {model}",
        f"RMSE of log10(m / eV) in dex, from {of_task[0].metrics['n_labels']:,} images of axion "
        f"vortices.{known}",
        tables,
        [
            *_goals(goals),
            _summary(rows),
        ],
    )
    for encoder in grid.encoders:
        panels = [
            (_NAMES[method], cells[0])
            for method, of_encoder in _lines(grid)
            if of_encoder == encoder
            and (
                cells := select(
                    results, model=model, method=method, encoder=encoder, task="axion-mass"
                )
            )
            and cells[0].truth is not None
        ]
        if panels:
            section.figures.append(
                pictures.add(
                    f"figure_2_{model}_{encoder}",
                    f"Predicted against true mass, {encoder}",
                    "Fig. 2 of the study, with the Cramér-Rao bound; the first seed of each row.",
                    figures.draw_figure_2(panels, limit),
                )
            )
    return section


def _ratio(score: Score | None, reference: float | None) -> TableCell:
    if score is None or not reference:
        return TableCell("")
    return TableCell(f"{score.mean / reference:.2f}")


def _lines(grid: Grid) -> list[tuple[str, str]]:
    """Methods with their encoders, the baselines of each encoder first."""
    encoders = dict.fromkeys(row.encoder for row in grid.rows)
    found = [(name, encoder) for encoder in encoders for name in BASELINES]
    return found + [(row.method, row.encoder) for row in grid.rows]


def _label(grid: Grid, method: str, encoder: str) -> str:
    return f"{_NAMES[method]}, {encoder}" if len(grid.encoders) > 1 else _NAMES[method]


def _goals(goals: Iterable[Goal]) -> Iterator[Sentence]:
    """Which rows reach what they are held against."""
    for goal in goals:
        yield Sentence(goal.sentence, is_warning=bool(goal.missed))


def _summary(rows: Sequence[ComparedRow]) -> Sentence:
    """How many differences from the baselines are significant."""
    flags = [flag for pair in significant_gains(rows) for flag in pair]
    trainings = [gain.trainings for row in rows for gain in (row.gain, row.long_gain) if gain]
    text = f"{sum(flags)} of {len(trainings)} differences from a baseline are significant"
    if trainings and max(trainings) < MIN_TRAININGS:
        text += f": none rests on {MIN_TRAININGS} independent pretrainings"
    return Sentence(f"{text}.")
