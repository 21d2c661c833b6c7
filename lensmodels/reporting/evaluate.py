"""All that is made of a test: metrics, predictions, figures and the report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lensmodels.evaluation.requests import check_test
from lensmodels.evaluation.testing import score
from lensmodels.reporting.figures import draw_figures
from lensmodels.reporting.report import write_report
from lensmodels.runs import CONFIG, LOGS
from lensmodels.runs.folder import DESCRIBED
from lensmodels.startup import announce


def evaluate(
    run: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    device: str = "auto",
    batch_size: int = 512,
    average_symmetries: bool = False,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Tests a run, and writes its metrics.json, predictions.csv, plots and report.html.

    With `out`, they are written to another folder, and those of the run stay as they are: the
    test on an archive that it was not trained on, say. `report` takes such a folder as a run.

    Other arguments and errors are those of `score`.

    Raises:
        UsageError: where `out` is another run, or holds files of another origin, or `data` is an
            image file, too.

    Returns:
        The content of metrics.json.
    """
    run, folder = Path(run), Path(run if out is None else out)
    check_test(run, data, folder)
    elsewhere = folder.resolve() != run.resolve()
    if elsewhere:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DESCRIBED).write_text(f"{run.resolve()}\n")  # from now on the folder is ours
    tested, found = score(
        run,
        data,
        out=folder,
        device=device,
        batch_size=batch_size,
        average_symmetries=average_symmetries,
        seed=seed,
        cache_dir=cache_dir,
    )
    if elsewhere:
        _copy_description(run, folder)
    announce("drawing the figures")
    draw_figures(folder, tested, found)
    announce("writing the report")
    write_report(folder)
    return found


def _copy_description(run: Path, folder: Path) -> None:
    """What a report says of a run besides its test: how it was trained."""
    shutil.copyfile(run / CONFIG, folder / CONFIG)
    shutil.rmtree(folder / LOGS, ignore_errors=True)
    for log in (run / LOGS).glob("*/metrics.csv"):
        copy = folder / log.relative_to(run)
        copy.parent.mkdir(parents=True)
        shutil.copyfile(log, copy)
