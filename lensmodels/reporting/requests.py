"""What `report` is asked for, checked before torch is imported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lensmodels.errors import UsageError
from lensmodels.runs import CONFIG, require_several
from lenssim.storage.output_paths import check_output_folder

REPORT = "report.html"
COMPARISON = "comparison.json"


def check_comparison(runs: Sequence[Path], out: Path) -> None:
    """Refuse a comparison that cannot be made.

    Args:
        runs: folders of evaluated runs.
        out: folder to write.

    Raises:
        UsageError: if there is one run only, one of them is no run or was not evaluated, or `out`
            holds a report or comparison of another origin, such as a run's.
    """
    require_several(runs)
    for run in runs:
        require_evaluated(run)
    check_output_folder(Path(out), (COMPARISON, REPORT), _is_comparison)


def require_evaluated(run: Path) -> None:
    """Refuse a run that was not evaluated.

    Raises:
        UsageError: naming what it lacks.
    """
    if not all((run / name).is_file() for name in ("metrics.json", "predictions.csv")):
        raise not_evaluated(run)


def not_evaluated(run: Path) -> UsageError:
    """The error of a run without the files of an evaluation, or with damaged ones."""
    return UsageError(
        f"{run} has no metrics.json and predictions.csv that can be read; make them with "
        f"`lensmodels evaluate {run}`."
    )


def _is_comparison(folder: Path) -> bool:
    """Whether a folder is one that `compare` wrote, by its comparison.json."""
    values = json.loads((folder / COMPARISON).read_text())
    is_ours = isinstance(values, dict) and set(values) == {"score", "runs", "differences"}
    return is_ours and not (folder / CONFIG).exists()
