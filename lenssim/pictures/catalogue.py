"""Which pictures a folder holds, and where: a catalogue in GalSim's layout, or a file each.

GalSim's layout is that of real_galaxy_catalog_23.5.fits: a table with a row for each galaxy, whose
picture is unit GAL_HDU of the file GAL_FILENAME.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.errors import SpecError
from lenssim.pictures.image_file import UNREADABLE, open_fits, pixel_scale_of, read_image

FloatArray = NDArray[np.float64]

SUFFIXES = (".npy", ".fits", ".fit")
"""Of the pictures in a folder without a catalogue."""

_NEEDED = ("IDENT", "GAL_FILENAME", "GAL_HDU")
"""Columns that make a table a catalogue."""

_FLUX_TOLERANCE = 1e-3
"""Relative difference between a picture's sum and the stamp_flux of its row."""

_NAME_BITS = 52
"""Of the number that is made of a file's name: doubles hold it exactly."""


@dataclass(frozen=True)
class Entry:
    """Where the picture of a galaxy is, and what the catalogue says of it."""

    galaxy: int
    path: Path
    unit: int | None = None
    """Of a FITS file; the first image where it is None."""
    pixel_scale: float | None = None
    """Arcsec; None if it is in the header of the picture, or nowhere."""
    background: float = 0.0
    """Mean of the sky that was left in the picture, in its unit."""
    noise_sigma: float | None = None
    """Standard deviation of the sky of a pixel; None if it is to be measured."""
    flux: float | None = None
    """Sum of the picture, by which a wrong unit is noticed."""

    def pixels(self) -> FloatArray:
        """The picture as it is in its file, in the file's own unit, of any shape.

        Raises:
            SpecError: if it cannot be read, or is another galaxy's.
        """
        try:
            if self.unit is None:
                return read_image(self.path)
            with open_fits(self.path) as units:
                return self._of_catalogue(units)
        except UNREADABLE as error:
            raise SpecError(
                f"The picture {self.path} cannot be read ({error}): replace the file, or leave out "
                f"galaxy {self.galaxy} by source.images.exclude."
            ) from None

    def scale(self) -> float | None:
        """Arcsec of a pixel, as the catalogue or the header of the picture says."""
        if self.pixel_scale is not None:
            return self.pixel_scale
        try:
            return pixel_scale_of(self.path)
        except UNREADABLE:
            return None

    def _of_catalogue(self, units: Any) -> FloatArray:
        """The unit that the catalogue names; of a part of a catalogue, the one with its flux.

        A part that was copied together may count its units otherwise than the catalogue.
        """
        assert self.unit is not None
        try:  # len(units) would read all of a file of a thousand pictures
            data = units[self.unit].data
        except IndexError:
            data = None
        if data is not None and self._has_flux(values := np.asarray(data, dtype=np.float64)):
            return values
        fitting = [
            values
            for unit in units
            if unit.is_image and unit.data is not None
            if self._has_flux(values := np.asarray(unit.data, dtype=np.float64))
        ]
        if self.flux is None or len(fitting) != 1:
            raise ValueError(
                f"unit {self.unit} is not the picture of galaxy {self.galaxy}"
                if self.flux is not None
                else f"it has no image in unit {self.unit}"
            )
        return fitting[0]

    def _has_flux(self, values: FloatArray) -> bool:
        if self.flux is None:
            return True
        return abs(float(values.sum()) - self.flux) <= _FLUX_TOLERANCE * abs(self.flux)


@dataclass(frozen=True)
class Catalogue:
    """The pictures of a folder, and the files that they are in."""

    entries: tuple[Entry, ...]
    files: tuple[Path, ...]
    """The catalogue's own file included."""

    def sha256(self) -> str:
        """Checksum of names and contents of the files."""
        names = {path.name: path for path in self.files}
        listing = "".join(f"{_file_sha256(names[name])}  {name}\n" for name in sorted(names))
        return hashlib.sha256(listing.encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SpecError(f"The picture {path} cannot be read ({error}): replace the file.") from None


def read_catalogue(place: str) -> Catalogue:
    """Lists the pictures of a folder, or of a catalogue.

    Args:
        place: folder, or path of a catalogue in GalSim's layout.

    Raises:
        SpecError: if there is no picture, or if a file that the catalogue names is missing.
    """
    path = Path(place)
    if path.is_file():
        catalogue = _galsim_catalogue(path)
        if catalogue is None:
            raise SpecError(
                f"source.images = {place} is no catalogue: a FITS table with the columns "
                f"{', '.join(_NEEDED)} is needed, or a folder."
            )
        return catalogue
    if not path.is_dir():
        raise SpecError(
            f"source.images = {place} does not exist: give the folder of the pictures, relative to "
            "the working folder."
        )
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    catalogues = {file: found for file in files if (found := _galsim_catalogue(file)) is not None}
    if len(catalogues) > 1:
        names = ", ".join(file.name for file in catalogues)
        raise SpecError(f"source.images = {place} holds the catalogues {names}: name one of them.")
    if catalogues:
        return next(iter(catalogues.values()))
    if not files:
        raise SpecError(
            f"source.images = {place} holds no picture: {', '.join(SUFFIXES)} files are needed, or "
            "a catalogue in GalSim's layout."
        )
    entries = tuple(Entry(_number_of(file), file) for file in files)
    return Catalogue(_distinct(entries, place), tuple(files))


def _number_of(file: Path) -> int:
    """Number of a galaxy by the name of its file: that number, or one that is made of the name."""
    if file.stem.isdecimal() and int(file.stem) < 2**_NAME_BITS:
        return int(file.stem)
    digest = hashlib.sha256(file.stem.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _NAME_BITS)


def _distinct(entries: tuple[Entry, ...], place: str) -> tuple[Entry, ...]:
    seen: dict[int, Path] = {}
    for entry in entries:
        if entry.galaxy in seen:
            raise SpecError(
                f"source.images = {place} holds galaxy {entry.galaxy} twice, in "
                f"{seen[entry.galaxy].name} and {entry.path.name}: remove or rename one of them."
            )
        seen[entry.galaxy] = entry.path
    return entries


def _galsim_catalogue(path: Path) -> Catalogue | None:
    """The catalogue of a FITS file; None if it has no such table."""
    if path.suffix == ".npy" or not _is_table(path):
        return None
    try:
        with open_fits(path) as units:
            table = units[1]
            names = {name.lower(): name for name in table.columns.names}
            if not all(name.lower() in names for name in _NEEDED):
                return None
            rows = table.data
            columns = {name: np.asarray(rows[original]) for name, original in names.items()}
    except UNREADABLE as error:
        raise SpecError(f"The catalogue {path} cannot be read ({error}): replace it.") from None
    count = len(columns["ident"])
    folder = path.parent
    files = [folder / str(name).strip() for name in columns["gal_filename"]]
    for file in dict.fromkeys(files):
        if not file.is_file():
            raise SpecError(
                f"The catalogue {path} names the file {file.name}, which is not beside it: copy it "
                "there."
            )
    scales, backgrounds, variances, fluxes = (
        np.asarray(columns.get(name, np.full(count, math.nan)), dtype=np.float64)
        for name in ("pixel_scale", "noise_mean", "noise_variance", "stamp_flux")
    )
    entries = tuple(
        Entry(
            int(columns["ident"][row]),
            files[row],
            int(columns["gal_hdu"][row]),
            _known(scales[row]),
            _known(backgrounds[row]) or 0.0,
            math.sqrt(variances[row]) if variances[row] > 0 else None,
            _known(fluxes[row]),
        )
        for row in range(count)
    )
    return Catalogue(_distinct(entries, str(path)), (path, *dict.fromkeys(files)))


def _is_table(path: Path) -> bool:
    """Whether the second unit of a FITS file is a table; False for what is no FITS file."""
    try:
        with open_fits(path) as units:
            return hasattr(units[1], "columns")
    except UNREADABLE:
        return False


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
