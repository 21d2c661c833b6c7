"""Options that several commands share, and the RunConfig that they give.

An option of a setting has its type, choices, default and help from the schema of the settings: a
library that made the whole command line from the schema would rename its options. The settings are
checked as far as needs no torch.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click

from lensmodels.data.archives import read_archive
from lensmodels.errors import UsageError
from lensmodels.image_files.inputs import is_url
from lensmodels.methods.settings import METHODS, SUPERVISED_DEFAULTS
from lensmodels.runs import RunConfig, read_config, require_encoder
from lensmodels.runs.folder import stored_settings
from lensmodels.settings import SCALING_OPTIONS, config_from_options, option_of, setting_table
from lensmodels.startup import check_logger
from lenssim.configuration.key_values import field_at
from lenssim.configuration.setting_table import default_text
from lenssim.storage.output_paths import check_output_folder

Option = Callable[[Any], Any]

SHIFT_IMAGES = 200
"""Images of each class of a shift, if no other number is asked for."""


def setting_option(key: str, *, shown_default: str | None = None, **changes: Any) -> Option:
    """The option of a setting, with the type, default and help that the schema declares.

    Its value is None, or False for a flag, if it is not given.

    Args:
        key: of the setting, as in "data.batch_size".
        shown_default: in the help; that of the schema if not given.
        changes: of the arguments of `click.option`.
    """
    field = field_at(RunConfig, key)
    kind = _value_type(field.annotation)
    name = f"--{option_of(key).replace('_', '-')}"
    text = " ".join((field.description or "").split())
    if kind is bool:
        return click.option(name, is_flag=True, help=text, **changes)
    default = shown_default or default_text(field)
    if default not in ("null", "required"):
        text = f"{text}  [default: {default}]"
    return click.option(name, **({"type": kind, "help": text} | changes))


def _value_type(annotation: Any) -> Any:
    """What click makes a value with: of an optional setting, the value that is not None."""
    if get_origin(annotation) in (types.UnionType, Union):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    return click.Path(path_type=Path, file_okay=False) if annotation is Path else annotation


def method_option(methods: Sequence[str], default: str) -> Option:
    """The option --method of a command that takes some of the methods."""
    choice = click.Choice(methods, case_sensitive=False)
    return setting_option("method", type=choice, shown_default=default)


def _print_settings(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    """Prints every setting and ends the command."""
    if not is_given:
        return
    for setting in setting_table():
        default = f"  [{setting.default}]" if setting.default else ""
        click.echo(f"{setting.key}: {setting.allowed.replace('`', '')}{default}")
        if setting.meaning:
            click.echo(click.wrap_text(setting.meaning, 78, "    ", "    "))
    context.exit()


CACHE_DIR = setting_option("data.cache_dir")

RUN_OPTIONS: Sequence[Option] = (
    setting_option("data.url", metavar="DIR_OR_URL|live:MODEL"),
    click.option(
        "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run."
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.yaml",
        help="Settings to begin with, such as the config.yaml of a run; other options and --set "
        "change them.",
    ),
    setting_option("data.input"),
    setting_option("data.train_size"),
    setting_option("data.epoch_size"),
    setting_option("data.test_archive", metavar="DIR_OR_URL"),
    setting_option("data.batch_size"),
    setting_option("data.workers"),
    setting_option("data.cache"),
    CACHE_DIR,
    click.option("--lr", type=float, help="Learning rate at a batch of 256, of every stage."),
    click.option(
        "--seed", type=int, help="Seed of weights, order, labels and views.  [default: 0]"
    ),
    setting_option("device"),
    setting_option("devices"),
    setting_option("precision"),
    setting_option("logger"),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change any setting, as in pretrain.weight_decay=0.01; repeatable. The keys are "
        "listed by --help-settings.",
    ),
    click.option(
        "--help-settings",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_settings,
        help="List the keys of --set and of settings files.",
    ),
    click.option("--resume", is_flag=True, help="Continue the run in --out."),
)
ENCODER_OPTIONS: Sequence[Option] = (
    setting_option("encoder.name"),
    setting_option("encoder.patch_size"),
    setting_option("encoder.small_stem"),
)
PRETRAIN_OPTIONS: Sequence[Option] = (
    setting_option("pretrain.epochs", shown_default="the method's"),
    click.option(
        "--unlabelled",
        multiple=True,
        metavar="DIR_OR_URL[=WEIGHT]",
        help="Further archive to pretrain on, whose labels are not looked at; repeatable. Batches "
        "have WEIGHT images of it for each one of --data.  [default weight: 1]",
    ),
    setting_option("domain_norms"),
    click.option(
        "--views",
        type=click.Path(path_type=Path, dir_okay=False),
        help="YAML file of the method's views.",
    ),
)
FINETUNE_OPTIONS: Sequence[Option] = (
    setting_option("task.name"),
    setting_option("task.loss"),
    setting_option("finetune.epochs", shown_default=str(SUPERVISED_DEFAULTS.epochs)),
    setting_option("data.labels"),
    setting_option("frozen"),
)


def with_options(*groups: Sequence[Option]) -> Option:
    """Puts options on a command, in their order."""

    def add(function: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return add


RUN_ARGUMENT = click.argument("run", metavar="RUN_OR_URL")
DEVICE = setting_option("device", default="auto")
TEST_OPTIONS: Sequence[Option] = (
    DEVICE,
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=512,
        show_default=True,
        help="Images at a time.",
    ),
    CACHE_DIR,
)
SHIFT_OPTIONS: Sequence[Option] = (
    click.option(
        "--shifts",
        is_flag=True,
        help="Test on simulated images, too, that depart from the training specification in one "
        "thing each.",
    ),
    click.option(
        "--shift-images",
        type=click.IntRange(min=2, max=100_000),
        metavar="N",
        help=f"Images of each class and shift, with --shifts.  [default: {SHIFT_IMAGES}]",
    ),
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace --out if it is an earlier output of this command."
)
SYMMETRIES = click.option(
    "--average-symmetries",
    is_flag=True,
    help="Take the mean over the eight symmetries of each image, at eight times the work.",
)
METHOD = method_option(METHODS, "supervised")
PRETRAINING_METHOD = method_option(METHODS[1:], "byol")


def shift_size(is_tested: bool, images: int | None) -> int | None:
    """Images of each class and shift; None if shifts are not tested.

    Args:
        is_tested: whether --shifts is given.
        images: value of --shift-images; None if not given.

    Raises:
        UsageError: if there is a size without shifts.
    """
    if is_tested:
        return images or SHIFT_IMAGES
    if images is not None:
        raise UsageError("--shift-images is the size of the sets of --shifts: give --shifts, too.")
    return None


def run_config(
    out: Path, resume: bool, options: dict[str, Any], *, method: str = "supervised"
) -> RunConfig:
    """The settings of a run; those that it was begun with for a bare --resume.

    Args:
        out: folder of the run.
        resume: whether to continue the run that is there.
        options: of the command; None, False or empty if not given.
        method: if neither an option nor a settings file names one.

    Raises:
        UsageError: naming the option, its value and what is allowed.
        DataError: if the archive cannot be read, or lacks what the task needs.
    """
    given = {
        key: value
        for key, value in options.items()
        if value is not None and value is not False and value != ()
    }
    if resume and not given.keys() & {"data", "config"}:
        if given:
            names = {"overrides": "--set", "pretrained": "--from"}
            named = [names.get(key, f"--{key.replace('_', '-')}") for key in given]
            raise UsageError(
                f"Without --data or --config, --resume continues with all settings of {out}: leave "
                f"out {' and '.join(named)}, or repeat the whole command that began it."
            )
        config = read_config(out)
        read_archive(config.data.url)
        return config
    return config_from_options(given, method=method)


def pretrained_options(run: str, data: str | None, cache_dir: Path | None = None) -> dict[str, Any]:
    """Options that finetune the encoder of a run.

    Args:
        run: that was pretrained: its folder, or the URL of a published model.
        data: archive to learn from; that of the pretraining if not given.
        cache_dir: folder for a copy of a published model.

    Returns:
        Values of options by their names.

    Raises:
        UsageError: if there is no run with a trained encoder.
    """
    from lensmodels.runs import local_run

    folder = local_run(run, cache_dir)
    start = require_encoder(folder)
    return {
        "pretrained": run if is_url(run) else str(folder.resolve()),
        "method": start.method,
        "pretrained_as": start,
        "encoder_settings": start.encoder,
        "data": data or start.data.url,
        # the encoder's input is scaled as it was
        **{name: getattr(start.data, name) for name in SCALING_OPTIONS},
    }


def check_run(config: RunConfig, out: Path, resume: bool) -> None:
    """Refuse what is wrong with the folder of a run, before torch is imported.

    Args:
        config: settings of the run that is asked for.
        out: folder of the run.
        resume: whether a run that is there is to be continued.

    Raises:
        UsageError: if the folder cannot be written, or holds a run that cannot be resumed.
    """
    check_output_folder(out)
    check_logger(config.logger)
    stored_settings(config, out, resume=resume)
