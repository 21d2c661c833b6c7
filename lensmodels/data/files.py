"""Files of an archive as local files: copies are kept of what is remote."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import google_crc32c  # a dependency of zarr, for the same purpose

from lenssim.errors import LenssimWarning
from lenssim.storage.atomic import replacing

_CHECKSUM_SIZE = 4


def default_cache_folder() -> Path:
    """Where copies of remote archives are kept by default.

    On Linux this is what platformdirs answers. Elsewhere platformdirs names another folder, so
    that existing copies would be fetched again, and its older versions answer a folder below the
    current one if there is no home folder.

    Raises:
        RuntimeError: if there is no home folder.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "lensmodels"


def usable_cache_folder(chosen: Path | None) -> Path | None:
    """The folder for copies of remote archives, made if needed.

    Args:
        chosen: by the user; None for the default one.

    Returns:
        None, after a warning, if nothing can be written there: an archive is then read without
        copies.
    """
    try:
        folder = chosen or default_cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as error:  # the latter if there is no home folder
        warn_without_cache(getattr(error, "strerror", None) or str(error))
        return None


def warn_without_cache(reason: str) -> None:
    """Says that a remote archive is read without copies, and why."""
    warnings.warn(
        f"No copies of the remote archive are kept ({reason}), so what is read again is fetched "
        "again: choose a folder that can be written by --cache-dir.",
        LenssimWarning,
        stacklevel=2,
    )


def keep_copy(path: Path, content: bytes) -> None:
    """Keeps bytes in a file that `read_copy` reads."""
    with replacing(path) as scratch:
        scratch.write_bytes(content + _checksum(content))


def read_copy(path: Path) -> bytes | None:
    """What `keep_copy` kept in a file; None if it cannot be read, or is damaged."""
    try:
        stored = path.read_bytes()
    except OSError:  # there is none, or it is another user's
        return None
    content, checksum = stored[:-_CHECKSUM_SIZE], stored[-_CHECKSUM_SIZE:]
    return content if checksum == _checksum(content) else None


def _checksum(content: bytes) -> bytes:
    return google_crc32c.value(content).to_bytes(_CHECKSUM_SIZE, "little")
