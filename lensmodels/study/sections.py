"""The sections of a study's report: tables and plots of a model and task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from lensmodels.evaluation.information import information_limit
from lensmodels.methods.settings import METHOD_NAMES
from lensmodels.reporting.formatting import format_difference, format_interval, format_value
from lensmodels.reporting.page import PagePlot, png_of
from lensmodels.reporting.plots import draw_auc_by_snr_of_runs
from lensmodels.reporting.tables import Table, TableCell, text_cells
from lensmodels.statistics.multiple_testing import MIN_TRAININGS
from lensmodels.statistics.paired import Difference
from lensmodels.study.comparison import (
    ComparedRow,
    Score,
    compare_rows,
    mixed_pretrainings,
    pooled_gain,
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
from lensmodels.study.plots import draw_cost, draw_figure_2, draw_label_efficiency
from lensmodels.study.results import FIDUCIAL_RANGE, CellResult
from lensmodels.tasks import TaskName

_NAMES = METHOD_NAMES | {LONG_BASELINE: "Supervised, equal compute"}

_SCORE_NAMES: dict[TaskName, str] = {"classification": "macro AUC", "axion-mass": "RMSE, dex"}

_DIGITS: dict[TaskName, int] = {"classification": 5, "axion-mass": 3}

_BOLD = "bold: significant after Holm"


@dataclass
class Section:
    """A part of the report.

    Attributes:
        heading, about: above it.
        tables: in order.
        plots_by_name: by the name of their file.
    """

    heading: str
    about: str
    tables: list[Table] = field(default_factory=list)
    plots_by_name: dict[str, PagePlot] = field(default_factory=dict)

    @property
    def plots(self) -> Iterable[PagePlot]:
        """For the page."""
        return self.plots_by_name.values()

    @property
    def markdown(self) -> str:
        """As Markdown, without its plots."""
        parts = [f"## {self.heading}", self.about, *(table.markdown for table in self.tables)]
        return "\n\n".join(parts)

    def add_plot(self, name: str, heading: str, caption: str, figure: Figure) -> None:
        """Adds a plot under the name of its file."""
        self.plots_by_name[name] = PagePlot(heading, caption, png_of(figure))


def all_sections(grid: Grid, results: Sequence[CellResult]) -> Iterator[Section]:
    """The sections of every model that has results."""
    for model in sorted({result.cell.model for result in results}):
        mine = [result for result in results if result.cell.model == model]
        tasks = {(result.cell.task, result.cell.labels == 1.0) for result in mine}
        if ("classification", True) in tasks:
            yield _classification(grid, mine, model)
        if ("classification", False) in tasks:
            yield _few_labels(grid, mine, model)
        if ("axion-mass", True) in tasks:
            yield _axion_mass(grid, mine, model)
    mixed = mixed_pretrainings(results)
    if mixed:
        yield Section(
            "Mixed pretrainings",
            "The cells of these rows rest on more than one pretraining, made by other code or on "
            f"another machine: {', '.join(mixed)}. Delete their results to run them again.",
        )


def _classification(grid: Grid, results: Sequence[CellResult], model: str) -> Section:
    rows = _with_results(compare_rows(grid, results, model=model, task="classification"))
    first = _first_of(results, "classification")
    section = Section(
        f"Classes, model {model}",
        f"Which substructure a lens has, from {first.metrics['n_labels']:,} images with labels; "
        f"tested on {first.metrics['n_test']:,} others. {_describe_encoders(grid)}",
        [
            _published_table(f"Macro AUC beside the published one, model {model}", rows),
            _baseline_table(
                f"Macro AUC, model {model}",
                "classification",
                rows,
                with_pooled_gain(_summary(rows), results, rows, "classification", "macro_auc"),
            ),
        ],
    )
    for encoder in grid.encoders:
        runs = [
            (_NAMES[method], cells[0].metrics)
            for method, cells in _cells_of(grid, results, model, encoder, "classification").items()
            if method != LONG_BASELINE
        ]
        if runs:
            section.add_plot(
                f"auc_by_snr_{model}_{encoder}",
                f"By signal to noise, {encoder}",
                "AUC of images with substructure against those without, by the S/N of the "
                "substructure; the first seed of each row.",
                draw_auc_by_snr_of_runs(runs, baseline=_NAMES[BASELINE]),
            )
    points = [
        (_label(grid, method, encoder), method in BASELINES, score_of(cells, "macro_auc"))
        for encoder in grid.encoders
        for method, cells in _cells_of(grid, results, model, encoder, "classification").items()
    ]
    section.add_plot(
        f"cost_{model}",
        "Cost",
        "Macro AUC by the minutes that a cell took, on the machines that it was run on.",
        draw_cost(points, _SCORE_NAMES["classification"]),
    )
    return section


def _few_labels(grid: Grid, results: Sequence[CellResult], model: str) -> Section:
    shares = few_label_shares(results)
    section = Section(
        f"Few labels, model {model}",
        "The same with the labels of some of the images; the pretraining sees all images and no "
        "label. The supervised baseline has the same labels and as many steps.",
    )
    for share in shares:
        rows = _with_results(
            compare_rows(grid, results, model=model, task="classification", labels=share)
        )
        goal = gain_goal(rows, few_labels_goal(share), "classification")
        title = f"Macro AUC with {share:.0%} of the labels, model {model}"
        sentence = with_pooled_gain(_sentence([goal]), results, rows, "classification", "macro_auc")
        section.tables.append(_baseline_table(title, "classification", rows, sentence))
    for encoder in grid.encoders:
        scores_at = {
            share: _cells_of(grid, results, model, encoder, "classification", share)
            for share in (*shares, 1.0)
        }
        curves = {}
        for method in dict.fromkeys(method for cells in scores_at.values() for method in cells):
            scores = {
                share: score_of(cells[method], "macro_auc")
                for share, cells in scores_at.items()
                if method in cells
            }
            if len(scores) > 1 and method != LONG_BASELINE:
                curves[_NAMES[method], method in BASELINES] = scores
        if curves:
            section.add_plot(
                f"labels_{model}_{encoder}",
                f"Label efficiency, {encoder}",
                "Macro AUC by the share of the labels that the finetuning sees.",
                draw_label_efficiency(curves, _SCORE_NAMES["classification"]),
            )
    return section


def _axion_mass(grid: Grid, results: Sequence[CellResult], model: str) -> Section:
    first = _first_of(results, "axion-mass")
    limit = information_limit(first.spec_sha256)
    near = f"between {FIDUCIAL_RANGE[0]} and {FIDUCIAL_RANGE[1]}"
    known = (
        f" The best estimate reaches {limit.limit:.3f} dex over the prior, and the Cramér-Rao "
        f"bound is {limit.rms_bound(*FIDUCIAL_RANGE):.3f} dex {near}, as a root mean square; the "
        "bound is of estimates without bias, and the best one has "
        f"{limit.rms_limit(*FIDUCIAL_RANGE):.3f} dex there."
        if limit
        else ""
    )
    section = Section(
        f"Axion mass, model {model}",
        f"RMSE of log10(m / eV) in dex, from {first.metrics['n_labels']:,} images of axion "
        f"vortices.{known}",
    )
    rows, rows_near = (
        _with_results(compare_rows(grid, results, model=model, task="axion-mass", by=name))
        for name in ("rmse", "rmse_near")
    )
    goals = list(axion_mass_goals(rows, rows_near, first.spec_sha256))
    for title, name, ratio, compared, of_table, reference in (
        (
            "over the whole prior",
            "rmse",
            "over the limit",
            rows,
            goals[:2],
            limit.limit if limit else None,
        ),
        (
            near,
            "rmse_near",
            "over the bound",
            rows_near,
            goals[2:],
            limit.rms_bound(*FIDUCIAL_RANGE) if limit else None,
        ),
    ):
        table = _baseline_table(
            f"RMSE {title}, model {model}",
            "axion-mass",
            compared,
            with_pooled_gain(_sentence(of_table), results, compared, "axion-mass", name),
            more={ratio: [_ratio(row.ours, reference) for row in compared]},
        )
        section.tables.append(table)
    for encoder in grid.encoders:
        panels = [
            (_NAMES[method], cells[0])
            for method, cells in _cells_of(grid, results, model, encoder, "axion-mass").items()
            if cells[0].truth is not None
        ]
        if panels:
            section.add_plot(
                f"figure_2_{model}_{encoder}",
                f"Predicted against true mass, {encoder}",
                "Fig. 2 of the study, with the Cramér-Rao bound; the first seed of each row.",
                draw_figure_2(panels, limit),
            )
    return section


def _published_table(title: str, rows: Sequence[ComparedRow]) -> Table:
    """Scores beside the published ones."""
    headings = ["published supervised", "supervised", "minus published"]
    headings += ["published pretrained", "pretrained", "minus published"]
    return Table(
        ["method", "encoder", *headings],
        [
            [
                *_name(row),
                *_beside(row.study.supervised if row.study else None, row.baseline),
                *_beside(row.study.finetuned if row.study else None, row.ours),
            ]
            for row in rows
        ],
        title,
        _sentence(classification_goals(rows)),
    )


def _beside(published: float | None, score: Score | None) -> list[TableCell]:
    """Published score, ours, and ours minus the published one."""
    digits = _DIGITS["classification"]
    return text_cells(
        [
            "" if published is None else format_value(published, 3),
            "" if score is None else format_value(score.mean, digits),
            ""
            if score is None or published is None
            else format_difference(score.mean - published, 3),
        ]
    )


def _baseline_table(
    title: str,
    task: TaskName,
    rows: Sequence[ComparedRow],
    sentence: str,
    more: dict[str, list[TableCell]] | None = None,
) -> Table:
    """Scores and differences from the baselines; further columns by heading."""
    digits, more = _DIGITS[task], more or {}
    headings = ["supervised", "equal compute", "pretrained"]
    headings += ["minus supervised", "minus equal compute"]
    flags = significant_gains(rows)
    cells = [
        [
            *_name(row),
            *(_score(score, digits) for score in (row.baseline, row.long_baseline, row.ours)),
            _difference(row.gain, digits, flags[number][0]),
            _difference(row.long_gain, digits, flags[number][1]),
            *(column[number] for column in more.values()),
        ]
        for number, row in enumerate(rows)
    ]
    return Table(["method", "encoder", *headings, *more], cells, f"{title} ({_BOLD})", sentence)


def _name(row: ComparedRow) -> list[TableCell]:
    return text_cells([METHOD_NAMES[row.method], row.encoder])


def _score(score: Score | None, digits: int) -> TableCell:
    if score is None:
        return TableCell()
    return TableCell(
        format_value(score.mean, digits),
        format_interval(score.interval.as_list(), digits),
        score.replicates,
    )


def _difference(difference: Difference | None, digits: int, is_significant: bool) -> TableCell:
    if difference is None:
        return TableCell()
    return TableCell(
        format_difference(difference.mean, digits),
        format_interval(difference.interval.as_list(), digits),
        is_marked=is_significant,
    )


def _ratio(score: Score | None, reference: float | None) -> TableCell:
    return TableCell(f"{score.mean / reference:.2f}" if score and reference else "")


def _sentence(goals: Iterable[Goal]) -> str:
    """How many rows reach each goal, in one sentence."""
    text = "; ".join(f"{goal.what}: {goal.count} rows" for goal in goals)
    return f"{text[:1].upper()}{text[1:]}."


def _summary(rows: Sequence[ComparedRow]) -> str:
    """How many differences from the baselines are significant."""
    flags = [flag for pair in significant_gains(rows) for flag in pair]
    trainings = [gain.trainings for row in rows for gain in (row.gain, row.long_gain) if gain]
    text = f"{sum(flags)} of {len(trainings)} differences from a baseline are significant"
    if trainings and max(trainings) < MIN_TRAININGS:
        text += f": none rests on {MIN_TRAININGS} independent pretrainings"
    return f"{text}."


def with_pooled_gain(
    sentence: str,
    results: Sequence[CellResult],
    rows: Sequence[ComparedRow],
    task: TaskName,
    by: str,
) -> str:
    """A sentence, with the gain over the supervised baseline that the rows have on average.

    Without it where rows have one pretraining each, as its interval would not know their scatter.
    """
    gain = pooled_gain(results, rows, task, by)
    if gain is None or gain.trainings < MIN_TRAININGS:
        return sentence
    mean, interval = (
        format_difference(gain.mean, _DIGITS[task]),
        format_interval(gain.interval.as_list(), _DIGITS[task]),
    )
    stem = sentence.removesuffix(".")
    return f"{stem}{'; ' if stem else ''}mean over rows, minus supervised: {mean} ({interval})."


def _with_results(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    return [row for row in rows if row.ours or row.baseline]


def _first_of(results: Sequence[CellResult], task: TaskName) -> CellResult:
    """The first result of a task with all labels."""
    return next(
        result for result in results if result.cell.task == task and result.cell.labels == 1.0
    )


def _cells_of(
    grid: Grid,
    results: Sequence[CellResult],
    model: str,
    encoder: str,
    task: TaskName,
    labels: float = 1.0,
) -> dict[str, list[CellResult]]:
    """Cells of each method with an encoder that has any, the baselines first."""
    methods = [*BASELINES, *(row.method for row in grid.rows if row.encoder == encoder)]
    cells = {
        method: select(
            results, model=model, method=method, encoder=encoder, task=task, labels=labels
        )
        for method in methods
    }
    return {method: of_method for method, of_method in cells.items() if of_method}


def _label(grid: Grid, method: str, encoder: str) -> str:
    return f"{_NAMES[method]}, {encoder}" if len(grid.encoders) > 1 else _NAMES[method]


def _describe_encoders(grid: Grid) -> str:
    """The encoders of a grid, in a sentence."""
    parts = []
    for name, encoder in grid.encoders.items():
        settings = encoder.settings
        patches = f" with patches of {settings.patch_size}" if settings.patch_size else ""
        in_place = f"in the place of the study's {encoder.study_encoder}"
        parts.append(f"{name} is {settings.name}{patches}, {in_place}")
    return "; ".join(parts) + "."
