"""Requests to servers: made again while that may help, and checked for what they send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, WrapperStore

from lenssim.errors import ArchiveError, ServerError
from lenssim.storage.server_errors import Action, diagnose, is_already_there, is_past_end, reason

Result = TypeVar("Result")

ATTEMPTS = 5
"""Times that a request to a server is made before it counts as failed."""

FIRST_DELAY = 0.25
"""Seconds before the second attempt; each further one waits twice as long."""

SILENCE = 30.0
"""Seconds for which a web server may send nothing before the request is given up."""

WEB = ("http", "https")
"""Protocols of web servers."""


def split_query(url: str) -> tuple[str, str]:
    """The address of a URL, and its query, as of a signed URL; only web servers have queries."""
    if not url.startswith(tuple(f"{protocol}://" for protocol in WEB)):
        return url, ""
    address, _, query = url.partition("?")
    return address, query


def join_query(address: str, query: str) -> str:
    """The URL that `split_query` takes apart."""
    return f"{address}?{query}" if query else address


def file_system_options(protocol: str, query: str) -> dict[str, Any]:
    """Options of fsspec for a location.

    Args:
        protocol: of the location; a web server that falls silent is given up.
        query: that every request to a web server carries.

    Returns:
        Keyword arguments of `fsspec.filesystem`.
    """
    if protocol not in WEB:
        return {}
    try:
        import aiohttp
    except ImportError:
        return {}  # fsspec says what is missing
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
    options: dict[str, Any] = {"client_kwargs": {"timeout": timeout}}
    if query:
        options["params"] = tuple(parse_qsl(query, keep_blank_values=True))
    return options


def request(
    place: str, call: Callable[[], Result], action: Action = "read", attempts: int | None = None
) -> Result:
    """The result of a request, which is made again where it failed for a transient reason.

    Args:
        place: URL of what is asked for.
        call: makes the request.
        action: what it does.
        attempts: requests that are made before it counts as failed; `ATTEMPTS` if None.

    Raises:
        FileNotFoundError: if there is no such file.
        FileExistsError: if there should be no such file.
        ServerError: naming the cause and what to do, if it still fails.
    """
    attempts = ATTEMPTS if attempts is None else attempts
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except Exception as error:
            _raise_unless_transient(error, place, action, attempt, attempts)
        time.sleep(FIRST_DELAY * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


def _raise_unless_transient(
    error: Exception, place: str, action: Action, attempt: int, attempts: int
) -> None:
    """Raises the error of a failed attempt, unless another one is left and worth making."""
    if isinstance(error, FileExistsError):
        raise error
    if is_already_there(error):
        raise FileExistsError(place) from error
    diagnosis = diagnose(error, place, action)
    if diagnosis is None:
        if isinstance(error, OSError):
            raise error
        raise ServerError(
            f"{place} cannot be {action}: {reason(error)}; check the address."
        ) from error
    if not diagnosis.is_transient or attempt == attempts:
        raise diagnosis.error(place, action, attempt) from error


class RemoteStore(WrapperStore[FsspecStore]):
    """A store on a server: patient with it, and sure that a range is the range asked for.

    Args:
        store: on the server.
        url: of its folder, for messages.
        allow_whole_files: whether a range is taken out of the whole file if the server sends
            that, at the cost of its transfer; refused otherwise.
    """

    def __init__(self, store: FsspecStore, url: str, *, allow_whole_files: bool = False) -> None:
        super().__init__(store)
        self._url = url
        self._allow_whole_files = allow_whole_files

    def _with_store(self, store: FsspecStore) -> RemoteStore:
        return RemoteStore(store, self._url, allow_whole_files=self._allow_whole_files)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Content of a file, or of a range of it; None if there is no such file."""
        place = f"{self._url}/{key}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                sent = await self._store.get(key, prototype, byte_range)
                return None if sent is None else self._range_in(sent, byte_range, place)
            except ArchiveError:
                raise
            except Exception as error:
                if is_past_end(error):
                    return self._range_in(prototype.buffer.from_bytes(b""), byte_range, place)
                _raise_unless_transient(error, place, "read", attempt, ATTEMPTS)
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
