"""Columns that hold one number an image, as CSV: for tools that do not read Zarr.

Croissant readers and the Hugging Face viewer can iterate CSV and not Zarr; CSV needs no library
to write, and its bytes do not depend on one's version, as those of Parquet do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from lenssim.archive.content import INDEX, scalar_blocks
from lenssim.archive.manifest import GroupRecord
from lenssim.archive.reader import Archive

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
