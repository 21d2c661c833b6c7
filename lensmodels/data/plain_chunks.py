"""Chunks of a local Zarr array that are stored as they are in memory, read without decoding.

The images of an archive are not compressed: a chunk is its pixels and a CRC-32C, at a place that
the index at one end of its file tells (Zarr 3, codec sharding_indexed). Reading it straight into
the memory that it is wanted in takes about a seventh of the time of zarr's own reader, most of
which is not spent on bytes (benchmarks/results/streaming.md). Every chunk's checksum is verified
here, too.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Self

import google_crc32c  # a dependency of zarr, for the same purpose
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ShardingCodecIndexLocation

from lensmodels.data.source import Images

_CHECKSUM_SIZE = 4


class PlainChunks:
    """Images of one array: float32, little-endian, (sample, y, x), chunked along the sample.

    Args:
        folder: of the array.
        array: the same, opened with zarr.
        index_first: whether the index is at the beginning of the files, not at their end.
    """

    def __init__(self, folder: Path, array: zarr.Array[Any], *, index_first: bool) -> None:
        assert array.shards is not None
        self._folder = folder
        self._chunk_shape = array.chunks
        self._chunk_bytes = 4 * int(np.prod(array.chunks)) + _CHECKSUM_SIZE
        self._file_size = array.shards[0]
        self._index_first = index_first
        self._indices: dict[int, NDArray[np.uint64]] = {}
        self._scratch = threading.local()

    @classmethod
    def of(cls, folder: Path, array: zarr.Array[Any]) -> Self | None:
        """The chunks of an array, or None where zarr has to decode them."""
        codecs: tuple[Any, ...] = getattr(array.metadata, "codecs", ())
        if len(codecs) != 1 or not isinstance(codecs[0], ShardingCodec):
            return None
        sharding, plain = codecs[0], (BytesCodec(endian="little"), Crc32cCodec())
        whole_images = array.chunks[1:] == array.shape[1:] and array.dtype == np.dtype("<f4")
        if whole_images and sharding.codecs == sharding.index_codecs == plain:
            first = sharding.index_location is ShardingCodecIndexLocation.start
            return cls(folder, array, index_first=first)
        return None

    def read(self, start: int, stop: int, images: Images) -> None:
        """Reads images of one chunk.

        Args:
            start: first image.
            stop: where they end, excluded.
            images: (stop - start, y, x), C-contiguous, filled.

        Raises:
            ValueError: if a checksum is wrong, or the file is cut short.
            OSError: if the file cannot be read.
        """
        chunk_size = self._chunk_shape[0]
        number, place = divmod(start, self._file_size)
        first = place % chunk_size
        whole = stop - start == chunk_size
        chunk = images if whole else self._scratch_chunk()
        checksum = bytearray(_CHECKSUM_SIZE)
        with (self._folder / f"c/{number}/0/0").open("rb", buffering=0) as file:
            offset, size = self._index(number, file.fileno())[place // chunk_size]
            if size != self._chunk_bytes:
                raise ValueError(f"a chunk has {size} bytes where {self._chunk_bytes} are expected")
            received = os.preadv(file.fileno(), [chunk.data, checksum], int(offset))
        if received < self._chunk_bytes:
            raise ValueError("the file is cut short")
        _verify(chunk, bytes(checksum))
        if not whole:
            images[:] = chunk[first : first + stop - start]

    def _index(self, number: int, file: int) -> NDArray[np.uint64]:
        """Offset and size of the chunks of a file, (chunks, 2), read when it is first needed."""
        if number not in self._indices:
            size = 16 * (self._file_size // self._chunk_shape[0]) + _CHECKSUM_SIZE
            place = 0 if self._index_first else os.fstat(file).st_size - size
            content = os.pread(file, size, place)
            index = np.frombuffer(content[:-_CHECKSUM_SIZE], "<u8")
            _verify(index, content[-_CHECKSUM_SIZE:])
            self._indices[number] = index.reshape(-1, 2)
        return self._indices[number]

    def _scratch_chunk(self) -> Images:
        """Room for a chunk of which not all is wanted; each thread's own."""
        if not hasattr(self._scratch, "chunk"):
            self._scratch.chunk = np.empty(self._chunk_shape, np.float32)
        return self._scratch.chunk


def _verify(content: NDArray[Any], checksum: bytes) -> None:
    content = content.view()
    content.flags.writeable = False  # what google_crc32c insists on
    if google_crc32c.value(content) != int.from_bytes(checksum, "little"):
        raise ValueError("a checksum is not that of the content")
