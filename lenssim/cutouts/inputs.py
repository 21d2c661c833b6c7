"""From files, folders and tables to the cutouts that are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from lenssim.cutouts.settings import Centre, parse_angle
from lenssim.errors import ImportFileError, UsageError

IMAGE_FILE = re.compile(r"\.((fits|fit|fts)(\.(gz|bz2|fz))?|npy(\.(gz|bz2))?|npz)$", re.IGNORECASE)
TABLE_FILE = re.compile(r"\.(csv|ecsv|tsv|txt)$", re.IGNORECASE)

_NAMES = {
    "file": ("file", "filename", "path", "image"),
    "ra": ("ra", "right_ascension", "ra_deg", "raj2000"),
    "dec": ("dec", "declination", "dec_deg", "dej2000"),
    "x": ("x",),
    "y": ("y",),
    "noise": ("noise", "rms"),
    "mask": ("mask",),
    "psf": ("psf",),
}
"""Columns of a table that are read, by the names that they may have."""


def find_requests(
    inputs: Sequence[str | os.PathLike[str]],
    positions: str | os.PathLike[str] | None = None,
) -> list[Any]:
    """The cutouts that inputs ask for, in a fixed order.

    Args:
        inputs: image files, folders of them, URLs of files, or tables with a column `file` and, if
            wanted, `ra` and `dec` (degrees) or `x` and `y` (pixels from 0), `noise`, `mask` and
            `psf`. Paths in a table are relative to its folder.
        positions: table with `ra` and `dec`, or `x` and `y`, of cutouts in each input.

    Returns:
        Requests of `lenssim.cutouts.reading`.

    Raises:
        UsageError: if there is no input, or it is of no format that is read.
        ImportFileError: if a table cannot be read.
    """
    from lenssim.cutouts.reading import planes_of

    if not inputs:
        raise UsageError("Name at least one file, folder or table of images to import.")
    requests = [request for given in inputs for request in _of_input(os.fspath(given))]
    if positions is not None:
        centres = [each.centre for each in _of_table(str(positions), needs_file=False)]
        requests = [replace(request, centre=centre) for request in requests for centre in centres]
    return [plane for request in requests for plane in planes_of(request)]


def _of_input(given: str) -> Iterator[Any]:
    from lenssim.cutouts.reading import Request

    if not given.strip():
        raise UsageError("An input is empty: name a file, a folder or a table.")
    if "://" in given:
        _check_format(given)
        yield Request(given)
        return
    path = Path(given)
    if path.is_dir():
        if (path / "archive.json").is_file():
            raise UsageError(f"{given} is an archive already: name the folder of the image files.")
        files = sorted(file for file in path.rglob("*") if file.is_file() and _is_image(file.name))
        if not files:
            raise UsageError(f"{given} is a directory without .fits, .npy or .npz files.")
        for file in files:
            yield Request(str(file))
        return
    if not path.exists():
        raise UsageError(f"{given} does not exist.")
    if TABLE_FILE.search(path.name):
        yield from _of_table(given, needs_file=True)
        return
    _check_format(given)
    yield Request(given)


def _is_image(name: str) -> bool:
    return IMAGE_FILE.search(name) is not None


def _check_format(given: str) -> None:
    name = PurePosixPath(given.partition("?")[0] if "://" in given else given).name
    if not _is_image(name):
        raise UsageError(
            f"{given} is of a format that is not read: images are FITS (.fits, also .gz, .bz2, "
            ".fz), .npy or .npz, and tables of them .csv or .ecsv."
        )


def _of_table(given: str, *, needs_file: bool) -> Iterator[Any]:
    """Requests of the rows of a table."""
    from lenssim.cutouts.reading import Request

    table = _read_table(given)
    held = {name.lower(): name for name in table.colnames}
    columns = {
        key: next((held[name] for name in names if name in held), None)
        for key, names in _NAMES.items()
    }
    if needs_file and columns["file"] is None:
        raise ImportFileError(
            f"{given} has no column file; it has {', '.join(table.colnames)}. Positions in one "
            "image are given by --positions."
        )
    pairs = [("ra", "dec"), ("x", "y")]
    has = [pair for pair in pairs if all(columns[name] is not None for name in pair)]
    if not needs_file and not has:
        raise ImportFileError(
            f"{given} has no columns ra and dec, or x and y; it has {', '.join(table.colnames)}."
        )
    folder = Path(given).parent
    for number, row in enumerate(table, 1):
        centre = None
        if has:
            first, second = has[0]
            centre = _position(given, number, first, row[columns[first]], row[columns[second]])
        file = _beside(folder, str(row[columns["file"]])) if needs_file else ""
        beside: dict[str, Any] = {
            key: _beside(folder, str(row[name]))
            for key in ("noise", "mask", "psf")
            if (name := columns[key]) is not None and str(row[name]).strip()
        }
        yield Request(file, centre, **beside)


def _read_table(given: str) -> Any:
    from astropy.table import Table

    try:
        kind = "ascii.ecsv" if given.lower().endswith(".ecsv") else "ascii.csv"
        if given.lower().endswith((".fits", ".fit")):
            kind = "fits"
        if given.lower().endswith(".tsv"):
            kind = "ascii.tab"
        table = Table.read(given, format=kind)
    except Exception:  # astropy raises what its many readers do
        raise ImportFileError(f"{given} cannot be read as a table.") from None
    if len(table) == 0:
        raise ImportFileError(f"{given} has no rows.")
    return table


def _position(given: str, number: int, kind: str, first: Any, second: Any) -> Centre:
    if kind == "ra":
        x, y = parse_angle(str(first), is_hours=True), parse_angle(str(second))
    else:
        x, y = parse_angle(str(first)), parse_angle(str(second))
    if x is None or y is None:
        raise ImportFileError(f"{given}, row {number}: {first}, {second} is no position.")
    return Centre("sky" if kind == "ra" else "pixel", x, y)


def _beside(folder: Path, name: str) -> str:
    """A file that a table names: relative to the table's folder where it is there."""
    beside = folder / name
    return str(beside) if "://" not in name and beside.exists() else name
