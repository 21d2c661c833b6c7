"""What predict and embed write: recognised when it is there, and written whole."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from lensmodels.data import GROUP_CLASSES
from lensmodels.data.settings import LABELS
from lensmodels.errors import LensmodelsError, UsageError
from lenssim.storage.atomic import replacing

if TYPE_CHECKING:
    import pandas as pd

PREDICTION_SUFFIXES = (".csv", ".parquet")
EMBEDDING_SUFFIXES = (".parquet", ".zarr")
SPLITS = ("train", "test")

_LONGEST_HEADER = 4096
"""Characters of a CSV file that are read to recognise it."""

_EMBEDDED = ("split", "label", "sample", "axion_mass", "substructure_snr", "embedding")


def is_prediction(path: Path) -> bool:
    """Whether a path is a file that `predict` wrote, by its columns."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".parquet":
        names = _parquet_columns(path)
    else:
        with path.open(newline="") as file:
            names = next(csv.reader([file.readline(_LONGEST_HEADER)]), [])
    has_result = "class" in names or "log10_mass" in names
    return names[:2] == ["source", "index"] and has_result


def is_embedding(path: Path) -> bool:
    """Whether a path is a file or Zarr group that `embed` wrote, by what it holds."""
    if path.suffix.lower() == ".parquet":
        return path.is_file() and {*_EMBEDDED, "class"} <= set(_parquet_columns(path))
    if not path.is_dir() or {entry.name for entry in path.iterdir()} != {"zarr.json", *_EMBEDDED}:
        return False
    metadata = json.loads((path / "zarr.json").read_text())
    return isinstance(metadata, dict) and metadata.get("node_type") == "group"


def write_predictions(out: Path, table: pd.DataFrame) -> None:
    """Writes a table of predictions as CSV or parquet, by the suffix."""
    with written_whole(out) as part:
        if out.suffix.lower() == ".parquet":
            table.to_parquet(part, index=False)
        else:
            table.to_csv(part, index=False)


def write_embeddings(out: Path, table: pd.DataFrame, embeddings: NDArray[np.float32]) -> None:
    """Writes embeddings with the columns of their images; no half-written file is ever seen.

    Args:
        out: .parquet or .zarr, which decides the format.
        table: one row an image.
        embeddings: (n, features).
    """
    with written_whole(out) as part:
        (_write_parquet if out.suffix.lower() == ".parquet" else _write_zarr)(
            part, table, embeddings
        )


@contextmanager
def written_whole(out: Path) -> Iterator[Path]:
    """A place beside an output to write it at, which takes the output's place when all went well.

    Args:
        out: file, or folder if it ends in .zarr; its own folder is made.

    Raises:
        LensmodelsError: if it cannot be written.
    """
    try:
        with (_replacing_folder if out.suffix.lower() == ".zarr" else replacing)(out) as part:
            yield part
    except OSError as error:
        reason = error.strerror or str(error)
        raise LensmodelsError(f"{out} cannot be written: {reason}.") from None


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of a target if the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part, old = (target.with_name(f"{target.name}.{uuid4().hex}.partial") for _ in range(2))
    try:
        yield part
        if target.exists():  # a folder cannot be renamed over another
            target.rename(old)
        part.rename(target)
    finally:
        for folder in (part, old):
            shutil.rmtree(folder, ignore_errors=True)


def check_parquet(out: Path) -> None:
    """Refuses parquet before the work begins if what writes it is not installed.

    Raises:
        UsageError: saying what to do.
    """
    if out.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"{out}: writing parquet needs pyarrow; install it, or choose another --out."
        )


def _parquet_columns(path: Path) -> list[str]:
    from pyarrow import parquet

    return list(parquet.read_schema(path).names)


def _write_parquet(out: Path, table: pd.DataFrame, embeddings: NDArray[np.float32]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

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
        ("label", table["class"], GROUP_CLASSES),
    ):
        codes = LABELS if name == "label" else {each: n for n, each in enumerate(meanings)}
        flags = {
            "flag_values": [codes[each] for each in meanings],
            "flag_meanings": " ".join(meanings),
        }
        variables[name] = ("image", values.map(codes).to_numpy(np.int8), flags)
    xr.Dataset(variables).to_zarr(out, mode="w", zarr_format=3, consolidated=False)
