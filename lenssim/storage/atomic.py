"""Writing a file whole: a reader sees the old content or the new, never a part of it."""

from __future__ import annotations

import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SCRATCH_NAME = re.compile(r".+\.[0-9a-f]{32}\.partial")


def is_scratch(name: str) -> bool:
    """Whether a file name is that of a scratch file: of this module, or of Zarr's own store."""
    return _SCRATCH_NAME.fullmatch(name) is not None


@contextmanager
def scratch_file(target: Path, folder: Path | None = None) -> Iterator[Path]:
    """An empty scratch file for what will become a target; removed afterwards if still there.

    Like any file that the user creates, it has the permissions that the umask allows.

    Args:
        target: file to be written; its folder is created.
        folder: where the scratch file lies, on the target's file system; beside the target if not
            given. It is created, and removed again once it is empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = (folder or target.parent) / f"{target.name}.{uuid.uuid4().hex}.partial"
    while True:
        try:
            scratch.parent.mkdir(exist_ok=True)
            scratch.touch(exist_ok=False)
            break
        except (FileNotFoundError, FileExistsError):
            # another writer has removed the empty folder, between these calls or within mkdir
            if not target.parent.is_dir() or scratch.parent.is_file():
                raise
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)
        if folder is not None:
            with suppress(OSError):  # other writers have files in it
                folder.rmdir()


@contextmanager
def replacing(target: Path, folder: Path | None = None) -> Iterator[Path]:
    """A scratch file that takes the place of a target if the block ends without an error.

    The target has the permissions that the umask allows, also if the block replaces the scratch
    file by one that only the user can read, as safetensors and Lightning do.

    Arguments are those of `scratch_file`.
    """
    with scratch_file(target, folder) as scratch:
        mode = stat.S_IMODE(scratch.stat().st_mode)
        yield scratch
        if stat.S_IMODE(scratch.stat().st_mode) != mode:
            scratch.chmod(mode)
        scratch.replace(target)
