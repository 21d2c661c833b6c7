"""Arrays from one process to another: a header in JSON, and then their bytes.

Nothing is unpickled, and nothing is copied but into the arrays that come out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_LENGTH_BYTES = 8


def send(stream: BinaryIO, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a message.

    Args:
        stream: binary, unbuffered or to be flushed here.
        facts: what JSON can express.
        arrays: of plain types, by name.
    """
    shapes = {name: [values.dtype.str, values.shape] for name, values in arrays.items()}
    header = json.dumps({"facts": facts, "arrays": shapes}).encode()
    stream.write(len(header).to_bytes(_LENGTH_BYTES, "little") + header)
    for values in arrays.values():
        if values.size:
            stream.write(_bytes(np.ascontiguousarray(values)))
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Reads a message.

    Args:
        stream: binary.

    Returns:
        What `send` was given.

    Raises:
        EOFError: where the stream ends before the message does.
    """
    length = int.from_bytes(_exactly(stream, bytearray(_LENGTH_BYTES)), "little")
    header = json.loads(bytes(_exactly(stream, bytearray(length))))
    arrays = {}
    for name, (dtype, shape) in header["arrays"].items():
        arrays[name] = np.empty(shape, dtype=dtype)
        if arrays[name].size:
            _exactly(stream, _bytes(arrays[name]))
    return header["facts"], arrays


def _bytes(values: Any) -> memoryview:
    """The bytes of a contiguous array, in place."""
    return memoryview(values).cast("B")


def _exactly(stream: BinaryIO, room: Any) -> Any:
    """Fills a buffer from a stream."""
    view = memoryview(room)
    filled = 0
    while filled < len(view):
        count = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        filled += count
    return room
