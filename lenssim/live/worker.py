"""One process of a live source: `python -m lenssim.live.worker` with its settings on stdin.

It makes every n-th batch of n processes and writes it to stdout. A thread writes while the next
batch is made, and a queue between the two bounds how far the process runs ahead: when it is full,
the process waits for the reader. It ends when nobody reads any more. A batch is a header in JSON
and then the bytes of its arrays: nothing is unpickled, and nothing is copied but into the arrays
that come out.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lenssim.errors import LenssimError

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
        EOFError: if the stream ends before the message does.
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


Message = tuple[dict[str, Any], dict[str, Any]]


def produce(messages: Iterator[Message], stream: BinaryIO, ahead: int) -> None:
    """Writes messages while further ones are made, until the reader is gone.

    Args:
        messages: made as they are asked for.
        stream: to write to.
        ahead: messages that may wait to be written.
    """
    waiting: queue.Queue[Message | None] = queue.Queue(maxsize=ahead)
    gone = threading.Event()

    def write() -> None:
        try:
            while (message := waiting.get()) is not None:
                send(stream, *message)
        except OSError:  # the reader has closed its end
            gone.set()
            while waiting.get() is not None:
                pass

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        for message in messages:
            if gone.is_set():
                return
            waiting.put(message)
    finally:
        waiting.put(None)
        writer.join()


def batches(request: dict[str, Any]) -> Iterator[Message]:
    """The messages of one process: its batches, or the reason why there is none.

    Args:
        request: `settings` of the source, `first` batch and `step` to the next.
    """
    try:
        from lenssim.live.batches import BatchMaker, LiveSettings

        maker = BatchMaker(LiveSettings.model_validate(request["settings"]))
        number = request["first"]
        while True:
            batch = maker.make(number)
            arrays = {"images": batch.images, **_prefixed("columns", batch.columns)}
            if batch.second_images is not None:
                arrays["second_images"] = batch.second_images
                arrays |= _prefixed("second_columns", batch.second_columns)
            yield {"number": number}, arrays
            number += request["step"]
    except Exception as error:
        known = isinstance(error, LenssimError)
        what = str(error) if known else f"{type(error).__name__}: {error}"
        yield {"error": what, "is_known": known}, {}


def _prefixed(name: str, columns: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}/{column}": values for column, values in columns.items()}


def main(make: Callable[[dict[str, Any]], Iterator[Message]] = batches) -> None:
    """Reads the request and produces until the reader is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # are the reader's to handle, who ends this
        signal.signal(number, signal.SIG_IGN)
    request = json.load(sys.stdin)
    # what anything prints must not get between the messages
    stream = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)
    produce(make(request), stream, request["ahead"])


if __name__ == "__main__":
    main()
