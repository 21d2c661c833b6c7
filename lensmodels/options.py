"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

Option = Callable[[Any], Any]

CACHE_DIR = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for copies of what a remote archive sends.  [default: ~/.cache/lensmodels]",
)

RUN_OPTIONS: Sequence[Option] = (
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
    CACHE_DIR,
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
ENCODER_OPTIONS: Sequence[Option] = (
    click.option(
        "--encoder", help="timm model, or vit: 12 blocks, patches of 32.  [default: resnet50]"
    ),
    click.option("--patch-size", type=int, help="Of a vision transformer, pixels."),
    click.option("--small-stem", is_flag=True, help="ResNet stem for small images."),
)
PRETRAIN_OPTIONS: Sequence[Option] = (
    click.option("--pretrain-epochs", type=int, help="[default: the method's]"),
    click.option(
        "--views",
        type=click.Path(path_type=Path, dir_okay=False),
        help="YAML file of the method's views.",
    ),
)
FINETUNE_OPTIONS: Sequence[Option] = (
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


def with_options(*groups: Sequence[Option]) -> Option:
    """Puts options on a command, in their order."""

    def add(function: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return add


RUN_ARGUMENT = click.argument("run", type=click.Path(path_type=Path))
TEST_OPTIONS: Sequence[Option] = (
    click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto"),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=512,
        show_default=True,
        help="Images at a time.",
    ),
    CACHE_DIR,
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace --out if it is an earlier output of this command."
)
SYMMETRIES = click.option(
    "--average-symmetries",
    is_flag=True,
    help="Take the mean over the eight symmetries of each image, at eight times the work.",
)
