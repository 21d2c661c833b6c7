"""New images: what a model says of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from lensmodels.data import CLASSES
from lensmodels.data.archives import read_archive
from lensmodels.devices import choose_device
from lensmodels.evaluation import inference
from lensmodels.evaluation.archive_scores import ArchiveScores, without_zero_point
from lensmodels.evaluation.calibration import load_calibration
from lensmodels.evaluation.image_scores import Scores
from lensmodels.evaluation.inference import ImageGuard
from lensmodels.evaluation.metrics import local_scatter
from lensmodels.evaluation.out_of_distribution import OUTSIDE, NoveltyCheck, load_home_scores
from lensmodels.evaluation.outputs import write_predictions
from lensmodels.evaluation.requests import check_prediction
from lensmodels.evaluation.summary import classes_of, probabilities_of, true_log_mass
from lensmodels.image_files import Input, InputKind, read_images
from lensmodels.runs import RunConfig, load_model, local_run
from lenssim.cutouts.settings import CutoutSettings


def predict(
    run: str | Path,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    hdu: str | int | None = None,
    settings: CutoutSettings | None = None,
    device: str = "auto",
    batch_size: int = 512,
    average_symmetries: bool = False,
    force: bool = False,
    cache_dir: Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Predicts the class or the axion mass of new images, and writes a table.

    FITS images are converted to what the contract of the run says of its training images (unit,
    zero point, pixel scale, north up), as `lenssim import-cutouts` does it. Images whose noise, sky
    level or brightness is far from that of the training set are named in the column `warnings` and
    counted on stderr. An image that is farther from the training images than all but a few
    validation images are has no prediction.

    Args:
        run: folder of a run that was trained, or URL of a published model.
        inputs: files or URLs of one image, (height, width), or a stack, (n, height, width), in
            e-/s: FITS, .npy, or .npz of one array; or folders or URLs of archives.
        out: .csv or .parquet to write: `source` and `index` of each image, and
            for classification `class`, the most probable one, the probability of each, and
            `set_90`, the classes among which the true one is with a probability of 90%;
            for the axion mass `log10_mass`, in log10(m / eV), and `log10_mass_sigma`, dex: the
            uncertainty that the model predicts or, where it predicts none, the scatter of the
            test images with predictions about as large, and `log10_mass_low_90` and
            `log10_mass_high_90`, between which the true one is with a probability of 90%;
            `in_distribution`, whether an image is of the kind that the model was trained on; its
            `novelty`, which is above 1 if it is not; the percentile of each score that this is
            judged by among the validation images, as in `percentile_noise`;
            and `warnings`, in which an image is unlike the training set, empty if in nothing.
        hdu: EXTNAME or number of the extension of FITS files to read; if not given, the one
            called SCI, or the only one that can be the image.
        settings: more on how images are found in files, and what headers do not say; `hdu` is one
            of them.
        device: "auto", "cpu" or "gpu".
        batch_size: images at a time.
        average_symmetries: whether to take the mean over the eight symmetries of each image.
        force: whether images outside what the model knows have predictions, too.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.
        overwrite: whether an earlier output of `predict` may be replaced.

    Returns:
        The table that was written.

    Raises:
        UsageError: if there is no trained model, no input, or no such device, or `out` has
            another suffix or holds something else.
        DataError: if an input cannot be read, cannot be converted, or has pixels that are no
            numbers.
    """
    run, out = local_run(run, cache_dir), Path(out)
    settings = settings or CutoutSettings()
    if hdu is not None:
        settings = replace(settings, hdu=str(hdu))
    config, sources = check_prediction(run, inputs, out, settings=settings, overwrite=overwrite)
    model = load_model(run, choose_device(device), average_symmetries=average_symmetries)
    guard = ImageGuard(config)
    calibration = load_calibration(run, model.task)
    check = NoveltyCheck(model, load_home_scores(run))
    predictions, judgements = [], []
    with inference.enough_memory(batch_size), torch.inference_mode():
        for batch in _batches(
            sources, guard, config, model.encoder.num_pix, batch_size, settings, cache_dir
        ):
            images = batch.images.to(_device_of(model), non_blocking=True)
            features = model.embed(images)
            predicted = calibration.predictions(model.task, model.head(features))
            predictions.append(pd.DataFrame(batch.known | predicted))
            judged = check.columns(images, features, batch.stated, contradicted=batch.contradicted)
            judgements.append(pd.DataFrame(judged | {"warnings": batch.warnings}))
    table = pd.concat(predictions, ignore_index=True)
    if config.task.name == "classification":
        probable = probabilities_of(table).argmax(axis=1)
        table.insert(2, "class", np.array(classes_of(table))[probable])
    elif "log10_mass_sigma" not in table:
        table = _with_tested_scatter(run, table)
    predicted_columns = [str(name) for name in table if name not in ("source", "index")]
    table = table.join(pd.concat(judgements, ignore_index=True))
    if not force and "in_distribution" in table:
        table = _without_outside(table, predicted_columns)
    write_predictions(out, table)
    guard.report(str(run), str(out))
    for line in check.sentences(str(run), forced=force):
        tqdm.write(line, file=sys.stderr)
    return table


def _without_outside(table: pd.DataFrame, predicted: Sequence[str]) -> pd.DataFrame:
    """A table whose images outside what the model knows have no prediction."""
    outside = ~table["in_distribution"]
    emptied = {name: table[name].mask(outside) for name in predicted}
    if "class" in emptied:
        emptied["class"] = table["class"].mask(outside, OUTSIDE)
    return table.assign(**emptied)


@dataclass(frozen=True)
class _Batch:
    """Images to predict.

    Attributes:
        known: where each is from: source and index.
        images: raw, e-/s, (n, 1, height, width).
        warnings: of each, (n,).
        stated: scores that are no measure of their pixels, each (n,), where there are any.
        contradicted: whether what is stated of them contradicts the training images.
    """

    known: dict[str, Any]
    images: Tensor
    warnings: list[str]
    stated: Scores
    contradicted: bool = False


def _batches(
    sources: Sequence[Input],
    guard: ImageGuard,
    config: RunConfig,
    num_pix: int,
    batch_size: int,
    settings: CutoutSettings,
    cache_dir: Path | None,
) -> Iterator[_Batch]:
    """The images of every source."""
    for given in sources:
        name = given.name
        if given.kind is InputKind.ARCHIVE:
            archive = read_archive(name)
            stated = ArchiveScores(archive, config.data.input)
            contradicted = bool(guard.differences(archive.manifest))
            classes = {group.substructure_class for group in archive.manifest.groups}
            others = sorted(classes & set(CLASSES) - set(config.task.classes))
            if config.task.name == "axion-mass" and others:
                guard.note(
                    name,
                    f"images of {' and '.join(others)} are given a mass as if they had a vortex: "
                    "the model knows no others",
                )
            if count := without_zero_point(archive):
                guard.note(
                    name,
                    f"{count:,} images have no known zero point: their e-/s are taken to be those "
                    "of the training images",
                )
            for group, batch, warned in inference.guarded_archive(
                name, guard, config, num_pix, batch_size, cache_dir
            ):
                source = f"{name.rstrip('/')}/{group}"
                index = batch["sample"].cpu().numpy()
                held = stated.of([group] * len(warned), index.tolist())
                known = {"source": source, "index": index}
                yield _Batch(known, batch["image"], warned, held, contradicted)
            continue
        file = read_images(given, num_pix, guard.contract, settings=settings)
        for text in file.notes:
            guard.note(name, text)
        for start in range(0, len(file.images), batch_size):
            part = torch.from_numpy(file.images[start : start + batch_size])[:, None]
            index = np.arange(start, start + len(part))
            warned = guard.check(name, index.tolist(), part)
            held = {score: values[index] for score, values in file.stated.items()}
            yield _Batch({"source": name, "index": index}, part, warned, held)


def _device_of(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def _with_tested_scatter(run: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The table with log10_mass_sigma from the run's test; as it is where it was not tested."""
    file = run / "predictions.csv"
    if not file.exists():
        return table
    tested = pd.read_csv(file)
    sigma = local_scatter(
        table["log10_mass"].to_numpy(), tested["log10_mass"].to_numpy(), true_log_mass(tested)
    )
    return table.assign(log10_mass_sigma=sigma)
