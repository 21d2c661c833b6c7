"""The image of a file as it is stored, with the extensions that go with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.cutouts.content import read_array, read_content
from lenssim.cutouts.fits_file import (
    Companion,
    Extension,
    FitsFile,
    image_extensions,
    opened_fits,
)
from lenssim.cutouts.selection import choose_image, companion_extension, named_extension
from lenssim.cutouts.settings import CutoutSettings
from lenssim.errors import ImportFileError, UsageError

LARGE = 64_000_000
"""Bytes from which on a FITS file is mapped into memory, and not read whole for each cutout."""


def is_large(name: str) -> bool:
    """Whether a file is a local FITS mosaic of which only the cutouts are read."""
    path = Path(name)
    is_plain = path.suffix.lower() in (".fits", ".fit", ".fts")
    return is_plain and "://" not in name and path.is_file() and path.stat().st_size >= LARGE


def is_array_file(name: str) -> bool:
    """Whether a file is in NumPy's format, by its name."""
    return bool(PurePosixPath(name.partition("?")[0]).name.lower().partition(".np")[1])


@dataclass(frozen=True)
class StoredImage:
    """The image of a file, with what goes with it, as stored."""

    name: str
    place: str
    extension: Extension
    data: NDArray[Any]
    header: Any
    primary: Any
    file: FitsFile | None
    extensions: Sequence[Extension] = ()


def image_of_array(name: str, content: bytes, plane: int | None) -> StoredImage:
    """The image of a file in NumPy's format.

    Args:
        name: of the file.
        content: of the file.
        plane: of a stack of images, from 0; None for a single image.

    Raises:
        ImportFileError: if the array is no image of real numbers.
    """
    array = read_array(name, content)
    if array.dtype.kind not in "iuf":
        raise ImportFileError(f"{name} holds {array.dtype}, not real numbers.")
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if plane is not None and array.ndim == 3:
        array = array[plane]
    if array.ndim != 2 or array.size == 0:
        raise ImportFileError(f"{name} has the shape {array.shape}, not that of an image.")
    at = name if plane is None else f"{name}[{plane}]"
    return StoredImage(name, at, Extension(plane or 0, "", 1, array.shape), array, {}, {}, None)


def image_of_fits(name: str, file: FitsFile, settings: CutoutSettings, num_pix: int) -> StoredImage:
    """The image of a FITS file that the settings name, or its only one.

    Args:
        name: of the file.
        file: opened.
        settings: band or HDU.
        num_pix: side of the cutouts; smaller images, such as PSFs, are not chosen unasked.

    Raises:
        ImportFileError: if there is no image, or one has to be named.
        UsageError: if the settings name none of them.
    """
    extensions = image_extensions(file)
    chosen = choose_image(
        name,
        extensions,
        band=settings.band,
        hdu=settings.hdu,
        filters=_Filters(file, [each.number for each in extensions if each.companion is None]),
        num_pix=num_pix,
    )
    at = f"{name}[{chosen.label}]" if len(file) > 1 else name
    data = file[chosen.number].data
    header, primary = file[chosen.number].header, file[0].header
    return StoredImage(name, at, chosen, data, header, primary, file, extensions)


class _Filters(Mapping[int, str]):
    """FILTER of the header of images, by their numbers; headers are read when it is asked for."""

    def __init__(self, file: FitsFile, numbers: Sequence[int]) -> None:
        self._file, self._numbers = file, numbers

    def __getitem__(self, number: int) -> str:
        return str(self._file[number].header.get("FILTER", "")).strip()

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def images_of(found: StoredImage, *, stacks: bool) -> Iterator[StoredImage]:
    """The images of an extension: it, or those of a stack.

    Args:
        found: the extension.
        stacks: whether three axes are a stack of images, and not refused.

    Raises:
        ImportFileError: if it has more axes than that.
    """
    data = found.data
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    if data.ndim == 2:
        yield replace(found, data=data)
    elif stacks and data.ndim == 3 and "CTYPE3" not in found.header:
        for number, plane in enumerate(data):
            yield replace(found, data=plane, place=f"{found.place}, image {number}")
    else:
        axes = " x ".join(map(str, reversed(data.shape)))
        raise ImportFileError(
            f"{found.place} has {data.ndim} axes ({axes}): write one image an extension or file."
        )


def load_companion(
    found: StoredImage, named: str | None, kind: Companion
) -> tuple[NDArray[Any] | None, str]:
    """Array of a companion of an image, and its name; None if there is none.

    Args:
        found: the image.
        named: file or extension that the user names, or "none"; what goes with the image if None.
        kind: "noise", "mask" or "psf".

    Raises:
        ImportFileError: if its file holds more than one image.
        UsageError: if what is named does not exist.
    """
    if named == "none":
        return None, ""
    if named is not None and (Path(named).is_file() or "://" in named):
        return _read_file(named), named
    if found.file is None:
        if named is not None:
            raise UsageError(f"--{kind} {named} is no file.")
        return None, ""
    if named is not None:
        extension: Extension | None = named_extension(found.name, found.extensions, named)
    else:
        extension = companion_extension(found.extension, found.extensions, kind)
    if extension is None:
        return None, ""
    return np.squeeze(found.file[extension.number].data), f"{found.name}[{extension.label}]"


@lru_cache(maxsize=8)
def _read_file(name: str) -> NDArray[Any]:
    """The only image of a file of its own, as a noise map or a PSF is; the last ones are kept."""
    content = read_content(name)
    if is_array_file(name):
        return read_array(name, content)
    with opened_fits(name, content) as file:
        extensions = image_extensions(file)
        if len(extensions) != 1:
            raise ImportFileError(f"{name} holds {len(extensions)} images where one is read.")
        return np.squeeze(file[extensions[0].number].data)
