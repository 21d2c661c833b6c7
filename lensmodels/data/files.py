"""Files of an archive as local files: copies are kept of what is remote."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import google_crc32c  # a dependency of zarr, for the same purpose

_CHECKSUM_SIZE = 4


def default_cache_folder() -> Path:
    """Where copies of remote archives are kept where nothing else is said."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "lensmodels"


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file whole: another process sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def keep_copy(path: Path, content: bytes) -> None:
    """Keeps bytes in a file that `read_copy` reads."""
    replace_file(path, content + _checksum(content))


def read_copy(path: Path) -> bytes | None:
    """What `keep_copy` kept in a file; None where there is no file, or a damaged one."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    content, checksum = stored[:-_CHECKSUM_SIZE], stored[-_CHECKSUM_SIZE:]
    return content if checksum == _checksum(content) else None


def _checksum(content: bytes) -> bytes:
    return google_crc32c.value(content).to_bytes(_CHECKSUM_SIZE, "little")
