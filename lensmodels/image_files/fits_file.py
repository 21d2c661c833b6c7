"""Which extension of a FITS file is the image."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from lensmodels.errors import DataError, LensmodelsError, UsageError
from lensmodels.image_files.geometry import cutout_of_model

_ANCILLARY = re.compile(
    r"(ERR|ERROR|UNC|UNCERT|UNCERTAINTY|STD|STDDEV|SIGMA|RMS|VAR|VARIANCE|IVAR|INVVAR|IVM|NOISE"
    r"|WHT|WGT|WT|WEIGHT|CONF|CONFIDENCE|DQ|QUAL|QUALITY|FLG|FLAG|MASK|MSK|BPM|BADPIX"
    r"|SEG|SEGM|SEGMENTATION|PSF|PRF|KERNEL|CTX|CONTEXT|CON|COV|COVERAGE|EXP|EXPTIME|EXPOSURE"
    r"|NEXP|NIMG|TIME|SAMP|BKG|BKGD|BACKGROUND|BG|SKY|MODEL|RESID|RESIDUAL|AREA|SNR)"
    r"(S|MAP|IMAGE|IMG)?"
)
"""Words in the names of extensions that go with an image, and are none themselves."""

_SCIENCE = ("SCI", "SCIENCE")
_LISTED = 12
"""Extensions that a message lists, at most."""


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
    def is_ancillary(self) -> bool:
        """Whether its name is that of noise, weights, flags, a PSF or the like."""
        return _is_ancillary(self.name)

    @property
    def is_science(self) -> bool:
        """Whether its name says that it is the image."""
        parts = re.split("[^A-Z]+", self.name)
        return not self.is_ancillary and any(word in _SCIENCE for word in parts)

    def has_size(self, num_pix: int) -> bool:
        """Whether it holds an image of the model's size, or a stack of them."""
        return len(self.shape) in (2, 3) and self.shape[-2:] == (num_pix, num_pix)


@contextmanager
def opened_fits(name: str, content: bytes) -> Iterator[fits.HDUList]:
    """An open FITS file; whatever fails while it is read becomes one sentence.

    Args:
        name: of the file, for messages.
        content: of the file, not compressed.

    Raises:
        DataError: if the file is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            with fits.open(io.BytesIO(content), memmap=False) as file:
                yield file
        except LensmodelsError:
            raise
        except Exception:  # a damaged file can fail anywhere in the decoding
            raise DataError(f"{name} is damaged or not a FITS file.") from None


def image_extensions(file: fits.HDUList) -> list[Extension]:
    """The extensions that hold images, the primary one included."""
    return [
        Extension(
            number, "" if hdu.name == "PRIMARY" else hdu.name.upper(), hdu.ver, tuple(hdu.shape)
        )
        for number, hdu in enumerate(file)
        if hdu.is_image and hdu.shape
    ]


def choose_extension(
    name: str,
    extensions: Sequence[Extension],
    num_pix: int,
    hdu: str | int | None,
    *,
    expected_pixel_scale: float | None = None,
) -> Extension:
    """The extension that is the image.

    Args:
        name: of the file.
        extensions: of the file that hold images.
        num_pix: side of the images that the model takes, pixels.
        hdu: EXTNAME or number of the extension, or EXTNAME,EXTVER; None for the only one that can
            be meant: the one called SCI, or else the only one of the model's size that is not
            called like a noise map, weights, flags or a PSF. A single image is taken whatever
            its size, so that what is wrong with it can be said.
        expected_pixel_scale: of the training images, arcsec; None if it is not known.

    Raises:
        DataError: if there is none, or several can be meant.
        UsageError: if `hdu` names none of them.
    """
    if not extensions:
        raise DataError(f"{name} holds no image.")
    if hdu is not None:
        return _named_extension(name, extensions, hdu)
    candidates = [extension for extension in extensions if not extension.is_ancillary]
    candidates = [extension for extension in candidates if extension.is_science] or candidates
    if not candidates:
        raise DataError(
            f"{name} holds only {_listed(extensions)}, whose names are not those of an image of "
            "the sky; if one of them is, choose it by --hdu NAME."
        )
    fitting = [extension for extension in candidates if extension.has_size(num_pix)]
    if len(fitting) > 1:
        raise DataError(
            f"{name} holds {len(fitting)} images of {num_pix} x {num_pix} pixels: "
            f"{_listed(fitting)}; choose one by --hdu NAME or its number."
        )
    if not fitting and len(candidates) > 1:
        raise DataError(
            f"{name} holds {len(candidates)} images, none of {num_pix} x {num_pix} pixels: "
            f"{_listed(candidates)}; choose one, and cut "
            f"{cutout_of_model(num_pix, expected_pixel_scale)} out of it around the lens."
        )
    chosen = (fitting or candidates)[0]
    if not chosen.name and _is_ancillary(_stem(name)):
        raise DataError(
            f"{name} is named like a noise map, weights, flags or a PSF; take it by "
            f"--hdu {chosen.number} if it is an image of the sky."
        )
    return chosen


def _named_extension(name: str, extensions: Sequence[Extension], hdu: str | int) -> Extension:
    wanted, _, version = str(hdu).strip().upper().partition(",")
    if wanted.isdigit() and not version:
        matching = [extension for extension in extensions if extension.number == int(wanted)]
    else:
        matching = [extension for extension in extensions if extension.name == wanted]
        if version:
            matching = [
                extension for extension in matching if str(extension.version) == version.strip()
            ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"{name} holds {len(matching)} images {wanted}: {_listed(matching)}; choose one by its "
            "number."
        )
    images_first = sorted(extensions, key=lambda extension: extension.is_ancillary)
    raise UsageError(f"{name} holds no image {hdu}; it holds {_listed(images_first)}.")


def _listed(extensions: Sequence[Extension]) -> str:
    names = [str(extension) for extension in extensions[:_LISTED]]
    if len(extensions) > _LISTED:
        names.append(f"{len(extensions) - _LISTED} more")
    return ", ".join(names)


def _is_ancillary(name: str) -> bool:
    return any(_ANCILLARY.fullmatch(word) for word in re.split("[^A-Z]+", name.upper()))


def _stem(name: str) -> str:
    """The last word of a file's name, with the word MAP or IMAGE after it."""
    file = PurePosixPath(name.partition("?")[0]).name.upper()
    parts = [word for word in re.split("[^A-Z]+", file.partition(".FIT")[0]) if word]
    while len(parts) > 1 and parts[-1] in ("MAP", "IMAGE", "IMG"):
        parts.pop()
    return parts[-1] if parts else ""
