"""What an input of a command is, by its name: an image file or an archive, local or remote."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from lensmodels.data.live_archive import is_live
from lensmodels.errors import DataError, UsageError
from lenssim.errors import ImportFileError
from lenssim.storage.output_paths import check_not_empty


class InputKind(Enum):
    """What an input is."""

    FITS = "FITS file"
    NPY = ".npy file"
    NPZ = ".npz file"
    ARCHIVE = "archive"


_PATTERNS = {
    InputKind.FITS: re.compile(r"\.(fits|fit|fts)(\.(gz|bz2|fz))?$"),
    InputKind.NPY: re.compile(r"\.npy(\.(gz|bz2))?$"),
    InputKind.NPZ: re.compile(r"\.npz$"),
}
_OTHER_FILES = re.compile(
    r"\.(png|jpe?g|gif|tiff?|bmp|h5|hdf5?|asdf|csv|tsv|txt|parquet|json|ya?ml|mat|nc|root"
    r"|pt|pth|ckpt|pkl|pickle|safetensors|zip|tar|tgz|7z|gz|bz2|xz|zst|z|fz)$"
)
_READABLE = "images are read from FITS (.fits, also .gz, .bz2, .fz), .npy (also .gz, .bz2) and .npz"


@dataclass(frozen=True)
class Input:
    """An input of a command.

    Attributes:
        name: path or URL, as given.
        kind: what it is.
    """

    name: str
    kind: InputKind

    @property
    def is_remote(self) -> bool:
        """Whether it is a URL."""
        return is_url(self.name)


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether a name is a URL rather than a path of this machine."""
    return "://" in os.fspath(name)


def classify_input(given: str | os.PathLike[str]) -> Input:
    """What an input is: by its suffix, and where it is local by whether it is a folder.

    Args:
        given: path or URL.

    Returns:
        The input, not opened yet.

    Raises:
        UsageError: if the name is empty, or its suffix is of a format that is not read.
        DataError: if it is a path at which there is nothing.
    """
    check_not_empty(given)
    name = os.fspath(given)
    if is_live(name):
        return Input(name, InputKind.ARCHIVE)
    if not is_url(name):
        path = Path(name)
        if path.is_dir():
            return Input(name, InputKind.ARCHIVE)
        if not path.exists():
            raise DataError(f"{name} does not exist.")
    last = PurePosixPath(name.partition("?")[0] if is_url(name) else name).name.lower()
    for kind, pattern in _PATTERNS.items():
        if pattern.search(last):
            return Input(name, kind)
    if not is_url(name) or _OTHER_FILES.search(last):
        raise UsageError(
            f"{name} has a format that is not read: {_READABLE}, or from the folder or URL of an "
            "archive."
        )
    return Input(name, InputKind.ARCHIVE)


def check_is_archive(given: str | os.PathLike[str]) -> None:
    """Refuse what is named like a file, where a command takes an archive alone.

    Raises:
        UsageError: if it is an image file, or of a format that is not read.
        DataError: if it is a path at which there is nothing.
    """
    kind = classify_input(given).kind
    if kind is not InputKind.ARCHIVE:
        raise UsageError(
            f"{os.fspath(given)} is a {kind.value}: name the folder or URL of an archive."
        )


def read_bytes(source: Input) -> bytes:
    """Content of a file, local or remote, decompressed if gzip or bzip2 made it smaller.

    Raises:
        DataError: if there is no such file, or it cannot be read.
    """
    from lenssim.cutouts.content import read_content

    try:
        return read_content(source.name)
    except ImportFileError as error:
        raise DataError(str(error)) from None
