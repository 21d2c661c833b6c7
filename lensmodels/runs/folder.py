"""The folder of a run: which files in it are the run's, so that no others are replaced."""

from __future__ import annotations

from pathlib import Path

from lensmodels.errors import UsageError
from lensmodels.runs.config import (
    CHECKPOINTS,
    CONFIG,
    ENCODER,
    LOGS,
    MODEL,
    SCALING,
    read_config,
)
from lenssim.storage.output_paths import check_output_folder

DESCRIBED = "tested-run.txt"
"""File of a folder that holds a test and no run: where the run is."""

EVALUATIONS = "evaluations"
"""Folder of a run that holds its tests on other archives, one folder each."""

EVALUATION = ("metrics.json", "predictions.csv", "plots", "report.html")
"""What an evaluation writes."""

RUN_FILES = (CONFIG, SCALING, ENCODER, MODEL, CHECKPOINTS, LOGS, EVALUATIONS, *EVALUATION)
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
