"""FITS files of plain images, whose HDUs are decoded when they are asked for.

A Euclid cutout has 25 HDUs, of which four are read; astropy decodes every header to list them. Here
the headers are searched for the keywords that say where each HDU ends and what it is called (FITS
standard 4.0, sections 3 and 4), and astropy decodes the headers that are read, and images whose
values are scaled. Anything but plain images, such as a table or a compressed image, is left to
astropy altogether.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

_BLOCK, _CARD = 2880, 80
"""Bytes of a block and of a card of a header."""

_END = b"END".ljust(_CARD)


_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""Of numpy, by BITPIX."""

_SCALED = ("BSCALE", "BZERO", "BLANK")
"""Keywords of values that are not those of the bytes."""


class Unit(NamedTuple):
    """An HDU in the content of a file.

    Attributes:
        start, middle, stop: bytes where its header begins and its data begin and end, with padding.
        shape: of the image, axes as in numpy; empty if there is none.
        dtype: of its values; empty if they have to be scaled.
        name: EXTNAME in capitals; empty if it has none.
        version: EXTVER.
    """

    start: int
    middle: int
    stop: int
    shape: tuple[int, ...]
    dtype: str
    name: str
    version: int


class PlainHdu:
    """An HDU, as astropy's `ImageHDU`.

    Args:
        content: of the file.
        unit: of the HDU.
        is_first: whether it is the primary one.
    """

    def __init__(self, content: bytes, unit: Unit, *, is_first: bool) -> None:
        self._content, self._unit, self._is_first = content, unit, is_first

    @cached_property
    def header(self) -> fits.Header:
        """Decoded by astropy."""
        unit = self._unit
        return fits.Header.fromstring(self._content[unit.start : unit.middle])

    @cached_property
    def data(self) -> NDArray[Any] | None:
        """The image, axes as in numpy, read only; None if there is none."""
        unit = self._unit
        if not unit.shape:
            return None
        if not unit.dtype:
            kind = fits.PrimaryHDU if self._is_first else fits.ImageHDU
            return kind.fromstring(self._content[unit.start : unit.stop]).data
        count = math.prod(unit.shape)
        return np.frombuffer(self._content, unit.dtype, count, unit.middle).reshape(unit.shape)


class PlainFits(Sequence[PlainHdu]):
    """The HDUs of a file, as those of `fits.HDUList`.

    Args:
        content: of the file.
        units: of its HDUs, from `find_units`.
    """

    def __init__(self, content: bytes, units: Sequence[Unit]) -> None:
        self.units = units
        self._hdus = [
            PlainHdu(content, unit, is_first=number == 0) for number, unit in enumerate(units)
        ]

    def __len__(self) -> int:
        return len(self.units)

    @overload
    def __getitem__(self, number: int) -> PlainHdu: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[PlainHdu]: ...
    def __getitem__(self, number: int | slice) -> PlainHdu | Sequence[PlainHdu]:
        """An HDU by its number, from 0."""
        return self._hdus[number]


def find_units(content: bytes) -> list[Unit] | None:
    """The HDUs of a file of plain images; None if it holds anything else, or is damaged.

    Args:
        content: of the file, not compressed.
    """
    try:
        return list(_units(content))
    except (ValueError, KeyError):
        return None


def _units(content: bytes) -> Iterator[Unit]:
    """The HDUs of a file.

    Raises:
        ValueError, KeyError: if they are not plain images from the first byte to the last.
    """
    if not content:
        raise ValueError("the file is empty")
    start = 0
    while start < len(content):
        values, data = _header(content, start)
        _check_kind(values, is_first=start == 0)
        axes = [int(values[f"NAXIS{axis + 1}"]) for axis in range(int(values["NAXIS"]))]
        dtype = _TYPES[int(values["BITPIX"])]
        size = np.dtype(dtype).itemsize * math.prod(axes) if axes else 0
        stop = data + -(-size // _BLOCK) * _BLOCK
        if stop > len(content):
            raise ValueError("the file is cut short")
        name = _text(values.get("EXTNAME", "''")).upper()
        version = int(values.get("EXTVER", 1))
        if any(key in values for key in _SCALED):
            dtype = ""
        yield Unit(start, data, stop, tuple(reversed(axes)), dtype, name, version)
        start = stop


def _header(content: bytes, start: int) -> tuple[dict[str, str], int]:
    """Keywords of a header that say what its HDU is, with their values as text, and its end."""
    values: dict[str, str] = {}
    for place in range(start, len(content) - _CARD + 1, _CARD):
        key = _KEYWORDS.get(content[place : place + 8])
        if key is None:
            continue
        card = content[place : place + _CARD]
        if card == _END:
            return values, start + -(-(place + _CARD - start) // _BLOCK) * _BLOCK
        if card[8:10] != b"= " or key in values:
            raise ValueError(f"{key} has no value, or is there twice")
        text = card[10:].decode("ascii").strip()
        values[key] = text if text.startswith("'") else text.partition("/")[0].rstrip()
    raise ValueError("a header has no end")


_KEYWORDS = {
    key.ljust(8).encode(): key
    for key in (
        *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "ZIMAGE", "END"),
        *("EXTNAME", "EXTVER", *_SCALED, *(f"NAXIS{axis}" for axis in range(1, 10))),
    )
}
"""That are read, by the first bytes of their cards."""


def _check_kind(values: dict[str, str], *, is_first: bool) -> None:
    """Refuses what is not an image with nothing besides.

    Raises:
        ValueError, KeyError: if it is not.
    """
    is_image = values["SIMPLE"] == "T" if is_first else _text(values["XTENSION"]) == "IMAGE"
    usual = {"GROUPS": "F", "PCOUNT": "0", "GCOUNT": "1"}
    is_plain = all(values.get(key, value) == value for key, value in usual.items())
    if not is_image or not is_plain or "ZIMAGE" in values:
        raise ValueError("this is not a plain image")


def _text(value: str) -> str:
    """A string of a card, as in 'VIS_BGSUB', without its quotes and the comment.

    Raises:
        ValueError: if it is none, or goes on in the next card.
    """
    quote, _, rest = value.partition("'")
    text, end, _ = rest.partition("'")
    if quote or not end or text.endswith("&") or "''" in rest[len(text) :]:
        raise ValueError(f"{value} is not a string")
    return text.rstrip()
