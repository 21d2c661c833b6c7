"""Requests to servers: made again while that may help, and checked for what they send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from lenssim.errors import ArchiveError, ServerError
from lenssim.storage.server_errors import Action, diagnose, is_past_end, reason

Result = TypeVar("Result")

ATTEMPTS = 5
"""Times that a request to a server is made before it counts as failed."""

FIRST_DELAY = 0.25
"""Seconds before the second attempt; each further one waits twice as long."""


def request(place: str, call: Callable[[], Result], action: Action = "read") -> Result:
    """The result of a request, which is made again where it failed for a transient reason.

    Args:
        place: URL of what is asked for.
        call: makes the request.
        action: what it does.

    Raises:
        FileNotFoundError: if there is no such file.
        FileExistsError: if there should be no such file.
        ServerError: naming the cause and what to do, if it still fails.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except Exception as error:
            _raise_unless_transient(error, place, action, attempt)
        time.sleep(FIRST_DELAY * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


def _raise_unless_transient(error: Exception, place: str, action: Action, attempt: int) -> None:
    """Raises the error of a failed attempt, unless another one is worth making."""
    if isinstance(error, FileExistsError):
        raise error
    diagnosis = diagnose(error, place, action)
    if diagnosis is None:
        if isinstance(error, OSError):
            raise error
        raise ServerError(
            f"{place} cannot be {action}: {reason(error)}; check the address."
        ) from error
    if not diagnosis.is_transient or attempt == ATTEMPTS:
        raise diagnosis.error(place, action, attempt) from error


class RemoteStore(WrapperStore[FsspecStore]):
    """A store on a server: patient with it, and sure that a range is the range asked for.

    Args:
        store: on the server.
        allow_whole_files: whether a range is taken out of the whole file if the server sends
            that, at the cost of its transfer; refused otherwise.
    """

    def __init__(self, store: FsspecStore, *, allow_whole_files: bool = False) -> None:
        super().__init__(store)
        self._allow_whole_files = allow_whole_files

    def _with_store(self, store: FsspecStore) -> RemoteStore:
        return RemoteStore(store, allow_whole_files=self._allow_whole_files)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Content of a file, or of a range of it; None if there is no such file."""
        place = f"{self._store.path}/{key}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                sent = await self._store.get(key, prototype, byte_range)
                return None if sent is None else self._range_in(sent, byte_range, place)
            except ArchiveError:
                raise
            except Exception as error:
                if is_past_end(error):
                    return self._range_in(prototype.buffer.from_bytes(b""), byte_range, place)
                _raise_unless_transient(error, place, "read", attempt)
            await asyncio.sleep(FIRST_DELAY * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _range_in(self, sent: Buffer, byte_range: ByteRequest | None, place: str) -> Buffer:
        """The range that was asked for, in what the server sent.

        Raises:
            ServerError: if the server sent the whole file, and that is not allowed.
            ArchiveError: if the file ends before the range does.
        """
        match byte_range:
            case RangeByteRequest(start, end):
                size = end - start
            case SuffixByteRequest(size):
                start = len(sent) - size
            case _:
                return sent
        if len(sent) < size:
            raise ArchiveError(
                f"{place} is damaged: it ends {size - len(sent)} bytes too early; find what else "
                "is with `lenssim verify`, and fetch or generate it again."
            )
        if len(sent) == size:
            return sent
        if not self._allow_whole_files:
            raise no_ranges(place)
        return sent[start : start + size]


def no_ranges(place: str) -> ServerError:
    """The error of a server that sends whole files only, where parts are needed."""
    return ServerError(
        f"{place} cannot be read: the server does not send parts of files; copy the archive to a "
        "disk, or to a server that does."
    )
