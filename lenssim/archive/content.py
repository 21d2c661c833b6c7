"""What the groups of an archive hold, whether in Zarr or in WebDataset shards alone.

Columns of one number an image are also tables in CSV, for tools that do not read Zarr: Croissant
readers and the Hugging Face viewer iterate CSV and not Zarr. CSV needs no library to write, and its
bytes do not depend on a library's version, as those of Parquet do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.manifest import SHARDS, GroupRecord, Manifest
from lenssim.archive.reader import Archive

INDEX = "sample"

SNR_PERCENTILES = (5, 50, 95)
"""Shares of the images of a group, in percent, whose S/N is below what cards and commands show."""

BLOCK_ROWS = 8192
"""Images whose columns are read at once, or those of one shard where it holds more."""


def shard_paths(manifest: Manifest, group: GroupRecord) -> list[str]:
    """Paths of the WebDataset shards of a group, in their order; none if it has none."""
    return sorted(path for path in manifest.files_of(f"{SHARDS}/{group.name}-"))


def scalar_blocks(
    archive: Archive, group: GroupRecord, names: Sequence[str]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Columns that hold one number an image, block after block of whole shards.

    Args:
        archive: opened.
        group: which it holds.
        names: of the columns, or `INDEX`.

    Returns:
        An iterator of columns by name, each of shape (images of the block,).
    """
    if "zarr" in group.formats:
        dataset = archive.dataset(group.split, group.substructure_class)[list(names)]
        rows = max(BLOCK_ROWS // group.shard_size, 1) * group.shard_size
        for start in range(0, group.count, rows):
            block = archive.load(dataset.isel(sample=slice(start, start + rows)))
            yield {name: block[name].values for name in names}
        return
    kinds = {column.name: column.dtype for column in group.columns}
    for shard in range(group.shards):
        _, scalars = archive.read_shard(group, shard)
        yield {
            name: np.array(
                [np.nan if row[name] is None else row[name] for row in scalars],
                dtype=kinds.get(name, "int64"),
            )
            for name in names
        }


def snr_percentiles(archive: Archive, group: GroupRecord, name: str) -> NDArray[np.float64] | None:
    """The `SNR_PERCENTILES` of a column, NaN left out; None if a group has no value to compare.

    Args:
        archive: opened.
        group: which it holds.
        name: of a column that holds one number an image.
    """
    has_column = name in (column.name for column in group.columns)
    if group.substructure_class == "no_sub" or not has_column:
        return None
    blocks = scalar_blocks(archive, group, [name])
    values = np.concatenate([block[name] for block in blocks])
    values = values[np.isfinite(values)].astype(np.float64)
    return np.percentile(values, SNR_PERCENTILES) if values.size else None


def first_images(archive: Archive, group: GroupRecord, count: int) -> NDArray[np.float32]:
    """The first images of a group.

    Args:
        archive: opened.
        group: complete, in either format.
        count: images wanted; fewer come if the group, or its first WebDataset shard, holds fewer.

    Returns:
        e-/s, shape (n, y, x).
    """
    if "zarr" in group.formats:
        dataset = archive.dataset(group.split, group.substructure_class)[["image"]]
        return archive.load(dataset.isel(sample=slice(count)))["image"].values
    images, _ = archive.read_shard(group, 0)
    return images[:count]


TABLES = "columns"


def table_path(group: GroupRecord) -> str:
    """Path of a group's table in the archive, as in columns/train/cdm.csv."""
    return f"{TABLES}/{group.name}.csv"


def table_columns(group: GroupRecord) -> tuple[str, ...]:
    """Names of the columns of a group's table."""
    scalars = (column.name for column in group.columns if column.is_scalar)
    return (INDEX, *scalars)


def table(archive: Archive, group: GroupRecord) -> Iterator[bytes]:
    """A group's table, piece by piece.

    Yields:
        CSV with a header; numbers have as many digits as it takes to read the same number back,
        and NaN is empty.
    """
    names = table_columns(group)
    yield (",".join(names) + "\n").encode()
    for columns in scalar_blocks(archive, group, names):
        rows = zip(*map(_texts, columns.values()), strict=True)
        yield ("\n".join(map(",".join, rows)) + "\n").encode()


def _texts(values: NDArray[Any]) -> list[str]:
    """Shortest text of each number that reads back as itself, empty for NaN."""
    if values.dtype.kind != "f":
        return list(map(str, values.tolist()))
    # Python's floats are doubles, for which it has the same text as numpy, in a tenth of the time
    is_double = values.dtype.itemsize == 8
    texts = map(repr, values.tolist()) if is_double else map(str, values.astype(str))
    return ["" if text == "nan" else text for text in texts]
