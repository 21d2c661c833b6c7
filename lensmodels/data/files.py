"""Files of an archive as local files: copies are kept of what is remote."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


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
