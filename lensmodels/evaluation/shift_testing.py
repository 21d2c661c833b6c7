"""Shift tests: how a model does on test sets that depart from its training in one thing each.

The images of a shift are simulated by the live source from the training specification with that
one change (`shifts`). Seed and sample indices are the same for every shift and every run, so that
two sets of a specification differ in the shift alone, and two runs are tested on the same images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lensmodels.data import ImageContract, InstrumentFacts
from lensmodels.data.live_source import columns_of, without_refit
from lensmodels.data.source import COLUMN_TYPES, Columns
from lensmodels.devices import choose_device
from lensmodels.errors import DataError
from lensmodels.evaluation import inference, metrics
from lensmodels.evaluation.calibration import INTERVAL_COLUMNS, load_calibration
from lensmodels.evaluation.inference import ImageGuard
from lensmodels.evaluation.kept_tensors import model_hash
from lensmodels.evaluation.out_of_distribution import NoveltyCheck, load_home_scores
from lensmodels.evaluation.requests import check_shifts
from lensmodels.evaluation.shifts import SHIFTS, Shift
from lensmodels.evaluation.summary import (
    classes_of,
    log_mass_error,
    probabilities_of,
    true_columns,
    true_log_mass,
)
from lensmodels.evaluation.testing import ScoreOptions
from lensmodels.model import LensModel
from lensmodels.runs import load_model
from lensmodels.runs.folder import SHIFTS_CSV, SHIFTS_JSON
from lensmodels.startup import announce
from lensmodels.statistics import bootstrap
from lensmodels.statistics.auc import macro_auc
from lensmodels.tasks import TaskName
from lenssim.errors import LenssimError
from lenssim.spec import Specification, SubstructureClass
from lenssim.storage.atomic import replacing

SEED = 0
"""Of the images of all shifts."""

FIRST_SAMPLE = 2**34
"""Sample index of the first image of a class, beyond those of any archive or training."""

_BATCH = 256
"""Images that are simulated at a time."""


@dataclass(frozen=True)
class ShiftedImages:
    """Images of a shift.

    Attributes:
        images: e-/s, (n, height, width).
        columns: what is known of them, by name, each (n,).
    """

    images: NDArray[np.float32]
    columns: Columns


def simulate(
    spec: Specification,
    classes: Sequence[SubstructureClass],
    count: int,
    *,
    workers: int = 0,
) -> ShiftedImages:
    """Simulates the images of a shift, the same every time.

    Args:
        spec: of the images.
        classes: of the images, which take turns.
        count: images of each class.
        workers: processes that simulate; 0 does it in this one.

    Raises:
        LenssimError: if the specification gives no images, as no lens passes its selection.
    """
    from lenssim.live import live_source

    total = count * len(classes)
    images: list[NDArray[np.float32]] = []
    columns: list[Columns] = []
    with live_source(
        without_refit(spec),
        classes,
        batch_size=min(_BATCH, total),
        workers=workers if total > _BATCH else 0,
        seed=SEED,
        split="test",
        first_index=FIRST_SAMPLE,
        phase=announce,
    ) as source:
        for batch in source:
            images.append(batch.images)
            columns.append(columns_of(batch.columns, COLUMN_TYPES, len(batch)))
            if sum(map(len, images)) >= total:
                break
    joined = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    return ShiftedImages(
        np.concatenate(images)[:total], {name: values[:total] for name, values in joined.items()}
    )


def measure_shifts(
    run: Path,
    count: int,
    *,
    out: Path,
    data: str | None = None,
    shifts: Sequence[Shift] = SHIFTS,
    **options: Unpack[ScoreOptions],
) -> dict[str, Any]:
    """Tests a run on every shift, and writes OUT/shifts.json and OUT/shifts.csv.

    Args:
        run: folder of a run that was trained on simulated images.
        count: images of each class and shift.
        out: folder, which exists.
        data: folder or URL of the archive whose specification the shifts depart from; that of the
            training if not given.
        shifts: to test, the first of them none, for comparison.
        options: of `score`.

    Returns:
        The content of shifts.json: "rows", one a shift, and "left_out", the reason for each shift
        that the specification does not allow.

    Raises:
        UsageError: if the run has no model or sees residuals.
        DataError: if the archive cannot be read or has no specification, or its images cannot be
            simulated.
    """
    config, spec = check_shifts(run, data)
    model = load_model(
        run,
        choose_device(options.get("device", "auto")),
        average_symmetries=options.get("average_symmetries", False),
    )
    batch_size, seed = options.get("batch_size", 512), options.get("seed", 0)
    workers = config.data.workers if config.data.workers > 1 else 0
    tester = _Tester(run, model, ImageGuard(config).contract, batch_size, seed)
    try:
        home = simulate(spec, model.task.classes, count, workers=workers)
    except LenssimError as error:
        raise DataError(str(error)) from None
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with inference.progress(len(shifts) * len(home.images), "shifted images") as bar:
        for shift in shifts:
            bar.update(len(home.images))
            try:
                shifted = shift.specification(spec)
                if shifted is None:
                    continue
                given = home
                if shifted != spec:
                    given = simulate(shifted, model.task.classes, count, workers=workers)
            except LenssimError as error:
                left_out[shift.name] = str(error)
                continue
            if shift.pixels is not None:
                given = replace(given, images=shift.pixels(given.images, spec))
            row = tester.row(given, shifted, has_lens=shift.has_lens)
            rows.append({"shift": shift.name, **row})
    found = {
        "model_sha256": model_hash(run),
        "task": model.task.name,
        "specification": {"name": spec.name, "sha256": spec.sha256},
        "images_per_class": count,
        "rows": rows,
        "left_out": left_out,
    }
    with replacing(out / SHIFTS_JSON) as scratch:
        scratch.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    with replacing(out / SHIFTS_CSV) as scratch:
        pd.DataFrame([_flat(row) for row in rows]).to_csv(scratch, index=False)
    return found


def read_shifts(folder: Path) -> dict[str, Any] | None:
    """What `measure_shifts` wrote into a folder; None if it holds none."""
    try:
        return json.loads((folder / SHIFTS_JSON).read_text())
    except (OSError, ValueError):
        return None


def remove_stale_shifts(folder: Path, run: Path) -> None:
    """Removes the shift tests of a folder if they are not of the model that a run holds."""
    found = read_shifts(folder)
    if found is not None and found.get("model_sha256") != model_hash(run):
        for name in (SHIFTS_JSON, SHIFTS_CSV):
            (folder / name).unlink(missing_ok=True)


class _Tester:
    """What a model makes of the images of a shift.

    Args:
        run: folder of the run.
        model: of the run, in evaluation mode.
        contract: what the training images are; None if the run does not say it.
        batch_size: images at a time.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        run: Path,
        model: LensModel,
        contract: ImageContract | None,
        batch_size: int,
        seed: int,
    ) -> None:
        self._model, self._contract = model, contract
        self._batch_size, self._seed = batch_size, seed
        self._novelty = NoveltyCheck(model, load_home_scores(run))
        self._calibration = load_calibration(run, model.task)

    def row(self, given: ShiftedImages, spec: Specification, *, has_lens: bool) -> dict[str, Any]:
        """Scores and shares of the images of a shift.

        Args:
            given: the images.
            spec: that they are of.
            has_lens: whether they show lenses.
        """
        table = self._predict(given)
        facts = InstrumentFacts.of_instrument(spec.instrument)
        is_stated = bool(self._contract and self._contract.differences(facts))
        return {
            "images": len(table),
            **_scores(self._model.task.name, table, has_lens=has_lens, seed=self._seed),
            **_flagged(table, is_stated=is_stated),
        }

    @torch.inference_mode()
    def _predict(self, given: ShiftedImages) -> pd.DataFrame:
        """Labels, predictions and novelty, one row an image."""
        model = self._model
        device = next(model.parameters()).device
        parts = []
        with inference.enough_memory(self._batch_size):
            for start in range(0, len(given.images), self._batch_size):
                rows = slice(start, start + self._batch_size)
                images = torch.from_numpy(given.images[rows])[:, None].to(device)
                features = model.embed(images)
                columns: dict[str, Any] = {
                    name: given.columns[name][rows] for name in ("label", "axion_mass")
                }
                columns |= self._calibration.predictions(model.task, model.head(features))
                columns |= self._novelty.columns(images, features, {})
                parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)


def _scores(task: TaskName, table: pd.DataFrame, *, has_lens: bool, seed: int) -> dict[str, Any]:
    """Score, its interval and calibration of predictions; None where no answer is right."""
    if task == "axion-mass":
        return _mass_scores(table, has_lens=has_lens, seed=seed)
    labels, probabilities = true_columns(table), probabilities_of(table)
    chosen, counts = np.unique(probabilities.argmax(axis=1), return_counts=True)
    score, ends, error = None, None, None
    if has_lens:
        score = macro_auc(labels, probabilities)
        error = metrics.reliability(labels, probabilities).expected_calibration_error
    if score is not None:
        statistic = bootstrap.weighted_macro_auc(labels, probabilities)
        ends = bootstrap.intervals([statistic], labels, seed=seed)[0].as_list()
    return {
        "macro_auc": score,
        "ci95": ends,
        "expected_calibration_error": error,
        "mean_probability": float(probabilities.max(axis=1).mean()),
        "most_frequent_class": classes_of(table)[chosen[counts.argmax()]],
        "share_of_that_class": float(counts.max() / counts.sum()),
    }


def _mass_scores(table: pd.DataFrame, *, has_lens: bool, seed: int) -> dict[str, Any]:
    """RMSE and its interval, and coverage and width of the 90% intervals if there are any."""
    score, ends, coverage, width = None, None, None, None
    if has_lens:
        error = log_mass_error(table)
        score = float(np.sqrt(np.mean(error**2)))
        strata = np.zeros(len(error), np.int64)
        [interval] = bootstrap.intervals([bootstrap.weighted_rms(error)], strata, seed=seed)
        ends = interval.as_list()
    if INTERVAL_COLUMNS[0] in table:
        low, high = (table[name].to_numpy(np.float64) for name in INTERVAL_COLUMNS)
        width = float(np.mean(high - low))
        if has_lens:
            true = true_log_mass(table)
            coverage = float(np.mean((low <= true) & (true <= high)))
    return {"rmse_dex": score, "ci95": ends, "coverage_90": coverage, "mean_width_dex": width}


def _flagged(table: pd.DataFrame, *, is_stated: bool) -> dict[str, float | None]:
    """Shares of images outside what the model knows; None if the run cannot tell.

    Args:
        table: predictions.
        is_stated: whether what the specification states of its instrument contradicts the training
            images, so that `predict` flags every image of such an archive.
    """
    if "in_distribution" not in table:
        return {"flagged": None, "flagged_by_pixels": None, "median_novelty": None}
    by_pixels = float((~table["in_distribution"].to_numpy(bool)).mean())
    return {
        "flagged": 1.0 if is_stated else by_pixels,
        "flagged_by_pixels": by_pixels,
        "median_novelty": float(table["novelty"].median()),
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the ends of its interval as two columns."""
    low, high = row["ci95"] or (None, None)
    flat = {name: value for name, value in row.items() if name != "ci95"}
    return flat | {"ci95_low": low, "ci95_high": high}
