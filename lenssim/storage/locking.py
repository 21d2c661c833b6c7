"""Holding a location for one writer: a lock file that says which process holds it.

Not by the library filelock, which leaves its lock file behind in the archive. Removing the file
needs what is here anyway: telling it from one of another program, which stays, and noticing that
the holder before removed it between two calls.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenssim.errors import ArchiveError

if TYPE_CHECKING:
    from lenssim.storage.location import Location

LOCK = ".lock"
"""File that the one run holds which writes into a location."""

_WRITE_TIME = 0.1
"""Seconds that the creator of a lock file may take to write its name into it."""


@contextmanager
def hold_folder(location: Location) -> Iterator[None]:
    """Holds a local folder, which is created if need be; the hold ends with the process.

    Raises:
        ArchiveError: if another run holds it, or it cannot be written.
    """
    path = Path(location.path(LOCK))
    with location.writing():
        is_new = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(path, location)
        is_ours = _is_ours(path)
    try:
        yield
    finally:
        if is_ours:
            path.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):  # it stays where something was written
                path.parent.rmdir()
        os.close(file)


@contextmanager
def hold_remote(location: Location) -> Iterator[None]:
    """Holds a remote location; a process of this machine that died holding it does not block.

    Raises:
        ArchiveError: if another run holds it, or it cannot be written.
    """
    content = _this_holder()
    try:
        location.create(LOCK, content)
    except FileExistsError:
        other = _other_holder(location)
        is_here = other.get("host") == socket.gethostname()
        is_dead = is_here and not _is_alive(other.get("process"))
        if not is_dead:
            raise ArchiveError(
                f"Another run is writing into {location} (process {other.get('process')} on "
                f"{other.get('host')}): wait for it or, if it is dead, remove {location}/{LOCK}."
            ) from None
        location.write(LOCK, content)
    try:
        yield
    finally:
        location.remove(LOCK)


def _locked(path: Path, location: Location) -> int:
    """Descriptor of a lock file that this process has locked."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            os.write(file, _this_holder())
        except FileExistsError:
            try:
                file = os.open(path, os.O_RDWR)
            except FileNotFoundError:  # its holder has just removed it
                continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise ArchiveError(
                f"Another run is writing into {location}: wait for it, or choose another place."
            ) from None
        # the holder before may have removed the file between our two calls
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return file
        os.close(file)


def _is_ours(path: Path) -> bool:
    """Whether a locked file is ours to remove; that of another program is left as it is."""
    if not path.stat().st_size:  # the run that created it may be about to write into it
        time.sleep(_WRITE_TIME)
    return bool(_holder(path.read_bytes()))


def _other_holder(location: Location) -> dict[str, Any]:
    """Who holds the location, as far as that can be told."""
    try:
        return _holder(location.read(LOCK))
    except FileNotFoundError:
        return {}


def _this_holder() -> bytes:
    """Content of the lock file of this process."""
    return json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode()


def _holder(content: bytes) -> dict[str, Any]:
    """Host and process that a lock file names; nothing if it is not one of ours."""
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) and {"host", "process"} <= set(holder) else {}


def _is_alive(process: Any) -> bool:
    """Whether a process of this machine is running; True where that cannot be told."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (TypeError, ValueError, OSError):
        return True
    return True
