"""The commands: train, pretrain, finetune, evaluate, predict, embed, report, publish, study."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from lensmodels.errors import UsageError
from lensmodels.image_files.inputs import is_url
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.options import (
    DEVICE,
    ENCODER_OPTIONS,
    FINETUNE_OPTIONS,
    METHOD,
    OVERWRITE,
    PRETRAIN_OPTIONS,
    PRETRAINING_METHOD,
    RUN_ARGUMENT,
    RUN_OPTIONS,
    SHIFT_OPTIONS,
    SYMMETRIES,
    TEST_OPTIONS,
    shift_size,
    with_options,
)
from lensmodels.publishing import DEFAULT_LICENCE
from lensmodels.startup import load_packages
from lenssim.command_line.command_group import CommandGroup
from lenssim.configuration.key_values import split_key_value
from lenssim.cutouts.options import image_options, settings_from_options
from lenssim.storage.output_paths import check_not_empty, check_output_folder

GRIDS = (
    "study, laptop, labels, wide, published, published-long, published-gpu, architectures, smoke"
)
"""The grids that come with lensmodels."""


@click.group(
    "lensmodels", cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="lenssim", prog_name="lensmodels")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Learn substructure classes and axion masses from archives of lens images."""


@main.command()
@METHOD
@with_options(ENCODER_OPTIONS, FINETUNE_OPTIONS, PRETRAIN_OPTIONS, RUN_OPTIONS)
def train(out: Path, resume: bool, **options: Any) -> None:
    """Pretrain, finetune and evaluate, in one.

    Prints the path of the report on stdout, and progress and the score on stderr.
    """
    _train(out, resume, options)


@main.command()
@PRETRAINING_METHOD
@with_options(ENCODER_OPTIONS, PRETRAIN_OPTIONS, RUN_OPTIONS)
def pretrain(out: Path, resume: bool, **options: Any) -> None:
    """Train an encoder without labels of classes."""
    from lensmodels.options import check_run, run_config

    config = run_config(out, resume, options, method="byol")
    if config.method not in PRETRAINING_DEFAULTS:
        raise UsageError(
            f"The method of these settings is {config.method}, which pretrains nothing: use "
            "`lensmodels train`, or choose a --method."
        )
    check_run(config, out, resume)
    load_packages()
    from lensmodels import training

    training.check_requirements(config, out, finetuned=False)
    config = training.begin(config, out, resume=resume)
    training.pretrain(config, out)
    if training.rank_zero():
        click.echo(out)


@main.command()
@click.option(
    "--from",
    "pretrained",
    metavar="RUN_OR_URL",
    help="Run, or published model, whose encoder to begin with, in place of that of --config.",
)
@with_options(FINETUNE_OPTIONS, RUN_OPTIONS)
def finetune(out: Path, resume: bool, pretrained: str | None, **options: Any) -> None:
    """Train a pretrained encoder, with a head, on a task, and evaluate.

    Prints the path of the report on stdout, and progress and the score on stderr.
    """
    from lensmodels.options import pretrained_options

    if pretrained is None and options["config"] is None and not resume:
        raise UsageError("Name by --from the run whose encoder to finetune.")
    if pretrained is not None:
        options |= pretrained_options(pretrained, options["data"], options["cache_dir"])
    _train(out, resume, options)


@main.command()
@RUN_ARGUMENT
@click.option("--data", metavar="DIR_OR_URL", help="Another archive than it was trained on.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: the run; RUN/evaluations/NAME for another archive]",
)
@with_options(SHIFT_OPTIONS, TEST_OPTIONS)
@SYMMETRIES
def evaluate(run: str, data: str | None, out: Path | None, **how: Any) -> None:
    """Test a run's model, and write its metrics, predictions, plots and report.

    Prints the report's path on stdout; progress, score and the table of --shifts on stderr.
    """
    from lensmodels.evaluation.requests import check_test, evaluation_folder

    local = _local_run(run, how["cache_dir"])
    if is_url(run) and out is None:
        raise UsageError(f"{run} is a published model, which stays as it is: name an --out.")
    folder = evaluation_folder(local, data, out)
    how["shift_images"] = shift_size(how.pop("shifts"), how["shift_images"])
    check_test(local, data, folder, shifted=how["shift_images"] is not None)
    load_packages()
    from lensmodels.reporting.run_page import evaluate as evaluate_run

    _print_score(evaluate_run(local, data, out=folder, **how), folder)


@main.command()
@RUN_ARGUMENT
@click.argument("inputs", nargs=-1, required=True, metavar="FILE_OR_ARCHIVE...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help=".csv or .parquet to write."
)
@image_options
@click.option(
    "--force",
    is_flag=True,
    help="Predict images outside what the model knows, too, as if it knew them.",
)
@OVERWRITE
@with_options(TEST_OPTIONS)
@SYMMETRIES
def predict(run: str, inputs: tuple[str, ...], out: Path, **how: Any) -> None:
    """Predict classes or masses of images in e-/s: FITS, .npy, .npz or an archive.

    FITS images are converted to the unit, the pixels and the orientation of the images that the run
    was trained on, and images far from them are named in the column warnings. Those outside what
    the model knows (column in_distribution) have no prediction.
    """
    from lensmodels.evaluation.requests import check_prediction

    settings = settings_from_options(how)
    local = _local_run(run, how["cache_dir"])
    check_prediction(local, inputs, out, settings=settings, overwrite=how["overwrite"])
    load_packages()
    from lensmodels import evaluation

    evaluation.predict(local, inputs, out, settings=settings, **how)
    click.echo(out)


@main.command()
@RUN_ARGUMENT
@click.option("--data", required=True, metavar="DIR_OR_URL", help="Archive to embed.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help=".parquet or .zarr to write."
)
@OVERWRITE
@with_options(TEST_OPTIONS)
def embed(run: str, data: str, out: Path, **how: Any) -> None:
    """Write the features of every image of an archive."""
    from lensmodels.evaluation.requests import check_embedding

    local = _local_run(run, how["cache_dir"])
    check_embedding(local, data, out, overwrite=how["overwrite"])
    load_packages()
    from lensmodels import evaluation

    evaluation.embed(local, data, out, **how)
    click.echo(out)


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.",
)
def report(runs: tuple[Path, ...], out: Path) -> None:
    """Compare several runs side by side."""
    from lensmodels.reporting.requests import check_comparison

    check_comparison(runs, out)
    load_packages()
    from lensmodels.reporting.comparison_page import compare

    click.echo(compare(list(runs), out))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("url")
@click.option(
    "--licence",
    default=DEFAULT_LICENCE,
    show_default=True,
    help="Of the weights, by the hub's identifier, as in mit.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace a model at URL, and other files of its names."
)
def publish(run: Path, url: str, licence: str, overwrite: bool) -> None:
    """Upload a run's model, with a card, to a folder, s3://... or hf://OWNER/NAME.

    The commands take the URL in place of a run. Prints it.
    """
    from lensmodels.publishing.requests import check_publication

    check_publication(run, url)
    load_packages()
    from lensmodels.publishing import publish as publish_run

    click.echo(publish_run(run, url, licence=licence, overwrite=overwrite))


@main.group(invoke_without_command=True)
@click.option(
    "--grid",
    metavar="NAME|FILE.yaml",
    help=f"{GRIDS}, or a file.",
)
@click.option(
    "--data", multiple=True, metavar="MODEL=DIR_OR_URL", help="Archive of a model; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to fill.")
@click.option("--shard", metavar="K/N", help="Run the K-th of N parts; the results merge.")
@click.option("--only", metavar="PATTERN", help="Cells whose name matches, as in 'B_byol_*'.")
@click.option("--seconds", type=float, help="Begin no cell after so many seconds.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cells at once, each a process; they share the memory of the device.",
)
@DEVICE
@click.option("--list", "only_list", is_flag=True, help="Print the cells and run none.")
@click.pass_context
def study(
    context: click.Context,
    grid: str | None,
    data: tuple[str, ...],
    out: Path | None,
    shard: str | None,
    only: str | None,
    seconds: float | None,
    jobs: int,
    device: str,
    only_list: bool,
) -> None:
    """Run the study's grid of methods and baselines; finished cells are skipped.

    `lensmodels study report DIR` makes the tables and plots of what was run.
    """
    if context.invoked_subcommand is not None:
        return
    from fnmatch import fnmatchcase

    from lensmodels.study import cells_of_models, load_grid, share_of
    from lensmodels.study.requests import check_archives

    if grid is None:
        raise UsageError(f"Name by --grid the grid to run: {GRIDS}, or a file.")
    loaded = load_grid(grid)
    cells = loaded.all_cells()
    archives = _archives(data)
    if archives:
        cells = cells_of_models(cells, archives)
    if shard is not None:
        cells = share_of(loaded, cells, *_part(shard))
    if only is not None:
        cells = [cell for cell in cells if fnmatchcase(cell.name, only)]
        if not cells:
            raise UsageError(f"No cell of the grid matches {only!r}; --list shows their names.")
    if only_list:
        click.echo("\n".join(cell.name for cell in cells))
        return
    if out is None or not data:
        raise UsageError(
            "Name the archives by --data MODEL=DIR_OR_URL, and the folder to write by --out."
        )
    check_output_folder(out)
    check_archives(loaded, cells, archives)
    load_packages()
    from lensmodels.study import run_grid

    done = run_grid(loaded, cells, archives, out, device=device, seconds=seconds, jobs=jobs)
    click.echo(f"{len(done)} of {len(cells)} cells are done: {out / 'results'}")


@study.command("report")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--grid", metavar="NAME|FILE.yaml", required=True, help="The grid that was run.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: the same]",
)
def study_report(folder: Path, grid: str, out: Path | None) -> None:
    """Tables and plots of a grid that was run, beside the published ones."""
    from lensmodels.study import load_grid
    from lensmodels.study.requests import check_results

    loaded = load_grid(grid)
    check_results(folder)
    check_output_folder(out or folder)
    load_packages()
    from lensmodels.study import write_study_report

    click.echo(write_study_report(loaded, folder, out or folder))


@study.command("collect")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help=".parquet to write, or to add to.",
)
def study_collect(folders: tuple[Path, ...], out: Path) -> None:
    """Merge the results of several folders into one Parquet table of cells.

    Cells are added to those of --out where it exists. Predictions are kept of the first seed of
    each row of the axion mass, for their plot.
    """
    from lensmodels.study.requests import check_collection, tables_of

    check_collection(folders, out)
    load_packages()
    from lensmodels.study.results import collect, read_results

    tables = [*([out] if out.exists() else []), *map(tables_of, folders)]
    results = {result.cell: result for table in tables for result in read_results(table)}
    shown = [cell for cell in results if cell.task == "axion-mass" and cell.seed == 0]
    collect(results.values(), out, predictions=shown)
    click.echo(f"{len(results)} cells: {out}")


# the name of the command in version 0.1.0
_benchmark = copy.copy(study)
_benchmark.hidden = True
main.add_command(_benchmark, "benchmark")


def _part(shard: str) -> tuple[int, int]:
    """Which part of how many."""
    part, slash, parts = shard.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"--shard {shard}: write it as K/N, with K from 1 to N, as in 2/8.")
    return int(part), int(parts)


def _archives(data: tuple[str, ...]) -> dict[str, str]:
    """Archive of each model."""
    archives: dict[str, str] = {}
    for text in data:
        model, url = split_key_value(text, "--data", "MODEL=DIR_OR_URL", "B=archives/B", UsageError)
        check_not_empty(url)
        archives[model] = url
    return archives


def _local_run(run: str, cache_dir: Path | None) -> Path:
    """The folder of a run, or of a copy of a published model."""
    from lensmodels.runs import local_run

    return local_run(run, cache_dir)


def _train(out: Path, resume: bool, options: dict[str, Any]) -> None:
    """Train and test a run, and say how well it does."""
    from lensmodels.options import check_run, run_config

    config = run_config(out, resume, options)
    check_run(config, out, resume)
    load_packages()
    from lensmodels import api

    metrics = api.train(config, out, resume=resume)
    if metrics:
        _print_score(metrics, out)


def _print_score(metrics: Mapping[str, Any], folder: Path) -> None:
    """The report's path on stdout, and the score as the last line, on stderr."""
    from lensmodels.reporting.sentences import score_sentence

    click.echo(folder / "report.html")
    click.echo(score_sentence(metrics), err=True)
