"""The commands: train, pretrain, finetune, evaluate, predict, embed, report, study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lensmodels.errors import UsageError
from lenssim.command_line.command_group import CommandGroup

METHODS = (
    "supervised",
    "contrastive-rotation",
    "contrastive-noise",
    "byol",
    "simsiam",
    "dino",
)


@click.group(
    "lensmodels", cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="lenssim", prog_name="lensmodels")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Learn substructure classes and axion masses from archives of lens images."""


Option = Callable[[Any], Any]

_CACHE_DIR = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for copies of what a remote archive sends.  [default: ~/.cache/lensmodels]",
)

_WHAT: Sequence[Option] = (
    click.option("--data", metavar="DIR_OR_URL", help="Archive to learn from."),
    click.option(
        "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run."
    ),
    click.option(
        "--train-size", type=int, help="Images of each class, the first ones.  [default: all]"
    ),
    click.option("--batch-size", type=int, help="Images a step, over all devices.  [default: 256]"),
    click.option("--workers", type=int, help="Threads that read.  [default: 1]"),
    click.option(
        "--cache",
        type=click.Choice(["auto", "none", "memory", "device"]),
        help="Where images stay once read.  [default: auto]",
    ),
    _CACHE_DIR,
    click.option("--lr", type=float, help="Learning rate at a batch of 256, of every stage."),
    click.option("--seed", type=int, help="Of weights, order and views.  [default: 0]"),
    click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), help="[default: auto]"),
    click.option("--devices", type=int, help="How many.  [default: 1]"),
    click.option("--precision", type=click.Choice(["32-true", "bf16-mixed", "16-mixed"])),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change any setting, as in pretrain.weight_decay=0.01; repeatable.",
    ),
    click.option("--resume", is_flag=True, help="Go on with what is in --out."),
)
_ENCODER: Sequence[Option] = (
    click.option(
        "--encoder", help="timm model, or vit: 12 blocks, patches of 32.  [default: resnet50]"
    ),
    click.option("--patch-size", type=int, help="Of a vision transformer, pixels."),
    click.option("--small-stem", is_flag=True, help="ResNet stem for small images."),
)
_PRETRAIN: Sequence[Option] = (
    click.option("--pretrain-epochs", type=int, help="[default: the method's]"),
    click.option(
        "--views",
        type=click.Path(path_type=Path, dir_okay=False),
        help="YAML file of the method's views.",
    ),
)
_FINETUNE: Sequence[Option] = (
    click.option(
        "--task",
        type=click.Choice(["classification", "axion-mass"]),
        help="[default: classification]",
    ),
    click.option("--loss", type=click.Choice(["huber", "gaussian-nll"]), help="Of the axion mass."),
    click.option("--finetune-epochs", type=int, help="[default: 30]"),
    click.option("--labels", type=float, help="Share of the labels to use.  [default: 1]"),
    click.option("--frozen", is_flag=True, help="Train the head alone: a linear probe."),
)


def _options(*groups: Sequence[Option]) -> Option:
    """Puts options on a command, in their order."""

    def add(function: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return add


@main.command()
@click.option("--method", type=click.Choice(METHODS), help="[default: supervised]")
@_options(_ENCODER, _FINETUNE, _PRETRAIN, _WHAT)
def train(out: Path, resume: bool, **words: Any) -> None:
    """Pretrain, finetune and evaluate, in one."""
    from lensmodels import training

    config = _config(out, resume, words)
    training.train(config, out, resume=resume)
    if training.rank_zero():
        _evaluate(out)


@main.command()
@click.option("--method", type=click.Choice(METHODS[1:]), help="[default: byol]")
@_options(_ENCODER, _PRETRAIN, _WHAT)
def pretrain(out: Path, resume: bool, **words: Any) -> None:
    """Train an encoder without labels."""
    from lensmodels import training

    config = _config(out, resume, words, method="byol")
    if config.method not in METHODS[1:]:
        raise UsageError(f"{out} is a {config.method} run; go on with it by `lensmodels train`.")
    config = training.begin(config, out, resume=resume)
    training.pretrain(config, out)
    if training.rank_zero():
        click.echo(out)


@main.command()
@click.option(
    "--from",
    "pretrained",
    type=click.Path(path_type=Path),
    help="Run whose encoder to begin with.",
)
@_options(_FINETUNE, _WHAT)
def finetune(out: Path, resume: bool, pretrained: Path | None, **words: Any) -> None:
    """Train a pretrained encoder, with a head, on a task."""
    from lensmodels import training
    from lensmodels.runs import read_config
    from lensmodels.settings import SCALING_WORDS

    if pretrained is None and not resume:
        raise UsageError("Say by --from RUN which run's encoder to finetune.")
    if pretrained is not None:
        start = read_config(pretrained)
        words |= {"pretrained": str(pretrained.resolve()), "method": start.method}
        words["pretrained_as"] = start
        words |= {"encoder_settings": start.encoder, "data": words["data"] or start.data.url}
        # the encoder's input is scaled as it was
        words |= {name: getattr(start.data, name) for name in SCALING_WORDS}
    config = training.begin(_config(out, resume, words), out, resume=resume)
    training.finetune(config, out)
    if training.rank_zero():
        _evaluate(out)


_RUN = click.argument("run", type=click.Path(path_type=Path))
_TESTING: Sequence[Option] = (
    click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto"),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=512,
        show_default=True,
        help="Images at a time.",
    ),
    _CACHE_DIR,
)
_OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace --out if it is an earlier output of this command."
)
_SYMMETRIES = click.option(
    "--average-symmetries",
    is_flag=True,
    help="Take the mean over the eight symmetries of each image, at eight times the work.",
)


@main.command()
@_RUN
@click.option("--data", metavar="DIR_OR_URL", help="Another archive than it was trained on.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what is written, in place of the run.",
)
@_options(_TESTING)
@_SYMMETRIES
def evaluate(run: Path, data: str | None, out: Path | None, **how: Any) -> None:
    """Test a run's model, and write its metrics, predictions, plots and report."""
    from lensmodels.reporting.evaluate import evaluate as evaluate_run

    evaluate_run(run, data, out=out, **how)
    click.echo((out or run) / "report.html")


@main.command()
@_RUN
@click.argument("inputs", nargs=-1, required=True, metavar="FILE_OR_ARCHIVE...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help=".csv or .parquet to write."
)
@click.option(
    "--hdu",
    metavar="NAME|N",
    help="Extension of FITS files to read.  [default: SCI, or the only image]",
)
@_OVERWRITE
@_options(_TESTING)
@_SYMMETRIES
def predict(run: Path, inputs: tuple[str, ...], out: Path, **how: Any) -> None:
    """Predict classes or masses of images in e-/s: FITS, .npy, .npz or an archive.

    FITS headers are held against the images that the run was trained on, and images far from them
    are named in the column warnings.
    """
    from lensmodels import evaluation

    evaluation.predict(run, inputs, out, **how)
    click.echo(out)


@main.command()
@_RUN
@click.option("--data", required=True, metavar="DIR_OR_URL", help="Archive to embed.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help=".parquet or .zarr to write."
)
@_OVERWRITE
@_options(_TESTING)
def embed(run: Path, data: str, out: Path, **how: Any) -> None:
    """Write the features of every image of an archive."""
    from lensmodels import evaluation

    evaluation.embed(run, data, out, **how)
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
    from lensmodels.reporting.report import compare

    click.echo(compare(list(runs), out))


@main.group(invoke_without_command=True)
@click.option("--grid", metavar="NAME|FILE.yaml", help="study, laptop, labels, smoke, or a file.")
@click.option(
    "--data", multiple=True, metavar="MODEL=DIR_OR_URL", help="Archive of a model; repeatable."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to fill.")
@click.option("--shard", metavar="K/N", help="Run the K-th of N parts; the results merge.")
@click.option("--only", metavar="PATTERN", help="Cells whose name matches, as in 'B_byol_*'.")
@click.option("--seconds", type=float, help="Begin no cell after so many seconds.")
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto")
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
    device: str,
    only_list: bool,
) -> None:
    """Run the study's grid of methods and baselines; finished cells are skipped.

    `lensmodels study report DIR` makes the tables and the figures of what was run.
    """
    if context.invoked_subcommand is not None:
        return
    from fnmatch import fnmatchcase

    from lensmodels.study import cells_of_models, load_grid, run_grid, share_of

    if grid is None:
        raise UsageError("Say by --grid which grid to run: study, laptop, labels, smoke or a file.")
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
        raise UsageError("Say by --data MODEL=DIR_OR_URL where the images are, and by --out where.")
    done = run_grid(loaded, cells, archives, out, device=device, seconds=seconds)
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
    """Tables and figures of a grid that was run, beside the published ones."""
    from lensmodels.study import load_grid, write_study_report

    click.echo(write_study_report(load_grid(grid), folder, out or folder))


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
    each row of the axion mass, for the figure of them.
    """
    from lensmodels.study.results import collect, is_table, read_results, tables_of
    from lenssim.storage.output_paths import check_output

    check_output(out, (".parquet",), is_table, overwrite=True)  # its cells are kept
    tables = [*([out] if out.exists() else []), *map(tables_of, folders)]
    results = {each.cell: each for table in tables for each in read_results(table)}
    shown = [cell for cell in results if cell.task == "axion-mass" and cell.seed == 0]
    collect(results.values(), out, predictions=shown)
    click.echo(f"{len(results)} cells: {out}")


# the name of the command in version 0.1.0
main.add_command(study, "benchmark")


def _part(shard: str) -> tuple[int, int]:
    """Which part of how many."""
    part, slash, parts = shard.partition("/")
    if not (slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"--shard {shard}: write it as K/N, with K from 1 to N, as in 2/8.")
    return int(part), int(parts)


def _archives(data: tuple[str, ...]) -> dict[str, str]:
    """Archive of each model."""
    found: dict[str, str] = {}
    for word in data:
        model, equals, url = word.partition("=")
        if not (equals and model and url):
            raise UsageError(f"--data {word}: write it as MODEL=DIR_OR_URL, as in B=archives/B.")
        found[model] = url
    return found


def _config(out: Path, resume: bool, words: dict[str, Any], *, method: str = "supervised") -> Any:
    """Settings of a run from the words of a command; those of the run itself for a bare resume.

    Args:
        out: folder of the run.
        resume: whether to go on with what is there.
        words: of the command; None, False or empty where nothing was said.
        method: where none was said.
    """
    from lensmodels.runs import read_config
    from lensmodels.settings import config_from_words

    said = {
        key: value
        for key, value in words.items()
        if value is not None and value is not False and value != ()
    }
    if resume and "data" not in said:
        if said:
            options = {"overrides": "--set", "pretrained": "--from"}
            named = [options.get(key, f"--{key.replace('_', '-')}") for key in said]
            raise UsageError(
                f"Without --data, --resume goes on with all settings of {out}: leave out "
                f"{' and '.join(named)}, or repeat the whole command that it was begun with."
            )
        return read_config(out)
    if "data" not in said:
        raise UsageError("Say by --data which archive to learn from.")
    return config_from_words({"method": method, **said})


def _evaluate(run: Path) -> None:
    from lensmodels.reporting.evaluate import evaluate

    evaluate(run)
    click.echo(run / "report.html")
