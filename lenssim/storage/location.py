"""Where an archive lives: a local folder or any URL that fsspec speaks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from lenssim.errors import ArchiveError, LenssimError, UsageError
from lenssim.storage.atomic import is_scratch, replacing, scratch_file
from lenssim.storage.locking import hold_folder, hold_remote
from lenssim.storage.output_paths import (
    check_no_broken_link,
    check_no_file,
    check_not_empty,
)
from lenssim.storage.server_errors import Action, diagnose, is_past_end, reason
from lenssim.storage.stores import (
    WEB,
    RemoteStore,
    file_system_options,
    join_query,
    request,
    split_query,
)

Store = LocalStore | FsspecStore | WrapperStore[Any]
Result = TypeVar("Result")

BLOCK_SIZE = 8 * 2**20
"""Bytes that are read at once of a file that is not read whole."""

SCRATCH = ".partial"
"""Sub-folder for the scratch files of the files at the top of a location."""

_CACHES = ("blockcache", "filecache", "simplecache")
"""File systems of fsspec that may be chained before a URL, as in simplecache::s3://..."""

_BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "hf")

_EXTRAS = {
    "s3": "pip install 'lenssim[s3]'",
    "hf": "pip install 'lenssim[hf]'",
    "http": "pip install 'lenssim[http]'",
    "https": "pip install 'lenssim[http]'",
}


class Location:
    """A folder, local or remote, that files are read from and written to by relative path.

    Errors of the file system come out as `ArchiveError`, naming the place. Requests to a server
    that fail for a reason that may pass are made again, with growing delays.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        check_not_empty(url)
        address, self._query = split_query(os.fspath(url))
        self._address = address.rstrip("/") or "/"
        self._protocol = get_protocol(self._address)
        self._options = file_system_options(self._protocol, self._query)
        _check_no_accidental_chain(self._address)
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self._address, **self._options)
        except (ValueError, ImportError) as error:
            hint = _EXTRAS.get(self._protocol)
            advice = f"; {hint} adds what it needs" if hint else ""
            raise ArchiveError(f"{self} cannot be opened: {error}{advice}.") from None
        except Exception as error:  # some file systems connect at once
            diagnosis = diagnose(error, str(self), "read")
            if diagnosis is None:
                raise ArchiveError(f"{self} cannot be opened: {reason(error)}.") from error
            raise diagnosis.error(str(self), "read") from error

    def __str__(self) -> str:
        """The folder or URL, without its query, which may be a secret."""
        return self._address

    @property
    def url(self) -> str:
        """The folder or URL that opens it again."""
        return join_query(self._address, self._query)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self._fs, LocalFileSystem)

    @property
    def is_in_memory(self) -> bool:
        """Whether it is in the memory of this process, which no other sees."""
        return self.url.startswith("memory:")

    @property
    def local_folder(self) -> str | None:
        """Absolute path of a folder of this machine; None if it is remote."""
        return self._root if self.is_local else None

    @property
    def absolute_url(self) -> str:
        """The same location for another process, whose working folder may be another one."""
        return self.local_folder or self.url

    def path(self, relative: str) -> str:
        """Full path or URL of a file in it."""
        return f"{self._root}/{relative}"

    def below(self, relative: str) -> Location:
        """The location of a sub-folder."""
        return Location(join_query(f"{self._address}/{relative}", self._query))

    def zarr_store(
        self, relative: str, *, read_only: bool, allow_whole_files: bool = False
    ) -> Store:
        """Zarr store of a sub-folder.

        Args:
            relative: path of the sub-folder.
            read_only: whether nothing is written.
            allow_whole_files: whether a server may send whole files in place of parts of them.

        Returns:
            A store that zarr opens.
        """
        if self.is_local:
            return LocalStore(self.path(relative), read_only=read_only)
        url = f"{self}/{relative}"
        store = FsspecStore.from_url(url, self._options, read_only=read_only)
        return RemoteStore(store, url, allow_whole_files=allow_whole_files)

    def exists(self, relative: str) -> bool:
        """Whether there is such a file or folder."""
        with self._reading(relative):
            return bool(self._ask(relative, lambda: self._fs.exists(self.path(relative))))

    def read(self, relative: str) -> bytes:
        """Content of a file; FileNotFoundError if it does not exist."""
        with self._reading(relative):
            return self._ask(relative, lambda: self._fs.cat_file(self.path(relative)))

    def blocks(self, relative: str, size: int) -> Iterator[memoryview]:
        """A file of known size, piece by piece; each piece is good until the next is taken.

        Raises:
            FileNotFoundError: if the file does not exist.
        """
        if self.is_local:
            buffer = memoryview(bytearray(min(BLOCK_SIZE, max(size, 1))))
            path = Path(self.path(relative))
            with self._reading(relative), path.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    yield buffer[:count]
            return
        for start in range(0, max(size, 1), BLOCK_SIZE):
            end = min(start + BLOCK_SIZE, size)
            with self._reading(relative):
                content = self._ask(relative, partial(self._part, relative, start, end, size))
            if len(content) > end - start:
                # the server has sent the whole file, as those do that know no parts
                yield memoryview(content)[start:]
                return
            yield memoryview(content)

    def _part(self, relative: str, start: int, end: int, size: int) -> bytes:
        """Bytes of a file, or the whole file if its server knows no parts of files."""
        limits = (None, None) if end - start == size else (start, end)
        try:
            return self._fs.cat_file(self.path(relative), *limits)
        except Exception as error:
            if is_past_end(error):
                return b""
            raise

    def write(self, relative: str, content: bytes | memoryview) -> None:
        """Writes a file whole: a reader sees the old content or the new, never a part."""
        target = self.path(relative)
        with self.writing():
            if self.is_local:
                with self._replacing(relative) as scratch:
                    scratch.write_bytes(content)
            else:
                self._make_remote_folder(target)
                self._ask(relative, lambda: self._fs.pipe_file(target, bytes(content)), "written")

    def write_pieces(self, relative: str, pieces: Iterable[bytes]) -> None:
        """Writes a file as `write` does, from pieces that need not be in memory together."""
        if not self.is_local:
            with self.writing(), tempfile.NamedTemporaryFile() as file:
                file.writelines(pieces)
                file.flush()
                self.upload(Path(file.name), relative)
            return
        with self.writing(), self._replacing(relative) as scratch, scratch.open("wb") as file:
            file.writelines(pieces)

    def upload(self, source: Path, relative: str) -> None:
        """Copies a local file to here, as `write` does."""
        target = self.path(relative)
        with self.writing():
            if self.is_local:
                with self._replacing(relative) as scratch:
                    self._fs.put_file(str(source), str(scratch))
            else:
                self._make_remote_folder(target)
                self._ask(relative, lambda: self._fs.put_file(str(source), target), "written")

    @property
    def hub(self) -> Any | None:
        """The file system of the Hugging Face hub, where this is a place on it.

        There, each file that is written alone is a commit of its own, and the hub accepts a
        limited number an hour.
        """
        return self._fs if self._protocol == "hf" else None

    def commit_to_hub(self, folder: Path, paths: Sequence[str]) -> None:
        """Copies files of a local folder to the hub, to the same paths here, in one commit."""
        assert self.hub is not None
        with self.writing():
            resolved = self.hub.resolve_path(self._root)
            self.hub._api.upload_folder(  # the file system's own client, with its token
                repo_id=resolved.repo_id,
                repo_type=resolved.repo_type,
                revision=resolved.revision,
                folder_path=folder,
                path_in_repo=resolved.path_in_repo,
                allow_patterns=list(paths),
                commit_message=f"Files of {PurePosixPath(self._root).name}",
            )
            self.hub.invalidate_cache()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the location for one writer; changes nothing else.

        On a local file system the hold ends with the process, however it dies.

        Raises:
            UsageError: if it cannot be a folder, because it is a file or a broken link.
            ArchiveError: if another run holds it.
        """
        self.check_writable()
        with hold_folder(self) if self.is_local else hold_remote(self):
            yield

    def check_writable(self) -> None:
        """Refuse a web server, and a local location that is a file or a broken link, or below one.

        Raises:
            UsageError: naming the file or the link.
            ArchiveError: if it is on a web server.
        """
        if self._protocol in WEB:
            raise ArchiveError(
                f"{self} is on a web server, which can only be read: write to a folder, or to a "
                "URL that begins with s3:// or hf://."
            )
        if self.is_local:
            with self.writing():
                check_no_broken_link(Path(self._root))
                check_no_file(Path(self._root))

    def clear_scratch(self, folders: Iterable[str]) -> None:
        """Removes the scratch files that killed runs left; a bucket has none.

        To be called by the run that holds the location, once it is known whose it is.

        Args:
            folders: sub-folders that hold nothing but what this software wrote.
        """
        if not self.is_local:
            return
        with self.writing():
            for relative in folders:
                for folder, _, names in os.walk(self.path(relative)):
                    for name in filter(is_scratch, names):
                        (Path(folder) / name).unlink(missing_ok=True)
            with suppress(OSError):  # it may not exist, or hold what is not ours
                Path(self.path(SCRATCH)).rmdir()

    def _replacing(self, relative: str) -> AbstractContextManager[Path]:
        """A scratch file that takes the place of a local file when it is complete."""
        return replacing(Path(self.path(relative)), self._scratch_folder(relative))

    def _scratch_folder(self, relative: str) -> Path | None:
        """Folder for the scratch file of a file: None, beside it, if it is in a sub-folder."""
        return None if "/" in relative else Path(self.path(SCRATCH))

    def _make_remote_folder(self, target: str) -> None:
        """Makes the folder of a file that is written to a server."""
        # buckets have no folders, and fsspec would create a bucket whose name is misspelt
        if self._protocol not in _BUCKETS:
            self._fs.makedirs(str(PurePosixPath(target).parent), exist_ok=True)

    def create(self, relative: str, content: bytes) -> None:
        """Writes a new file whole.

        Raises:
            FileExistsError: if the file exists.
        """
        target = self.path(relative)
        with self.writing():
            if not self.is_local:
                self._make_remote_folder(target)
                # once: a second attempt could meet what the first one wrote
                create = partial(self._fs.pipe_file, target, content, mode="create")
                self._ask(relative, create, "written", attempts=1)
                return
            with scratch_file(Path(target), self._scratch_folder(relative)) as scratch:
                scratch.write_bytes(content)
                os.link(scratch, target)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turns errors of the file system, while writing here, into an `ArchiveError`."""
        try:
            yield
        except FileExistsError:
            raise
        except Exception as error:
            if isinstance(error, LenssimError):
                raise
            if self.is_local and isinstance(error, OSError):
                raise ArchiveError(
                    f"{self} cannot be written: {reason(error)}; mend that, and the same command "
                    "continues from there."
                ) from error
            diagnosis = None if self.is_local else diagnose(error, str(self), "written")
            if diagnosis is None:
                raise
            raise diagnosis.error(str(self), "written") from error

    def names(self, relative: str) -> list[str]:
        """Names of the files and folders in a sub-folder, sorted; none where it does not exist."""
        try:
            with self._reading(relative):
                entries = self._ask(
                    relative, lambda: self._fs.ls(self.path(relative), detail=False)
                )
        except FileNotFoundError:
            return []
        return sorted(PurePosixPath(entry).name for entry in entries)

    def remove(self, relative: str) -> None:
        """Removes a file, or a folder with all it holds; does nothing if it does not exist."""
        with self.writing():
            if self.exists(relative):
                self._fs.rm(self.path(relative), recursive=True)

    def sizes(self, relative: str) -> dict[str, int]:
        """Size in bytes of every file below a sub-folder, by path relative to the location."""
        # other writers' files may have appeared since the file system listed last
        self._fs.invalidate_cache()
        with self._reading(relative):
            entries: dict[str, Any] = self._ask(
                relative, lambda: self._fs.find(self.path(relative), detail=True)
            )
        skip = len(self._root.rstrip("/")) + 1
        return {path[skip:]: int(entry["size"]) for path, entry in sorted(entries.items())}

    def _ask(
        self,
        relative: str,
        call: Callable[[], Result],
        action: Action = "read",
        attempts: int | None = None,
    ) -> Result:
        """The result of a request to the file system; see `remote.request`."""
        if self.is_local:
            return call()
        return request(f"{self}/{relative}", call, action, attempts)

    @contextmanager
    def _reading(self, relative: str) -> Iterator[None]:
        """Turns errors of the file system into an `ArchiveError`, or one `FileNotFoundError`."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self}/{relative}") from None
        except OSError as error:
            raise ArchiveError(f"{self}/{relative} cannot be read: {reason(error)}.") from None


def _check_no_accidental_chain(url: str) -> None:
    """Refuse a path or URL with "::", which fsspec would take apart and write to another place.

    Raises:
        UsageError: unless it is a URL behind one of fsspec's caches.
    """
    first, chained, _ = url.partition("::")
    if chained and first not in _CACHES:
        raise UsageError(
            f"{url} contains '::', which is allowed only after one of "
            f"{', '.join(_CACHES)}: choose a path without it."
        )
