"""Build a RunConfig from command-line options, and check it as far as needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensmodels.data.archives import read_archive
from lensmodels.errors import UsageError
from lensmodels.runs import RunConfig, read_config, require_encoder
from lensmodels.runs.resume import stored_settings
from lensmodels.settings import SCALING_OPTIONS, config_from_options
from lensmodels.startup import check_logger
from lenssim.storage.output_paths import check_output_folder


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


def pretrained_options(run: Path, data: str | None) -> dict[str, Any]:
    """Options that finetune the encoder of a run.

    Args:
        run: that was pretrained.
        data: archive to learn from; that of the pretraining if not given.

    Raises:
        UsageError: if there is no run with a trained encoder.
    """
    start = require_encoder(run)
    return {
        "pretrained": str(run.resolve()),
        "method": start.method,
        "pretrained_as": start,
        "encoder_settings": start.encoder,
        "data": data or start.data.url,
        # the encoder's input is scaled as it was
        **{name: getattr(start.data, name) for name in SCALING_OPTIONS},
    }


def check_run(config: RunConfig, out: Path, resume: bool) -> None:
    """Refuse what is wrong with the folder of a run, before torch is imported.

    Raises:
        UsageError: if the folder cannot be written, or holds a run that cannot be resumed.
    """
    check_output_folder(out)
    check_logger(config.logger)
    stored_settings(config, out, resume=resume)
