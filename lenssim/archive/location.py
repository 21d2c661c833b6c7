"""Where an archive lives: a local folder or any URL that fsspec speaks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from zarr.storage import FsspecStore, LocalStore

from lenssim.errors import ArchiveError

Store = LocalStore | FsspecStore


class Location:
    """A folder, local or remote, that files are read from and written to by relative path.

    Errors of the file system come out as `ArchiveError`, naming the place.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url).rstrip("/") or "/"
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise ArchiveError(f"{self.url} cannot be opened: {error}") from None

    def __str__(self) -> str:
        return self.url

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self._fs, LocalFileSystem)

    def path(self, relative: str) -> str:
        """Full path or URL of a file in it."""
        return f"{self._root}/{relative}"

    def zarr_store(self, relative: str, *, read_only: bool) -> Store:
        """Zarr store of a sub-folder."""
        if self.is_local:
            return LocalStore(self.path(relative), read_only=read_only)
        return FsspecStore.from_url(f"{self.url}/{relative}", read_only=read_only)

    def exists(self, relative: str) -> bool:
        """Whether there is such a file or folder."""
        return bool(self._fs.exists(self.path(relative)))

    def read(self, relative: str) -> bytes:
        """Content of a file; FileNotFoundError where there is none."""
        try:
            return self._fs.cat_file(self.path(relative))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self.url}/{relative}") from None
        except OSError as error:
            raise ArchiveError(f"{self.url}/{relative} cannot be read: {_reason(error)}.") from None

    def write(self, relative: str, content: bytes) -> None:
        """Writes a file whole: a reader sees the old content or the new, never a part."""
        target = self.path(relative)
        with self.writing():
            self._fs.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            if self.is_local:
                scratch = Path(f"{target}.{uuid.uuid4().hex}.part")
                scratch.write_bytes(content)
                scratch.replace(target)
            else:
                self._fs.pipe_file(target, content)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turns errors of the file system, while writing here, into an `ArchiveError`."""
        try:
            yield
        except OSError as error:
            raise ArchiveError(
                f"{self.url} cannot be written: {_reason(error)}. What is done is kept: "
                "mend that, and the same command goes on from there."
            ) from error

    def names(self, relative: str) -> list[str]:
        """Names of the files and folders in a sub-folder, sorted; none where it does not exist."""
        try:
            found = self._fs.ls(self.path(relative), detail=False)
        except FileNotFoundError:
            return []
        return sorted(PurePosixPath(entry).name for entry in found)

    def remove(self, relative: str) -> None:
        """Removes a file, or a folder with all it holds; nothing where there is none."""
        with self.writing():
            if self.exists(relative):
                self._fs.rm(self.path(relative), recursive=True)

    def sizes(self, relative: str) -> dict[str, int]:
        """Size in bytes of every file below a sub-folder, by path relative to the location."""
        found: dict[str, Any] = self._fs.find(self.path(relative), detail=True)
        skip = len(self._root.rstrip("/")) + 1
        return {path[skip:]: int(entry["size"]) for path, entry in sorted(found.items())}


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
