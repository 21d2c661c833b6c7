"""New images: what a model says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lensmodels.devices import choose_device
from lensmodels.evaluation import inference
from lensmodels.evaluation.inference import ImageGuard
from lensmodels.evaluation.metrics import local_scatter
from lensmodels.evaluation.outputs import write_predictions
from lensmodels.evaluation.requests import check_prediction
from lensmodels.evaluation.summary import classes_of, probabilities_of, true_log_mass
from lensmodels.image_files import Input, InputKind, read_images
from lensmodels.runs import RunConfig, load_model


def predict(
    run: Path,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    hdu: str | int | None = None,
    device: str = "auto",
    batch_size: int = 512,
    average_symmetries: bool = False,
    cache_dir: Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Predicts the class or the axion mass of new images, and writes a table.

    Images are held against the contract that the run keeps: a FITS header that contradicts it is
    refused, and images whose noise, sky level or brightness is far from that of the training set
    are named in the column `warnings` and counted on stderr.

    Args:
        run: folder of a run that was trained.
        inputs: files or URLs of one image, (height, width), or a stack, (n, height, width), in
            e-/s: FITS, .npy, or .npz of one array; or folders or URLs of archives.
        out: .csv or .parquet to write: `source` and `index` of each image, and
            for classification `class`, the most probable one, and the probability of each;
            for the axion mass `log10_mass`, in log10(m / eV), and `log10_mass_sigma`, dex: the
            uncertainty that the model predicts or, where it predicts none, the scatter of the
            test images with predictions about as large;
            and `warnings`, in which an image is unlike the training set, empty if in nothing.
        hdu: EXTNAME or number of the extension of FITS files to read; if not given, the one
            called SCI, or the only one that can be the image.
        device: "auto", "cpu" or "gpu".
        batch_size: images at a time.
        average_symmetries: whether to take the mean over the eight symmetries of each image.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.
        overwrite: whether an earlier output of `predict` may be replaced.

    Returns:
        The table that was written.

    Raises:
        UsageError: where there is no trained model, no input, or no such device, or `out` has
            another suffix or holds something else.
        DataError: where an input cannot be read, contradicts the contract, has another size, or
            pixels that are no numbers.
    """
    run, out = Path(run), Path(out)
    config, sources = check_prediction(run, inputs, out, hdu=hdu, overwrite=overwrite)
    model = load_model(run, choose_device(device), average_symmetries=average_symmetries)
    guard = ImageGuard(config)
    tables = []
    with inference.enough_memory(batch_size), torch.inference_mode():
        for known, images, warned in _batches(
            sources, guard, config, model.encoder.num_pix, batch_size, hdu, cache_dir
        ):
            outputs = model(images.to(_device_of(model), non_blocking=True))
            for name, values in model.task.predictions(outputs).items():
                known[name] = values.cpu().numpy()
            tables.append(pd.DataFrame({**known, "warnings": warned}))
    table = pd.concat(tables, ignore_index=True)
    if config.task.name == "classification":
        probable = probabilities_of(table).argmax(axis=1)
        table.insert(2, "class", np.array(classes_of(table))[probable])
    elif "log10_mass_sigma" not in table:
        table = _with_tested_scatter(run, table)
    table["warnings"] = table.pop("warnings")  # behind what was predicted
    write_predictions(out, table)
    guard.report(str(run), str(out))
    return table


def _batches(
    sources: Sequence[Input],
    guard: ImageGuard,
    config: RunConfig,
    num_pix: int,
    batch_size: int,
    hdu: str | int | None,
    cache_dir: Path | None,
) -> Iterator[tuple[dict[str, Any], Tensor, list[str]]]:
    """Where images come from, the images, (b, 1, h, w), and their warnings, of every source."""
    for given in sources:
        name = given.name
        if given.kind is InputKind.ARCHIVE:
            for group, batch, warned in inference.guarded_archive(
                name, guard, config, num_pix, batch_size, cache_dir
            ):
                source = f"{name.rstrip('/')}/{group}"
                known = {"source": source, "index": batch["sample"].cpu().numpy()}
                yield known, batch["image"], warned
            continue
        of_file = hdu if given.kind is InputKind.FITS else None
        file = read_images(given, num_pix, guard.contract, hdu=of_file)
        for text in file.notes:
            guard.note(name, text)
        for start in range(0, len(file.images), batch_size):
            part = torch.from_numpy(file.images[start : start + batch_size])[:, None]
            index = np.arange(start, start + len(part))
            warned = guard.check(name, index.tolist(), part)
            yield {"source": name, "index": index}, part, warned


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
