"""The images in a FITS file, by number, name and version."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from lenssim.cutouts.plain_fits import PlainFits, find_units
from lenssim.errors import ImportFileError, LenssimError

Companion = Literal["noise", "mask", "psf", "other"]

_COMPANIONS: dict[Companion, str] = {
    "noise": "ERR|ERROR|UNC|UNCERT|UNCERTAINTY|STD|STDDEV|SIGMA|RMS|VAR|VARIANCE|IVAR|INVVAR|IVM"
    "|NOISE|WHT|WGT|WT|WEIGHT",
    "mask": "DQ|QUAL|QUALITY|FLG|FLAG|MASK|MSK|BPM|BADPIX",
    "psf": "PSF|PRF|KERNEL",
    "other": "CONF|CONFIDENCE|SEG|SEGM|SEGMENTATION|CTX|CONTEXT|CON|COV|COVERAGE|EXP|EXPTIME"
    "|EXPOSURE|NEXP|NIMG|TIME|SAMP|BKG|BKGD|BACKGROUND|BG|SKY|MODEL|RESID|RESIDUAL|AREA|SNR",
}
"""Words in the names of extensions that go with an image, and are none themselves."""

_PATTERNS = {
    kind: re.compile(f"({words})(S|MAP|IMAGE|IMG)?") for kind, words in _COMPANIONS.items()
}
_SCIENCE = ("SCI", "SCIENCE")


@dataclass(frozen=True)
class Extension:
    """An extension of a FITS file that holds an image.

    Attributes:
        number: from 0, the primary one.
        name: EXTNAME in capitals; empty if it has none.
        version: EXTVER.
        shape: of its array.
    """

    number: int
    name: str
    version: int
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.number})" if self.name else f"({self.number})"

    @property
    def label(self) -> str:
        """What `--hdu` takes for it."""
        return self.name or str(self.number)

    @property
    def words(self) -> tuple[str, ...]:
        """The parts of its name, as ("VIS", "RMS")."""
        return name_words(self.name)

    @property
    def companion(self) -> Companion | None:
        """What it is beside an image, by its name; None for an image of the sky."""
        return _companion_of_name(self.name)

    @property
    def is_science(self) -> bool:
        """Whether its name says that it is the image."""
        return self.companion is None and any(word in _SCIENCE for word in letters(self.name))

    def has_size(self, num_pix: int) -> bool:
        """Whether it holds an image of the model's size, or a stack of them."""
        return len(self.shape) in (2, 3) and self.shape[-2:] == (num_pix, num_pix)


@lru_cache(maxsize=1024)
def name_words(name: str) -> tuple[str, ...]:
    """Parts of a name between other signs than letters and digits, in capitals."""
    return tuple(word for word in re.split("[^A-Z0-9]+", name.upper()) if word)


def letters(name: str) -> list[str]:
    """Parts of a name between other signs than letters, in capitals."""
    return [word for word in re.split("[^A-Z]+", name.upper()) if word]


@lru_cache(maxsize=1024)
def companion_of(word: str) -> Companion | None:
    """What a word in the name of an extension says that it is beside an image."""
    for part in letters(word):
        for kind, pattern in _PATTERNS.items():
            if pattern.fullmatch(part):
                return kind
    return None


FitsFile = Sequence[Any]
"""HDUs by their number, from 0: a `PlainFits`, or a `fits.HDUList`."""


@lru_cache(maxsize=1024)
def _companion_of_name(name: str) -> Companion | None:
    return next((kind for word in name_words(name) if (kind := companion_of(word))), None)


@contextmanager
def opened_fits(name: str, content: bytes | Path) -> Iterator[FitsFile]:
    """An open FITS file; whatever fails while it is read becomes one sentence.

    Args:
        name: of the file, for messages.
        content: of the file, not compressed; or the file, to be mapped into memory.

    Raises:
        ImportFileError: if the file is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            units = None if isinstance(content, Path) else find_units(content)
            if units is not None and not isinstance(content, Path):
                yield PlainFits(content, units)
                return
            is_mapped = isinstance(content, Path)
            source = content if isinstance(content, Path) else io.BytesIO(content)
            with fits.open(source, memmap=is_mapped) as file:
                _check_end(name, file)
                yield file
        except LenssimError:
            raise
        except Exception:  # a damaged file can fail anywhere in the decoding
            raise ImportFileError(f"{name} is damaged or not a FITS file.") from None


def _check_end(name: str, file: fits.HDUList) -> None:
    """Refuses a file whose last header is damaged: astropy leaves it and what follows out.

    It might have been the noise map or the PSF of the image.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AstropyWarning)
        count = len(file)  # reads all headers
    if any("validating header" in str(warning.message) for warning in caught):
        raise ImportFileError(
            f"{name} is damaged after extension {count - 1}: it is cut short, or its next header "
            "cannot be read. Download it again."
        )


def image_extensions(file: FitsFile) -> list[Extension]:
    """The extensions that hold images, the primary one included."""
    if isinstance(file, PlainFits):
        return [
            Extension(number, "" if unit.name == "PRIMARY" else unit.name, unit.version, unit.shape)
            for number, unit in enumerate(file.units)
            if unit.shape
        ]
    return [
        Extension(
            number, "" if hdu.name == "PRIMARY" else hdu.name.upper(), hdu.ver, tuple(hdu.shape)
        )
        for number, hdu in enumerate(file)
        if hdu.is_image and hdu.shape
    ]


def listed(extensions: Sequence[Extension], most: int = 12) -> str:
    """Names of extensions, as in "SCI (1), ERR (2), 3 more"."""
    names = [str(extension) for extension in extensions[:most]]
    if len(extensions) > most:
        names.append(f"{len(extensions) - most} more")
    return ", ".join(names)
