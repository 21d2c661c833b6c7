"""Everything made of a test: metrics, predictions, plots and the report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Unpack

from lensmodels.evaluation.requests import check_test, evaluation_folder
from lensmodels.evaluation.testing import ScoreOptions, score
from lensmodels.reporting.run_page import write_report
from lensmodels.reporting.run_plots import draw_plots
from lensmodels.runs import CONFIG, LOGS
from lensmodels.runs.folder import DESCRIBED
from lensmodels.startup import announce


def evaluate(
    run: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    **options: Unpack[ScoreOptions],
) -> dict[str, Any]:
    """Tests a run, and writes its metrics.json, predictions.csv, plots and report.html.

    They are written to `evaluation_folder(run, data, out)`: a test on another archive does not
    replace that of the run. `report` takes such a folder as a run.

    Args:
        run: folder of a run that was trained.
        data: folder or URL of another archive than the one it was trained on.
        out: folder to write to.
        options: of `score`.

    Raises:
        UsageError: if the folder is another run, or holds files of another origin, or `data` is an
            image file; other errors are those of `score`.

    Returns:
        The content of metrics.json.
    """
    run = Path(run)
    folder = evaluation_folder(run, data, out)
    check_test(run, data, folder)
    elsewhere = folder.resolve() != run.resolve()
    if elsewhere:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DESCRIBED).write_text(f"{run.resolve()}\n")  # marks the folder as ours
    tested, metrics = score(run, data, out=folder, **options)
    if elsewhere:
        _copy_description(run, folder)
    announce("drawing the plots")
    draw_plots(folder, tested, metrics)
    announce("writing the report")
    write_report(folder)
    return metrics


def _copy_description(run: Path, folder: Path) -> None:
    """Copies the settings and logs of a run, which its report describes."""
    shutil.copyfile(run / CONFIG, folder / CONFIG)
    shutil.rmtree(folder / LOGS, ignore_errors=True)
    for log in (run / LOGS).glob("*/metrics.csv"):
        copy = folder / log.relative_to(run)
        copy.parent.mkdir(parents=True)
        shutil.copyfile(log, copy)
