"""The columns of an archive: the one place that says what each variable is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from lenssim.archive.column import BASE_COLUMNS, Column
from lenssim.archive.optional_columns import OPTIONAL_COLUMNS
from lenssim.spec import CLASSES, UNLABELLED, SubstructureClass

COORDINATES = ("sample", "y", "x")

Format = Literal["zarr", "webdataset"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""What the images of a group are stored as: a Zarr group, WebDataset shards, or both."""

FORMAT_VERSION = "1.0"
"""Version of the layout on disk: the names, shapes and meaning of everything in an archive."""

UNKNOWN_UNITS = "unknown"
"""Units of imported images: those of their source, which does not say."""


COLUMNS: tuple[Column, ...] = (*BASE_COLUMNS, *OPTIONAL_COLUMNS)


def columns_of(
    substructure_class: SubstructureClass, extra: Iterable[str] = ()
) -> tuple[Column, ...]:
    """The columns of a class's groups, in the order of the schema.

    Args:
        substructure_class: of the groups.
        extra: names of the optional columns that they have.
    """
    held = (*BASE_COLUMNS, *(column for column in OPTIONAL_COLUMNS if column.name in set(extra)))
    return tuple(
        column
        for column in held
        if substructure_class in column.classes
        or (substructure_class == UNLABELLED and column.classes == CLASSES)
    )
