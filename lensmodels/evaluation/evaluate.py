"""All that is made of a test: metrics, predictions, figures and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lensmodels.evaluation.figures import draw_figures
from lensmodels.evaluation.report import write_report
from lensmodels.evaluation.testing import score


def evaluate(
    run: Path,
    data: str | None = None,
    *,
    device: str = "auto",
    batch_size: int = 512,
    seed: int = 0,
) -> dict[str, Any]:
    """Tests a run, and writes its metrics.json, predictions.csv, plots and report.html.

    Arguments and errors are those of `score`.

    Returns:
        The content of metrics.json.
    """
    tested, found = score(run, data, device=device, batch_size=batch_size, seed=seed)
    draw_figures(Path(run), tested, found)
    write_report(Path(run))
    return found
