"""The folder of a run: which files are the run's, and whether it can be resumed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lensmodels.errors import UsageError
from lensmodels.runs.config import (
    CALIBRATION,
    CHECKPOINTS,
    CONFIG,
    ENCODER,
    LOGS,
    MODEL,
    OUT_OF_DISTRIBUTION,
    SCALING,
    SET_MODEL,
    RunConfig,
    read_config,
)
from lenssim.configuration.key_values import differences
from lenssim.storage.output_paths import check_output_folder

DESCRIBED = "tested-run.txt"
"""File of a folder that holds a test and no run: where the run is."""

EVALUATIONS = "evaluations"
"""Folder of a run that holds its tests on other archives, one folder each."""

SHIFTS_JSON, SHIFTS_CSV = "shifts.json", "shifts.csv"
"""Tests on shifted images."""

EVALUATION = (
    *("metrics.json", "predictions.csv", "plots", "report.html"),
    *(SHIFTS_JSON, SHIFTS_CSV),
)
"""What an evaluation writes."""

HELD_OUT = (OUT_OF_DISTRIBUTION, CALIBRATION)
"""What is measured on the validation images once the model is trained."""

RUN_FILES = (
    *(CONFIG, SCALING, ENCODER, MODEL, SET_MODEL, CHECKPOINTS, LOGS, EVALUATIONS),
    *HELD_OUT,
    *EVALUATION,
)
"""Files and folders at the top of a run."""


def check_run_folder(run: Path) -> None:
    """Refuse a folder for a new run where files of another origin would be replaced.

    Raises:
        UsageError: naming the files, or the file or broken link that is no folder.
    """
    check_output_folder(run, (*RUN_FILES, DESCRIBED), _is_run)


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run, begun at least, and not the test of another one."""
    try:
        read_config(folder)
    except UsageError:
        return False
    return not (folder / DESCRIBED).exists()


_INDIFFERENT = {
    "version",
    "device",
    "devices",
    "logger",
    "data.workers",
    "data.cache",
    "data.cache_dir",
}
"""Settings that may change when a run is resumed."""

_PLACES = {"data.url", "data.test_archive", "pretrained"}
"""Settings that may change when a run and its data were moved."""


def stored_settings(
    config: RunConfig, run: Path, *, resume: bool, moved: bool = False
) -> RunConfig | None:
    """The settings of the run that a folder holds and that is to be resumed; None for a new run.

    Args:
        config: that is asked for.
        run: folder of the run.
        resume: continue the run that is there.
        moved: the same images, and the same pretrained encoder, may be at another place than they
            were; that they are the same, the caller knows.

    Raises:
        UsageError: if the folder holds a run and `resume` is not asked for, or holds a run of other
            settings, or files of another origin under the names of a run's.
    """
    if not any((run / trace).exists() for trace in (ENCODER, MODEL, CHECKPOINTS)):
        check_run_folder(run)
        return None
    if not resume:
        raise UsageError(
            f"{run} holds a run already; continue it by --resume, or choose another --out."
        )
    stored = read_config(run)
    difference = first_difference(stored, config, _PLACES if moved else ())
    if difference is not None:
        key, old, new = difference
        raise UsageError(
            f"{run} was begun with {key} {old}, not {new}; resume it with the settings that it "
            "began with, or choose another --out."
        )
    return stored


def first_difference(
    stored: RunConfig, wanted: RunConfig, besides: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """Name and values of a setting that two runs differ in, of those that matter to the result.

    Args:
        stored, wanted: settings of the runs.
        besides: settings that do not matter either.
    """
    held, asked = (config.model_dump(mode="json") for config in (stored, wanted))
    for key, ours, theirs in differences(held, asked):
        if key in {*_INDIFFERENT, *besides} or key.startswith("measured"):
            continue
        # what the run began with
        if key in ("pretrain.hidden_units", "pretrain.head_norms") and theirs is None:
            continue
        return key, ours, theirs
    return None
