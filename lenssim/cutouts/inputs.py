"""From files, folders and tables to the cutouts that are asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lenssim.cutouts.settings import Centre, CutoutSettings, parse_angle
from lenssim.errors import ImportFileError, UsageError

if TYPE_CHECKING:
    from lenssim.cutouts.reading import Request

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
    *,
    settings: CutoutSettings | None = None,
    num_pix: int = 0,
) -> list[Request]:
    """The cutouts that inputs ask for, in a fixed order.

    Args:
        inputs: image files, folders of them, URLs of files, or tables with a column `file` and, if
            wanted, `ra` and `dec` (degrees) or `x` and `y` (pixels from 0), `noise`, `mask` and
            `psf`. Paths in a table are relative to its folder.
        positions: table with `ra` and `dec`, or `x` and `y`, of cutouts in the inputs, and if
            wanted `file`, the input of each. Without it, `ra` and `dec` are looked for in all
            inputs, and `x` and `y` taken in every one.
        settings: band or HDU of the images that `ra` and `dec` are looked for in.
        num_pix: side of the cutouts, pixels.

    Returns:
        A request of every cutout.

    Raises:
        UsageError: if there is no input, or it is of no format that is read.
        ImportFileError: if a table cannot be read, or an image in which positions are looked for.
    """
    from lenssim.cutouts.reading import planes_of

    if not inputs:
        raise UsageError("Name at least one file, folder or table of images to import.")
    requests = [request for given in inputs for request in _of_input(os.fspath(given))]
    if positions is not None:
        rows = list(_of_table(str(positions), needs_file=False))
        own = settings or CutoutSettings()
        requests = list(_at_positions(str(positions), requests, rows, own, num_pix))
    return [plane for request in requests for plane in planes_of(request)]


def _at_positions(
    table: str,
    images: Sequence[Request],
    rows: Sequence[Request],
    settings: CutoutSettings,
    num_pix: int,
) -> Iterator[Request]:
    """The cutouts that the rows of a table of positions ask for.

    Args:
        table: its name, for messages.
        images: requests of the inputs.
        rows: of the table, with a centre, and with the file if the row names one.
        settings: band or HDU.
        num_pix: side of the cutouts.

    Raises:
        UsageError: if a row names no image, or several.
    """
    by_file = {image.file: image for image in images}
    by_name: dict[str, list[Request]] = {}
    for path, image in by_file.items():
        by_name.setdefault(PurePosixPath(path).name, []).append(image)
    searched = {
        number: row.centre
        for number, row in enumerate(rows, 1)
        if not row.file and row.centre is not None and row.centre.kind == "sky"
    }
    found: dict[int, str | None] = {}
    if searched and len(by_file) > 1:
        from lenssim.cutouts.footprint import files_of_positions

        files = files_of_positions(list(by_file), list(searched.values()), settings, num_pix)
        found = dict(zip(searched, files, strict=True))
    for number, row in enumerate(rows, 1):
        if row.file:
            named = by_name.get(PurePosixPath(row.file).name, [])
            same = [
                image for image in named if Path(image.file).resolve() == Path(row.file).resolve()
            ]
            if len(same or named) != 1:
                several = f"the name of {len(named)} images that are imported: write its path"
                what = several if named else "none of the images that are imported"
                raise UsageError(f"{table}, row {number}: {row.file} is {what}.")
            yield _moved((same or named)[0], row)
        elif number not in found:
            yield from (_moved(image, row) for image in images)
        elif (file := found[number]) is not None:
            yield _moved(by_file[file], row)
        else:
            problem = f"{row.centre} is in none of the {len(by_file):,} images."
            yield replace(row, problem=problem)


def _moved(image: Request, row: Request) -> Request:
    """A request of an image at the centre that a row of a table names."""
    named = {
        key: value
        for key in ("centre", "noise", "mask", "psf")
        if (value := getattr(row, key)) is not None
    }
    return replace(image, **named)


def _of_input(given: str) -> Iterator[Request]:
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


def _of_table(given: str, *, needs_file: bool) -> Iterator[Request]:
    """Requests of the rows of a table; without a file where none is named and none is needed."""
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
        named = str(row[columns["file"]]).strip() if columns["file"] is not None else ""
        if needs_file and not named:
            raise ImportFileError(f"{given}, row {number} names no file.")
        file = _beside(folder, named) if named else ""
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
