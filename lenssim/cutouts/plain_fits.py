"""FITS files of plain images, whose HDUs are decoded when they are asked for.

A Euclid cutout has 25 HDUs, of which four are read; astropy decodes every header to list them. Here
the headers are searched for the keywords that say where each HDU ends and what it is called (FITS
standard 4.0, sections 3 and 4), and astropy decodes those that are read. Anything but images as
they are, such as a table or a compressed image, is left to astropy altogether.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from astropy.io import fits

_BLOCK, _CARD = 2880, 80
"""Bytes of a block and of a card of a header."""

_END = b"END".ljust(_CARD)


class Unit(NamedTuple):
    """An HDU in the content of a file.

    Attributes:
        start, stop: bytes of header and data, padding included.
        shape: of the image, axes as in numpy; empty if there is none.
        name: EXTNAME in capitals; empty if it has none.
        version: EXTVER.
    """

    start: int
    stop: int
    shape: tuple[int, ...]
    name: str
    version: int


class PlainFits(Sequence[Any]):
    """The HDUs of a file, as those of `fits.HDUList`.

    Args:
        content: of the file.
        units: of its HDUs, from `find_units`.
    """

    def __init__(self, content: bytes, units: Sequence[Unit]) -> None:
        self._content = content
        self.units = units
        self._decoded: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.units)

    @overload
    def __getitem__(self, number: int) -> Any: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Any]: ...
    def __getitem__(self, number: int | slice) -> Any:
        """An HDU by its number, decoded by astropy."""
        if isinstance(number, slice):
            return [self[place] for place in range(len(self))[number]]
        if number not in self._decoded:
            kind = fits.ImageHDU if number else fits.PrimaryHDU
            unit = self.units[number]
            self._decoded[number] = kind.fromstring(self._content[unit.start : unit.stop])
        return self._decoded[number]


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
        size = abs(int(values["BITPIX"])) // 8 * math.prod(axes) if axes else 0
        stop = data + -(-size // _BLOCK) * _BLOCK
        if stop > len(content):
            raise ValueError("the file is cut short")
        name = _text(values.get("EXTNAME", "''")).upper()
        version = int(values.get("EXTVER", 1))
        yield Unit(start, stop, tuple(reversed(axes)), name, version)
        start = stop


def _header(content: bytes, start: int) -> tuple[dict[str, str], int]:
    """Keywords of a header that say what its HDU is, with their values as text, and its end."""
    values: dict[str, str] = {}
    for place in range(start, len(content) - _CARD + 1, _CARD):
        card = content[place : place + _CARD]
        if card == _END:
            return values, start + -(-(place + _CARD - start) // _BLOCK) * _BLOCK
        if card[8:10] == b"= " and (key := card[:8].rstrip().decode("ascii")) in _KEYWORDS:
            if key in values:
                raise ValueError(f"{key} is there twice")
            values[key] = card[10:].decode("ascii").strip()
            if not values[key].startswith("'"):
                values[key] = values[key].partition("/")[0].strip()
    raise ValueError("a header has no end")


_KEYWORDS = {
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "EXTNAME", "EXTVER"),
    *(f"NAXIS{axis}" for axis in range(1, 10)),
    "ZIMAGE",
}


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
