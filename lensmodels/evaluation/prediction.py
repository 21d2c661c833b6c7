"""New images: what a model says of them, and where its encoder puts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from astropy.io import fits
from numpy.typing import NDArray
from torch import Tensor

from lensmodels.data import CLASSES
from lensmodels.errors import DataError, LensmodelsError, UsageError
from lensmodels.evaluation import inference
from lensmodels.evaluation.metrics import local_scatter
from lensmodels.evaluation.summary import PROBABILITIES, true_log_mass
from lensmodels.runs import RunConfig, load_model, read_config

Images = NDArray[np.float32]

FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")
SPLITS = ("train", "test")
EMBEDDING_SUFFIXES = (".parquet", ".zarr")


def predict(
    run: Path,
    inputs: Sequence[str | Path],
    out: Path,
    *,
    device: str = "auto",
    batch_size: int = 512,
    average_symmetries: bool = False,
) -> pd.DataFrame:
    """Predicts the class or the axion mass of new images, and writes a CSV.

    Args:
        run: folder of a run that was trained.
        inputs: files .npy or FITS of one image, (height, width), or a stack, (n, height, width),
            in e-/s; or folders or URLs of archives.
        out: CSV to write: `source` and `index` of each image, and
            for classification `class`, the most probable one, and the probability of each;
            for the axion mass `log10_mass`, in log10(m / eV), and `log10_mass_sigma`, dex: the
            uncertainty that the model predicts or, where it predicts none, the scatter of the
            test images with predictions about as large.
        device: "auto", "cpu" or "gpu".
        batch_size: images at a time.
        average_symmetries: whether to take the mean over the eight symmetries of each image.

    Returns:
        The table that was written.

    Raises:
        UsageError: where there is no trained model, no input, or no such device.
        DataError: where an input cannot be read, has another size, or pixels that are no numbers.
    """
    run, out = Path(run), Path(out)
    if not inputs:
        raise UsageError("Name at least one file or archive to predict.")
    config = read_config(run)
    model = load_model(run, inference.choose_device(device), average_symmetries=average_symmetries)
    tables = []
    with inference.enough_memory(batch_size), torch.inference_mode():
        batches = _batches(inputs, config, model.encoder.num_pix, batch_size)
        for known, images in batches:
            outputs = model(images.to(_device_of(model), non_blocking=True))
            for name, values in model.task.predictions(outputs).items():
                known[name] = values.cpu().numpy()
            tables.append(pd.DataFrame(known))
    table = pd.concat(tables, ignore_index=True)
    if config.task.name == "classification":
        probable = table[PROBABILITIES].to_numpy().argmax(axis=1)
        table.insert(2, "class", np.array(CLASSES)[probable])
    elif "log10_mass_sigma" not in table:
        table = _with_tested_scatter(run, table)
    with _writing(out):
        table.to_csv(out, index=False)
    return table


def embed(
    run: Path,
    data: str,
    out: Path,
    *,
    device: str = "auto",
    batch_size: int = 512,
) -> Path:
    """Embeds every image of an archive, and writes the embeddings with what is known of each.

    With the finetuned encoder or, where a run was only pretrained, the pretrained one.

    Args:
        run: folder of a run.
        data: folder or URL of an archive.
        out: by its suffix, .parquet: one row an image, column `embedding` a list of float32; or
            .zarr: an xarray Dataset with `embedding` (image, feature). Both with split, sample,
            label, axion_mass (eV) and substructure_snr; parquet also with the name of the class,
            Zarr with what the values of its flags mean.
        device: "auto", "cpu" or "gpu".
        batch_size: images at a time.

    Returns:
        The path that was written.

    Raises:
        UsageError: where there is no trained encoder, or `out` has another suffix.
        DataError: where the archive cannot be read, or has images of another size.
    """
    run, out = Path(run), Path(out)
    if out.suffix not in EMBEDDING_SUFFIXES:
        raise UsageError(f"{out} must end in {' or '.join(EMBEDDING_SUFFIXES)}.")
    config = read_config(run)
    target = inference.choose_device(device)
    embedding_of, num_pix = inference.embedder(run, target)
    tables, embeddings = [], []
    with inference.enough_memory(batch_size), torch.inference_mode():
        for group, batch in _archive_batches(data, config, num_pix, batch_size):
            split, name = group.split("/")
            known: dict[str, Any] = {"split": split, "class": name}
            for key in ("sample", "label", "axion_mass", "substructure_snr"):
                known[key] = batch[key].cpu().numpy()
            tables.append(pd.DataFrame(known))
            embeddings.append(embedding_of(batch["image"].to(target)).float().cpu().numpy())
    table, stacked = pd.concat(tables, ignore_index=True), np.concatenate(embeddings)
    with _writing(out):
        (_write_parquet if out.suffix == ".parquet" else _write_zarr)(out, table, stacked)
    return out


def read_images(path: Path, num_pix: int) -> Images:
    """Images of a .npy or FITS file, float32, (n, num_pix, num_pix).

    Args:
        path: of the file. Of a FITS file, the first image extension that holds images of this
            size.
        num_pix: side of the images that the model takes, pixels.

    Raises:
        DataError: naming the file, what is wrong with it, and what is expected.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    read = _read_npy if path.suffix.lower() == ".npy" else _read_fits
    images = read(path, num_pix)
    bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"{path}: image {bad[0]} has {int((~np.isfinite(images[bad[0]])).sum())} pixels that "
            "are NaN or infinite; fill them in (with their neighbours' median, say) or leave that "
            "image out."
        )
    return images


def _read_npy(path: Path, num_pix: int) -> Images:
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise TypeError("several arrays")
    except (OSError, ValueError, EOFError, TypeError):
        # numpy's own words advise to unpickle it
        raise DataError(
            f"{path} is not an array of numbers in NumPy's format; write it with numpy.save, from "
            "an array whose dtype is not object."
        ) from None
    images = _as_stack(array, num_pix)
    if images is None:
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}; the model takes real numbers of "
            f"shape {_shapes(num_pix)}."
        )
    return images


def _read_fits(path: Path, num_pix: int) -> Images:
    found = []
    try:
        with fits.open(path, memmap=False) as extensions:
            for number, extension in enumerate(extensions):
                if not extension.is_image or extension.data is None:
                    continue
                images = _as_stack(extension.data, num_pix)
                if images is not None:
                    return images
                found.append(f"{extension.data.shape} in extension {number}")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is not a FITS file that can be read: {error}") from None
    raise DataError(
        f"{path} holds {' and '.join(found) or 'no image'}; the model takes an image of shape "
        f"{_shapes(num_pix)}: cut it out around the lens."
    )


def _as_stack(array: NDArray[Any], num_pix: int) -> Images | None:
    """The array as (n, num_pix, num_pix); None where it is not one of numbers, or of that size."""
    if array.dtype.kind not in "iuf" or array.ndim not in (2, 3) or not array.size:
        return None
    if array.shape[-2:] != (num_pix, num_pix):
        return None
    return np.asarray(array, dtype=np.float32).reshape(-1, num_pix, num_pix)


def _shapes(num_pix: int) -> str:
    return f"({num_pix}, {num_pix}) or (n, {num_pix}, {num_pix})"


def _batches(
    inputs: Sequence[str | Path], config: RunConfig, num_pix: int, batch_size: int
) -> Iterator[tuple[dict[str, Any], Tensor]]:
    """Where each image comes from, and the images, (b, 1, h, w), of every input in turn."""
    for given in inputs:
        name = str(given)
        if not name.lower().endswith((".npy", *FITS_SUFFIXES)):
            for group, batch in _archive_batches(name, config, num_pix, batch_size):
                source = f"{name.rstrip('/')}/{group}"
                yield {"source": source, "index": batch["sample"].cpu().numpy()}, batch["image"]
            continue
        images = read_images(Path(given), num_pix)
        for start in range(0, len(images), batch_size):
            part = torch.from_numpy(images[start : start + batch_size])[:, None]
            yield {"source": name, "index": np.arange(start, start + len(part))}, part


def _archive_batches(
    url: str, config: RunConfig, num_pix: int, batch_size: int
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Group and batch, of every image of an archive in order."""
    total = sum(group.count for group in inference.read_manifest(url).groups)
    if not total:
        raise DataError(f"{url} holds no complete group yet: run `lenssim generate` first.")
    with inference.progress(total, url) as bar:
        for group, batches in inference.whole_archive(url, config, num_pix, batch_size):
            for batch in batches:
                yield group, batch
                bar.update(len(batch["image"]))


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


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Makes the folder of a file, and turns errors of the file system into one sentence."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise LensmodelsError(f"{out} cannot be written: {reason}.") from None


def _write_parquet(out: Path, table: pd.DataFrame, embeddings: NDArray[np.float32]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            "Writing parquet needs pyarrow; install it, or let --out end in .zarr."
        ) from None
    columns = pa.Table.from_pandas(table, preserve_index=False)
    flat = pa.array(embeddings.ravel())
    lists = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    parquet.write_table(columns.append_column("embedding", lists), out)


def _write_zarr(out: Path, table: pd.DataFrame, embeddings: NDArray[np.float32]) -> None:
    import xarray as xr

    variables: dict[str, Any] = {"embedding": (("image", "feature"), embeddings)}
    for name in ("sample", "axion_mass", "substructure_snr"):
        variables[name] = ("image", table[name].to_numpy())
    # strings have no settled form in Zarr 3; flags, as in the archive, do
    for name, values, meanings in (
        ("split", table["split"], SPLITS),
        ("label", table["class"], CLASSES),
    ):
        flags = {"flag_values": list(range(len(meanings))), "flag_meanings": " ".join(meanings)}
        variables[name] = ("image", values.map(meanings.index).to_numpy(np.int8), flags)
    xr.Dataset(variables).to_zarr(out, mode="w", zarr_format=3, consolidated=False)
