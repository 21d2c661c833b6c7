"""Testing a run: every image of the test split once, and the metrics that it gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lensmodels.data import CLASSES, LensDataModule
from lensmodels.data.archives import read_archive
from lensmodels.devices import choose_device
from lensmodels.errors import LensmodelsError
from lensmodels.evaluation import inference
from lensmodels.evaluation.archive_scores import ArchiveScores
from lensmodels.evaluation.calibration import Calibration, load_calibration
from lensmodels.evaluation.held_out import keep_held_out
from lensmodels.evaluation.inference import ImageGuard
from lensmodels.evaluation.out_of_distribution import NoveltyCheck, load_home_scores
from lensmodels.evaluation.requests import check_test
from lensmodels.evaluation.summary import (
    classes_of,
    flagged,
    log_mass_error,
    probabilities_of,
    summarise,
    true_columns,
    unknown_columns,
)
from lensmodels.methods.supervision import supervision_of
from lensmodels.model import LensModel
from lensmodels.runs import RunConfig, load_model
from lensmodels.startup import announce
from lensmodels.tasks import TaskName
from lenssim.archive import Manifest
from lenssim.archive.card import data_fingerprint
from lenssim.storage.atomic import replacing

METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"

MAPPED = 3000
"""Images in the embedding map, at most: it costs seconds and shows no more with more."""

WORST = 12
"""Mistakes shown."""


@dataclass(frozen=True)
class Tested:
    """Predictions of a model for the test images, in the order of the archive.

    Attributes:
        table: columns of predictions.csv.
        embeddings: of the images in `embedded`, (m, features).
        embedded: their rows in the table, (m,).
        worst: rows of the worst mistakes, worst first, (k,).
        worst_images: these images, e-/s, (k, height, width).
    """

    table: pd.DataFrame
    embeddings: NDArray[np.float32]
    embedded: NDArray[np.int64]
    worst: NDArray[np.int64]
    worst_images: NDArray[np.float32]


class ScoreOptions(TypedDict, total=False):
    """Options of `score`, for the functions that pass them on."""

    device: str
    batch_size: int
    average_symmetries: bool
    seed: int
    cache_dir: Path | None


def score(
    run: Path,
    data: str | None = None,
    *,
    out: Path | None = None,
    device: str = "auto",
    batch_size: int = 512,
    average_symmetries: bool = False,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> tuple[Tested, dict[str, Any]]:
    """Tests a run, and writes its metrics.json and predictions.csv.

    Args:
        run: folder of a run that was trained.
        data: folder or URL of another archive than the one it was trained on.
        out: folder, which exists, that the files are written to; the run itself if None.
        device: "auto", "cpu" or "gpu".
        batch_size: images at a time.
        average_symmetries: whether to take the mean over the eight symmetries of each image.
        seed: of the bootstrap.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.

    Returns:
        The predictions, and the content of metrics.json.

    Raises:
        UsageError: if there is no trained model, or no such device.
        DataError: if the archive has no test images of the task, they cannot be read, or it does
            not state what the predictions are compared with.
        LensmodelsError: if the model predicts nothing that is a number.
    """
    run = Path(run)
    config, archive = check_test(run, data)
    url, manifest = data or config.data.test_url, archive.manifest
    spec = None if manifest.spec is None else archive.spec
    model = load_model(run, choose_device(device), average_symmetries=average_symmetries)
    guard = ImageGuard(config)
    keep_held_out(run, config, model, batch_size)
    calibration = load_calibration(run, model.task)
    tested = run_test(
        model,
        config,
        url,
        manifest,
        batch_size=batch_size,
        guard=guard,
        novelty=NoveltyCheck(model, load_home_scores(run)),
        calibration=calibration,
        cache_dir=cache_dir,
    )
    announce("computing scores and their intervals")
    metrics = {
        "task": config.task.name,
        "method": config.method,
        "pretraining": supervision_of(config.method, config.pretrain),
        "encoder": config.encoder.name,
        **_sizes(config),
        "n_test": len(tested.table),
        "average_symmetries": average_symmetries,
        **summarise(config.task.name, tested.table, spec, seed=seed),
        "calibration": calibration.measure(tested.table),
        "in_distribution": flagged(tested.table),
        "unknown": unknown_columns(tested.table),
        "data": describe_data(url, manifest),
        "version": config.version,
    }
    folder = run if out is None else Path(out)
    with replacing(folder / PREDICTIONS) as scratch:
        tested.table.to_csv(scratch, index=False)
    with replacing(folder / METRICS) as scratch:
        scratch.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    guard.report(str(run), str(folder / PREDICTIONS))
    return tested, metrics


def run_test(
    model: LensModel,
    config: RunConfig,
    url: str,
    manifest: Manifest,
    *,
    batch_size: int,
    guard: ImageGuard | None = None,
    novelty: NoveltyCheck | None = None,
    calibration: Calibration | None = None,
    cache_dir: Path | None = None,
) -> Tested:
    """Runs a model over the test split of an archive.

    Classes of the task that the archive has no test images of are left out.

    Args:
        model: that is tested.
        config: of its run.
        url: folder or URL of the archive.
        manifest: of the archive.
        batch_size: images at a time.
        guard: that looks at the images; a new one if not given.
        novelty: that compares them with the validation images, if they are to be.
        calibration: of the predictions, if there is one.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.

    Returns:
        Predictions, one row an image, and what they are scored by.

    Raises:
        LensmodelsError: if a prediction is not finite.
        UsageError, DataError: as of `open_data`.
    """
    classes = tuple(name for name in model.task.classes if manifest.group(f"test/{name}"))
    data = inference.open_data(
        url,
        manifest,
        classes,
        config,
        model.encoder.num_pix,
        batch_size,
        test_size=config.data.test_size,
        cache_dir=cache_dir,
    )
    announce(f"testing on {data.sizes['test']:,} images")
    guard = guard or ImageGuard(config)
    differences = guard.check_archive(url, manifest)
    with inference.enough_memory(batch_size):
        tested = _run(
            model,
            data,
            guard,
            differences,
            novelty or NoveltyCheck(model, None),
            calibration or Calibration(),
        )
    predicted = tested.table[list(_predicted(config.task.name, tested.table))]
    if not np.isfinite(predicted.to_numpy()).all():
        raise LensmodelsError(
            "The model predicts values that are not numbers: its training diverged; train it "
            "again with a lower --lr."
        )
    return tested


@torch.inference_mode()
def _run(
    model: LensModel,
    data: LensDataModule,
    guard: ImageGuard,
    differences: list[str],
    novelty: NoveltyCheck,
    calibration: Calibration,
) -> Tested:
    device = next(model.parameters()).device
    total = data.sizes["test"]
    every = max(1, -(-total // MAPPED))
    tables, embeddings, embedded = [], [], []
    keeper = _Worst(model.task.name)
    stated = ArchiveScores(read_archive(data.settings.url), data.settings.input)
    start = 0
    with inference.progress(total, "testing") as bar:
        for batch in data.test_dataloader():
            images = batch["image"]
            on_device = images.to(device, non_blocking=True)
            features = model.embed(on_device)
            columns = _columns(batch, data.groups)
            outputs = model.head(features)
            columns |= calibration.predictions(model.task, outputs)
            for name, values in model.task.diagnostics(outputs, batch).items():
                columns[name] = values.cpu().numpy()
            held = stated.of(_groups(batch, data.groups), batch["sample"].tolist())
            columns |= novelty.columns(on_device, features, held, contradicted=bool(differences))
            columns["warnings"] = _warnings(guard, data, batch, differences)
            tables.append(pd.DataFrame(columns))
            rows = np.arange(start, start + len(images))
            chosen = rows % every == 0
            embeddings.append(features.float().cpu().numpy()[chosen])
            embedded.append(rows[chosen])
            keeper.look(tables[-1], rows, images)
            start += len(images)
            bar.update(len(images))
    return Tested(
        pd.concat(tables, ignore_index=True),
        np.concatenate(embeddings),
        np.concatenate(embedded),
        keeper.rows,
        keeper.images,
    )


class _Worst:
    """The worst mistakes so far, and their images."""

    def __init__(self, task: TaskName) -> None:
        self.task = task
        self.badness: NDArray[np.float64] = np.empty(0)
        self.rows: NDArray[np.int64] = np.empty(0, np.int64)
        self.images: NDArray[np.float32] = np.empty((0, 0, 0), np.float32)

    def look(self, table: pd.DataFrame, rows: NDArray[np.int64], images: torch.Tensor) -> None:
        """Takes a batch into account: its predictions, its rows and its images, (n, 1, h, w)."""
        badness = _badness(self.task, table)
        bad = np.argsort(-badness, kind="stable")[:WORST]
        bad = bad[badness[bad] > 0]
        worst = images[torch.from_numpy(bad)][:, 0].cpu().numpy()
        held = worst if not len(self.images) else np.concatenate([self.images, worst])
        badness = np.concatenate([self.badness, badness[bad]])
        rows = np.concatenate([self.rows, rows[bad]])
        order = np.argsort(-badness, kind="stable")[:WORST]
        self.badness, self.rows, self.images = badness[order], rows[order], held[order]


def _badness(task: TaskName, table: pd.DataFrame) -> NDArray[np.float64]:
    """How wrong each prediction is, (n,): for a class, what it gave to others; 0 where right."""
    if task == "axion-mass":
        return np.abs(log_mass_error(table))
    labels, probabilities = true_columns(table), probabilities_of(table)
    wrong = probabilities.argmax(axis=1) != labels
    return np.where(wrong, 1 - probabilities[np.arange(len(table)), labels], 0.0)


def _columns(batch: Mapping[str, torch.Tensor], groups: list[str]) -> dict[str, Any]:
    """What is known of the images of a batch."""
    names = np.array([name.split("/") for name in _groups(batch, groups)])
    known = {"split": names[:, 0], "class": names[:, 1]}
    for key in ("sample", "label", "axion_mass", "substructure_snr", "substructure_snr_refit"):
        known[key] = batch[key].cpu().numpy()
    return known


def _groups(batch: Mapping[str, torch.Tensor], groups: list[str]) -> list[str]:
    """Group of each image of a batch, as in "test/cdm"."""
    return [groups[number] for number in batch["group"].tolist()]


def _warnings(
    guard: ImageGuard,
    data: LensDataModule,
    batch: Mapping[str, torch.Tensor],
    differences: list[str],
) -> list[str]:
    """Warnings of the images of a batch, which may be of several groups."""
    warnings = [""] * len(batch["image"])
    for number in batch["group"].unique().tolist():
        rows = torch.nonzero(batch["group"] == number).flatten()
        source = f"{data.settings.url.rstrip('/')}/{data.groups[number]}"
        index = batch["sample"][rows].tolist()
        texts = guard.check(source, index, batch["image"][rows], differences)
        for row, text in zip(rows.tolist(), texts, strict=True):
            warnings[row] = text
    return warnings


def _predicted(task: TaskName, table: pd.DataFrame) -> list[str]:
    if task == "classification":
        return [f"p_{name}" for name in classes_of(table)]
    return [name for name in ("log10_mass", "log10_mass_sigma") if name in table]


def _sizes(config: RunConfig) -> dict[str, int]:
    """Images that the run was trained on, and how many of their labels it used."""
    sizes = config.measured.sizes if config.measured else {}
    return {"n_train": sizes.get("train", 0), "n_labels": sizes.get("labelled", 0)}


def describe_data(url: str, manifest: Manifest) -> dict[str, Any]:
    """Which archive, and the fingerprint of its data."""
    return {
        "url": url,
        "model": manifest.name,
        "spec_sha256": manifest.spec_sha256,
        "seed": manifest.seed,
        "sha256": data_fingerprint(manifest),
        "classes": [name for name in CLASSES if manifest.group(f"test/{name}")],
    }
