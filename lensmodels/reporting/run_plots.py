"""The plots of a run and the residuals that they show, saved as PNGs in RUN/plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lenssim
from lensmodels.data.archives import read_archive
from lensmodels.evaluation.information import information_limit
from lensmodels.evaluation.shift_testing import read_shifts
from lensmodels.evaluation.testing import Tested
from lensmodels.reporting import plots, style
from lensmodels.reporting.evaluated_run import PLOTS
from lensmodels.reporting.optional_plots import CAPTIONS, OptionalPlots, write_missing
from lensmodels.reporting.plots.images import map_embeddings
from lensmodels.runs import LOGS

_TOLERANCE = 0.01
"""Difference of an image from the same one rendered again, as a share of the RMS of its residual,
up to which they are the same: platforms round differently."""


def residuals(
    url: str, table: pd.DataFrame, images: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """Images minus their smooth lens, which has the same source and total mass, e-/s.

    The smooth lens is rendered again from the archive's specification and seed.

    Args:
        url: of the archive, or live:MODEL.
        table: columns split, class and sample of its images, (k,).
        images: e-/s, (k, height, width).

    Returns:
        (k, height, width); None if the archive was imported, or this version of lenssim renders
        other images than it holds.
    """
    manifest = read_archive(url).manifest
    if manifest.imported is not None:
        return None
    spec = manifest.specification()
    smooth = []
    for (_, row), image in zip(table.iterrows(), images, strict=True):
        simulation = lenssim.simulate(
            spec,
            row["class"],
            int(row["sample"]),
            seed=manifest.seed,
            split=row["split"],
            engine_name=manifest.engine,
        )
        twin = lenssim.render(lenssim.smooth_system(simulation.system), spec, manifest.engine)
        difference = np.sqrt(np.mean((image - simulation.image) ** 2))
        if difference > _TOLERANCE * np.sqrt(np.mean((image - twin) ** 2)):
            return None
        smooth.append(twin)
    return images - np.array(smooth)


STAGES = ("pretrain", "finetune")


def draw_plots(run: Path, tested: Tested, metrics: Mapping[str, Any]) -> None:
    """Draws every plot of a run for which there are data.

    Plots of an earlier evaluation are removed, so that all are of this one; other files in the
    folder stay. A plot that cannot be drawn is left out; the report names it, and the reason.

    Args:
        run: folder of the run.
        tested: predictions and features of the test images.
        metrics: content of metrics.json.
    """
    folder = run / PLOTS
    folder.mkdir(exist_ok=True)
    for name in CAPTIONS:
        (folder / f"{name}.png").unlink(missing_ok=True)
    optional = OptionalPlots()

    def add(name: str, draw: Callable[[], Figure | None]) -> None:
        def draw_and_save() -> None:
            figure = draw()
            if figure is not None:
                save(figure, folder / f"{name}.png")

        optional.draw(name, draw_and_save)

    table = tested.table
    with style.house_style():
        if metrics["task"] == "classification":
            add("roc", lambda: plots.draw_roc(table, metrics))
            add("confusion", lambda: plots.draw_confusion(metrics))
            if metrics["auc_by_snr"]:
                add("auc_by_snr", lambda: plots.draw_auc_by_snr(metrics))
            add("calibration", lambda: plots.draw_reliability(metrics))
        else:
            limit = information_limit(metrics["data"]["spec_sha256"])
            measured = [("this model", metrics)]
            add("predicted_mass", lambda: plots.draw_predicted_mass(table, limit))
            add("rmse_by_mass", lambda: plots.draw_rmse_by_mass(measured, limit))
            if metrics["coverage"] is not None:
                add("calibration", lambda: plots.draw_coverage(metrics))
            if metrics.get("posterior") is not None:
                add("posterior_ranks", lambda: plots.draw_posterior_ranks(metrics))
        shifts = read_shifts(run)
        if shifts is not None:
            add("shifts", lambda: plots.draw_shifts(shifts))
        add("embedding", lambda: _draw_embedding(tested))
        if len(tested.worst):
            worst = table.iloc[tested.worst]
            beyond = optional.draw(
                "residuals", lambda: residuals(metrics["data"]["url"], worst, tested.worst_images)
            )
            add("mistakes", lambda: plots.draw_mistakes(tested.worst_images, worst, beyond))
        add("training", lambda: plots.draw_training(read_logs(run)))
    write_missing(folder, optional.missing)


def _draw_embedding(tested: Tested) -> Figure | None:
    mapped = map_embeddings(tested.embeddings)
    if mapped is None:
        return None
    return plots.draw_embedding(mapped, tested.table.iloc[tested.embedded])


def save(figure: Figure, path: Path) -> None:
    """Writes a plot as a PNG; the same plot is the same bytes."""
    figure.savefig(path, metadata={"Software": None})


def read_logs(run: Path) -> dict[str, pd.DataFrame]:
    """The log of each stage, in order; without stages that have no log."""
    files = {stage: run / LOGS / stage / "metrics.csv" for stage in STAGES}
    return {
        stage: pd.read_csv(file)
        for stage, file in files.items()
        if file.exists() and file.stat().st_size > 1
    }
