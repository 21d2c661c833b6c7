"""What a run of the task set-level reports: a sentence, tables, a plot and report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lensmodels.methods.supervision import method_title
from lensmodels.reporting import style
from lensmodels.reporting.page import PagePlot, png_of, render, write_text
from lensmodels.reporting.plots.axes import errorbar, plain_ticks
from lensmodels.reporting.requests import REPORT
from lensmodels.reporting.sentences import Sentence
from lensmodels.reporting.tables import Table, TableCell, text_cells
from lensmodels.runs import RunConfig

_GOOD = 0.9
"""AUC from which on sets are called told apart."""

METHOD_NOTES = (
    "A universe is a class with its f_sub and axion mass fixed. Its sets are drawn from the test "
    "images at random, with no image twice in a set, and compared with sets without substructure "
    "whose lenses were selected with the same f_sub. Sets of one universe share images; the error "
    "is the standard error over the choice of the test images, by a bootstrap of these.",
    "The sum adds the log posteriors of single images, by a network of the same kind that was "
    "trained on single images, with the prior counted once. It takes the images of a set as "
    "independent given the class, and so does not use that they share their f_sub.",
    "The bound is the AUC of a classifier that is told the pattern of the substructure in every "
    "image, up to what a refit of the smooth lens takes out: the S/N of a set is the root of the "
    "sum of the squared refit S/N of its images. It takes lens and source for unknown, as far as "
    "they vary; a classifier that is not told the patterns may stay far below.",
)


def summary(metrics: Mapping[str, Any]) -> str:
    """The main result in a sentence, for the terminal: the largest sets of each class."""
    largest = max(metrics["sizes"])
    rows = [row for row in metrics["scores"] if row["size"] == largest]
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        held = best.get(row["class"])
        if held is None or row["set_auc"] > held["set_auc"]:
            best[row["class"]] = row
    parts = [
        f"{name} from none with AUC {row['set_auc']:.3f} at f_sub = {row['f_sub']:.3g}"
        for name, row in best.items()
    ]
    return f"sets of {largest:,} images tell {', and '.join(parts)}, at best"


def score_table(metrics: Mapping[str, Any]) -> Table:
    """AUC of every universe and size."""
    rows = []
    for row in metrics["scores"]:
        mass = "" if row["axion_mass"] is None else f"{row['axion_mass']:.2g}"
        rows.append(
            [
                TableCell(f"{row['size']:,}"),
                TableCell(style.CLASS_NAMES[row["class"]]),
                TableCell(f"{row['f_sub']:.3g}"),
                TableCell(mass),
                _with_error(row, "set"),
                _with_error(row, "sum"),
                TableCell("" if row["bound"] is None else f"{row['bound']:.3f}"),
            ]
        )
    headings = ["images", "class", "f_sub", "axion mass, eV", "set model", "sum", "bound"]
    return Table(headings, rows, title="AUC against sets without substructure")


def parameter_table(metrics: Mapping[str, Any]) -> Table:
    """Errors of f_sub and the axion mass."""
    names = {"f_sub": "log10 f_sub", "axion_mass": "log10(m / eV)"}
    rows = [
        text_cells(
            [
                f"{row['size']:,}",
                style.CLASS_NAMES[row["class"]],
                names[row["parameter"]],
                f"{row['rmse_dex']:.3f}",
                f"{row['prior_dex']:.3f}",
            ]
        )
        for row in metrics["parameters"]
    ]
    headings = ["images", "class", "parameter", "RMSE, dex", "of the prior's mean, dex"]
    return Table(headings, rows, title="Parameters of the universe")


def sentences(metrics: Mapping[str, Any]) -> list[Sentence]:
    """What the tables say."""
    found = []
    for name in dict.fromkeys(row["class"] for row in metrics["scores"]):
        rows = [row for row in metrics["scores"] if row["class"] == name]
        good = [row for row in rows if row["set_auc"] > _GOOD]
        title = style.CLASS_NAMES[name]
        if good:
            first = min(good, key=lambda row: (row["size"], row["f_sub"]))
            found.append(
                Sentence(
                    f"Sets of {first['size']:,} images show {title} of f_sub = "
                    f"{first['f_sub']:.3g} with an AUC of {first['set_auc']:.3f}."
                )
            )
        else:
            best = max(rows, key=lambda row: row["set_auc"])
            found.append(
                Sentence(
                    f"No set shows {title} with an AUC above {_GOOD:g}: the highest is "
                    f"{best['set_auc']:.3f}, of {best['size']:,} images with f_sub = "
                    f"{best['f_sub']:.3g}.",
                    is_warning=True,
                )
            )
    if metrics["bins"]:
        found.append(
            Sentence(
                f"f_sub and the axion mass were put into {metrics['bins']} bins each: images of "
                "one set differ in them by up to the width of a bin, and errors of the parameters "
                "cannot be smaller than the scatter within it."
            )
        )
    if metrics["left_out"]:
        sizes = ", ".join(f"{size:,}" for size in metrics["left_out"])
        found.append(
            Sentence(
                f"Sets of {sizes} images are left out: a universe has fewer than twice as many."
            )
        )
    return found


def draw_scores(metrics: Mapping[str, Any]) -> Figure:
    """AUC by the size of the sets, one panel a class, one colour an f_sub."""
    names = list(dict.fromkeys(row["class"] for row in metrics["scores"]))
    with style.house_style():
        figure = style.new_figure(4.6 * len(names), 4.2)
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            rows = [row for row in metrics["scores"] if row["class"] == name]
            for number, key in enumerate(dict.fromkeys(_key(row) for row in rows)):
                _draw_universe(axes, [row for row in rows if _key(row) == key], number)
            axes.axhline(0.5, color=style.QUIET, linewidth=1)
            axes.set(xscale="log", xlabel="images in a set", title=style.CLASS_NAMES[name])
            plain_ticks(axes)
            axes.legend(loc="upper left")
        panels[0].set_ylabel("AUC against no substructure")
    return figure


def _key(row: Mapping[str, Any]) -> tuple[float, float | None]:
    return row["f_sub"], row["axion_mass"]


def _draw_universe(axes: Any, rows: Sequence[Mapping[str, Any]], number: int) -> None:
    colour = style.colour_of_run(number)
    sizes = [row["size"] for row in rows]
    mass = rows[0]["axion_mass"]
    label = f"f_sub = {rows[0]['f_sub']:.3g}" + ("" if mass is None else f", {mass:.2g} eV")
    values = [row["set_auc"] for row in rows]
    errors = [1.96 * (row["set_error"] or 0.0) for row in rows]
    ends = [(value - error, value + error) for value, error in zip(values, errors, strict=True)]
    errorbar(axes, sizes, values, ends, colour=colour, label=label)
    axes.plot(sizes, [row["sum_auc"] for row in rows], color=colour, linestyle=":", linewidth=1.2)
    if all(row["bound"] is not None for row in rows):
        axes.plot(sizes, [row["bound"] for row in rows], color=colour, linestyle="--", linewidth=1)


def write_set_report(run: Path, config: RunConfig, metrics: Mapping[str, Any]) -> Path:
    """Writes RUN/report.html.

    Args:
        run: folder.
        config: of the run.
        metrics: content of metrics.json.
    """
    plot = PagePlot(
        "AUC by the number of images",
        "Solid: the set model, with 95% intervals. Dotted: the sum over single images. Dashed: the "
        "bound.",
        png_of(draw_scores(metrics)),
    )
    data = metrics["data"]
    page = render(
        "sets.html",
        templates=Path(__file__).with_name("templates"),
        title=f"Sets of images: {method_title(config.method, config.pretrain)}, "
        f"{config.encoder.name}",
        subtitle=f"{metrics['n_test']:,} test images of {metrics['universes']} universes of model "
        f"{data['model']} ({data['url']})",
        sentences=sentences(metrics),
        plots=[plot],
        tables=[score_table(metrics), parameter_table(metrics)],
        methods=METHOD_NOTES,
        version=config.version,
    )
    return write_text(run / REPORT, page)


def _with_error(row: Mapping[str, Any], name: str) -> TableCell:
    error = row[f"{name}_error"]
    interval = "" if error is None else f"± {error:.3f}"
    return TableCell(f"{row[f'{name}_auc']:.3f}", interval=interval)
