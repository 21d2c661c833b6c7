"""The commands: train, pretrain, finetune, evaluate, predict, embed, report.

Exit codes: 0 done, 1 the work failed, 2 the words were wrong. An error is one sentence on stderr;
`--debug` shows the traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lensmodels.errors import LensmodelsError, UsageError

FAILED = 1
WRONG_WORDS = 2

METHODS = (
    "supervised",
    "contrastive-rotation",
    "contrastive-noise",
    "byol",
    "simsiam",
    "dino",
)


class _Commands(click.Group):
    """A group whose commands fail with one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(FAILED)
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            if isinstance(error, LensmodelsError):
                message = str(error)
            else:
                name = type(error).__name__
                message = f"Unexpected {name}: {error}. Run again with lensmodels --debug for more."
            click.echo(f"Error: {message}", err=True)
            sys.exit(WRONG_WORDS if isinstance(error, UsageError) else FAILED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lenssim", prog_name="lensmodels")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Learn substructure classes and axion masses from archives of lens images."""


Option = Callable[[Any], Any]

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
    click.option("--cache-dir", help="Copies of what a remote archive sends."),
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

    words["method"] = words["method"] or "byol"
    config = training.begin(_config(out, resume, words), out, resume=resume)
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

    if pretrained is None and not resume:
        raise UsageError("Say by --from RUN which run's encoder to finetune.")
    if pretrained is not None:
        start = read_config(pretrained)
        words |= {"pretrained": str(pretrained.resolve()), "method": start.method}
        words |= {"encoder_settings": start.encoder, "data": words["data"] or start.data.url}
    config = training.begin(_config(out, resume, words), out, resume=resume)
    training.finetune(config, out)
    if training.rank_zero():
        _evaluate(out)


_RUN = click.argument("run", type=click.Path(path_type=Path))
_TESTING: Sequence[Option] = (
    click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto"),
    click.option(
        "--batch-size", type=int, default=512, show_default=True, help="Images at a time."
    ),
)


@main.command()
@_RUN
@click.option("--data", metavar="DIR_OR_URL", help="Another archive than it was trained on.")
@_options(_TESTING)
def evaluate(run: Path, data: str | None, device: str, batch_size: int) -> None:
    """Test a run's model, and write its metrics, predictions, plots and report."""
    from lensmodels import evaluation

    evaluation.evaluate(run, data, device=device, batch_size=batch_size)
    click.echo(run / "report.html")


@main.command()
@_RUN
@click.argument("inputs", nargs=-1, required=True, metavar="FILE_OR_ARCHIVE...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="CSV to write."
)
@_options(_TESTING)
def predict(run: Path, inputs: tuple[str, ...], out: Path, device: str, batch_size: int) -> None:
    """Predict classes or masses of images: .npy, FITS or an archive; e-/s."""
    from lensmodels import evaluation

    evaluation.predict(run, inputs, out, device=device, batch_size=batch_size)
    click.echo(out)


@main.command()
@_RUN
@click.option("--data", required=True, metavar="DIR_OR_URL", help="Archive to embed.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help=".parquet or .zarr to write."
)
@_options(_TESTING)
def embed(run: Path, data: str, out: Path, device: str, batch_size: int) -> None:
    """Write the features of every image of an archive."""
    from lensmodels import evaluation

    evaluation.embed(run, data, out, device=device, batch_size=batch_size)
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
    from lensmodels import evaluation

    click.echo(evaluation.compare(list(runs), out))


def _config(out: Path, resume: bool, words: dict[str, Any]) -> Any:
    """Settings of a run from the words of a command; those of the run itself for a bare resume."""
    from lensmodels.runs import read_config
    from lensmodels.settings import config_from_words

    if resume and words.get("data") is None:
        return read_config(out)
    if words.get("data") is None:
        raise UsageError("Say by --data which archive to learn from.")
    return config_from_words({key: value for key, value in words.items() if value is not None})


def _evaluate(run: Path) -> None:
    from lensmodels.evaluation import evaluate

    evaluate(run)
    click.echo(run / "report.html")
