"""The sections of a study's report: tables and plots of a model and task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from lensmodels.evaluation.detection_bound import bounding_snr
from lensmodels.evaluation.evidence import evidence_ratio_auc
from lensmodels.evaluation.information import information_limit
from lensmodels.reporting.page import PagePlot, png_of
from lensmodels.reporting.plots import draw_auc_by_snr_of_runs
from lensmodels.reporting.tables import Table
from lensmodels.study.comparison import (
    ComparedRow,
    Score,
    compare_rows,
    mixed_pretrainings,
    score_of,
)
from lensmodels.study.goals import (
    axion_mass_goals,
    few_label_shares,
    few_labels_goal,
    gain_goal,
)
from lensmodels.study.grid import BASELINE, BASELINES, LONG_BASELINE, Grid
from lensmodels.study.plots import draw_cost, draw_figure_2, draw_label_efficiency
from lensmodels.study.results import FIDUCIAL_RANGE, CellResult
from lensmodels.study.tables import (
    NAMES,
    SCORE_NAMES,
    baseline_table,
    baselines_table,
    cells_by_method,
    goals_sentence,
    published_table,
    ratio_cell,
    significance_summary,
    strong_table,
    with_pooled_gain,
    with_scaling,
)
from lensmodels.tasks import TaskName
from lenssim.spec import load_spec, shipped_specs


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
        """Adds a plot to the section.

        Args:
            name: of its file, without a suffix.
            heading, caption: above and below it.
            figure: matplotlib's; drawn now.
        """
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
    )
    if any(row.study for row in rows):
        section.tables.append(published_table(model, rows))
    summary = significance_summary(rows)
    summary = with_pooled_gain(summary, results, rows, "classification", "macro_auc")
    section.tables.append(
        baseline_table(f"Macro AUC, model {model}", "classification", rows, summary)
    )
    section.tables += baselines_table(grid, results, model, "classification")
    section.tables += strong_table(grid, results, model)
    section.tables = with_scaling(section.tables, _cells_of(results, "classification"))
    for encoder in grid.encoders:
        runs = [
            (NAMES[method], cells[0].metrics)
            for method, cells in cells_by_method(
                grid, results, model, encoder, "classification"
            ).items()
            if method != LONG_BASELINE
        ]
        if runs:
            section.add_plot(
                f"auc_by_snr_{model}_{encoder}",
                f"By signal to noise, {encoder}",
                "AUC of images with substructure against those without, by the S/N of the "
                "substructure; the first seed of each row.",
                draw_auc_by_snr_of_runs(
                    runs, NAMES[BASELINE], has_bound=_bound(results, model) is not None
                ),
            )
    points = [
        (_label(grid, method, encoder), method in BASELINES, score_of(cells, "macro_auc"))
        for encoder in grid.encoders
        for method, cells in cells_by_method(
            grid, results, model, encoder, "classification"
        ).items()
    ]
    section.add_plot(
        f"cost_{model}",
        "Cost",
        "Macro AUC by the minutes that a cell took, on the machines that it was run on.",
        draw_cost(
            points,
            SCORE_NAMES["classification"],
            _bound(results, model),
            evidence_ratio_auc(first.spec_sha256),
        ),
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
        sentence = with_pooled_gain(
            goals_sentence([goal]), results, rows, "classification", "macro_auc"
        )
        tables = [baseline_table(title, "classification", rows, sentence)]
        tables += baselines_table(grid, results, model, "classification", share)
        tables += strong_table(grid, results, model, share)
        section.tables += with_scaling(tables, _cells_of(results, "classification", share))
    labels = {
        result.cell.labels: round(result.metrics["n_labels"] / len(result.metrics["auc"]))
        for result in results
        if result.cell.task == "classification"
    }
    together: dict[tuple[str, bool], dict[float, Score]] = {}
    of_encoders = 0
    for encoder in grid.encoders:
        scores_at = {
            share: cells_by_method(grid, results, model, encoder, "classification", share)
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
                curves[NAMES[method], method in BASELINES] = scores
        together |= {(f"{name}, {encoder}", of): scores for (name, of), scores in curves.items()}
        of_encoders += bool(curves)
        if len(curves) > 1:  # one line is told by the tables
            section.add_plot(
                f"labels_{model}_{encoder}",
                f"Label efficiency, {encoder}",
                "Macro AUC by the number of labels that the finetuning sees.",
                _label_efficiency(results, model, curves, labels),
            )
    if of_encoders > 1:
        section.add_plot(
            f"labels_{model}",
            "Label efficiency, all encoders",
            "Macro AUC by the number of labels, of the encoders that were run with few.",
            _label_efficiency(results, model, together, labels),
        )
    return section


def _label_efficiency(
    results: Sequence[CellResult],
    model: str,
    curves: Mapping[tuple[str, bool], Mapping[float, Score]],
    labels: Mapping[float, int],
) -> Figure:
    return draw_label_efficiency(
        curves,
        SCORE_NAMES["classification"],
        labels,
        _bound(results, model),
        evidence_ratio_auc(_first_of(results, "classification").spec_sha256),
    )


def _cells_of(
    results: Iterable[CellResult], task: TaskName, labels: float = 1.0
) -> list[CellResult]:
    """Cells of a task and a share of the labels."""
    return [each for each in results if (each.cell.task, each.cell.labels) == (task, labels)]


def _bound(results: Sequence[CellResult], model: str) -> float | None:
    """The macro AUC that no classifier of a model's test images exceeds, where it is known."""
    if model not in shipped_specs() or bounding_snr(load_spec(model)) == "substructure_snr":
        return None  # a bound of the refit S/N is none where the lens is known
    for result in results:
        if (result.cell.model, result.cell.task) == (model, "classification"):
            for row in result.metrics.get("auc_bound", ()):
                if (row["above"], row["class"]) == (0.0, "all"):
                    return float(row["auc"])
    return None


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
        table = baseline_table(
            f"RMSE {title}, model {model}",
            "axion-mass",
            compared,
            with_pooled_gain(goals_sentence(of_table), results, compared, "axion-mass", name),
            more={ratio: [ratio_cell(row.ours, reference) for row in compared]},
        )
        section.tables.append(table)
    section.tables += baselines_table(grid, results, model, "axion-mass")
    section.tables = with_scaling(section.tables, _cells_of(results, "axion-mass"))
    for encoder in grid.encoders:
        panels = [
            (NAMES[method], cells[0])
            for method, cells in cells_by_method(
                grid, results, model, encoder, "axion-mass"
            ).items()
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


def _with_results(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Rows of methods that were run; those of the baselines while none was."""
    return [row for row in rows if row.ours] or [row for row in rows if row.baseline]


def _first_of(results: Sequence[CellResult], task: TaskName) -> CellResult:
    """The first result of a task with the most labels."""
    return max(
        (result for result in results if result.cell.task == task),
        key=lambda result: result.cell.labels,
    )


def _label(grid: Grid, method: str, encoder: str) -> str:
    return f"{NAMES[method]}, {encoder}" if len(grid.encoders) > 1 else NAMES[method]


def _describe_encoders(grid: Grid) -> str:
    """The encoders of a grid, in a sentence."""
    parts = []
    for name, encoder in grid.encoders.items():
        settings = encoder.settings
        patches = f" with patches of {settings.patch_size}" if settings.patch_size else ""
        in_place = f"in the place of the study's {encoder.study_encoder}"
        parts.append(f"{name} is {settings.name}{patches}, {in_place}")
    return "; ".join(parts) + "."
