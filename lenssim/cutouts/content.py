"""The bytes of a file, decompressed, and the arrays of NumPy's files."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.errors import ArchiveError, ImportFileError


def read_content(name: str) -> bytes:
    """Content of a file, local or remote, decompressed if gzip or bzip2 made it smaller.

    Args:
        name: path or URL.

    Raises:
        ImportFileError: if there is no such file, or it cannot be read.
    """
    content = _read_remote(name) if "://" in name else _read_local(name)
    try:
        if content[:2] == b"\x1f\x8b":
            return gzip.decompress(content)
        if content[:3] == b"BZh":
            return bz2.decompress(content)
    except (OSError, EOFError, ValueError, zlib.error):
        raise ImportFileError(f"{name} is damaged: it cannot be decompressed.") from None
    return content


def _read_local(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ImportFileError(f"{name} cannot be read: {error.strerror}.") from None


def _read_remote(url: str) -> bytes:
    from lenssim.storage.location import Location

    address, mark, query = url.partition("?")
    folder, _, file = address.rpartition("/")
    try:
        return Location(folder).read(f"{file}{mark}{query}")
    except FileNotFoundError:
        raise ImportFileError(f"{url} does not exist.") from None
    except ArchiveError as error:
        raise ImportFileError(str(error)) from None


def read_array(name: str, content: bytes) -> NDArray[Any]:
    """The array of a .npy file, or the only one of a .npz file; nothing is unpickled.

    Args:
        name: of the file, for messages.
        content: of the file.

    Raises:
        ImportFileError: if it holds anything else.
    """
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) == 1:
                return np.asarray(loaded[loaded.files[0]])
            held = ", ".join(loaded.files) or "none"
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        # numpy's own message advises to unpickle the file
        raise ImportFileError(
            f"{name} is not an array of numbers in NumPy's format; write it with numpy.save, from "
            "an array whose dtype is not object."
        ) from None
    raise ImportFileError(
        f"{name} holds {len(loaded.files)} arrays ({held}) where one is read; write the images "
        "alone with numpy.save."
    )
