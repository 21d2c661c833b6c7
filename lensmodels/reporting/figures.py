"""Which figures a run has: drawn, and saved as PNGs in RUN/plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lensmodels.evaluation.information import information_limit
from lensmodels.evaluation.testing import Tested
from lensmodels.reporting import plots, style
from lensmodels.reporting.captions import FIGURES
from lensmodels.reporting.embedding_map import map_embeddings
from lensmodels.runs import LOGS

PLOTS = "plots"
STAGES = ("pretrain", "finetune")


def draw_figures(run: Path, tested: Tested, metrics: Mapping[str, Any]) -> None:
    """Draws every figure of a run that there is something to show for.

    Figures of an earlier evaluation are removed, so that none is left that is not of this one;
    other files in the folder stay.

    Args:
        run: folder of the run.
        tested: what the model said.
        metrics: content of metrics.json.
    """
    folder = run / PLOTS
    folder.mkdir(exist_ok=True)
    for name in FIGURES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    table = tested.table
    with style.house_style():
        if metrics["task"] == "classification":
            save(plots.draw_roc(table, metrics), folder / "roc.png")
            save(plots.draw_confusion(metrics), folder / "confusion.png")
            if metrics["auc_by_snr"]:
                save(plots.draw_auc_by_snr(metrics), folder / "auc_by_snr.png")
            save(plots.draw_reliability(metrics), folder / "calibration.png")
        else:
            limit = information_limit(metrics["data"]["spec_sha256"])
            save(plots.draw_predicted_mass(table, limit), folder / "predicted_mass.png")
            name = "this model"
            save(plots.draw_rmse_by_mass([(name, metrics)], limit), folder / "rmse_by_mass.png")
            if metrics["coverage"] is not None:
                save(plots.draw_coverage(metrics), folder / "calibration.png")
        mapped = map_embeddings(tested.embeddings)
        if mapped is not None:
            figure = plots.draw_embedding(mapped, table.iloc[tested.embedded])
            save(figure, folder / "embedding.png")
        if len(tested.worst):
            figure = plots.draw_mistakes(tested.worst_images, table.iloc[tested.worst])
            save(figure, folder / "mistakes.png")
        training = plots.draw_training(read_logs(run))
        if training is not None:
            save(training, folder / "training.png")


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG; the same figure is the same bytes."""
    figure.savefig(path, metadata={"Software": None})


def read_logs(run: Path) -> dict[str, pd.DataFrame]:
    """What each stage logged, in order; stages without a log are left out."""
    files = {stage: run / LOGS / stage / "metrics.csv" for stage in STAGES}
    return {
        stage: pd.read_csv(file)
        for stage, file in files.items()
        if file.exists() and file.stat().st_size > 1
    }
