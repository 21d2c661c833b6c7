"""Reading the Zarr groups of an archive, whole chunks at a time.

The images of an archive are not compressed: a chunk of a local file is its pixels and a CRC-32C, at
a place that the index at one end of its file gives (Zarr 3, codec sharding_indexed). Reading it
straight into the memory where it is wanted takes about a seventh of the time of zarr's own reader,
most of which is not spent on bytes (benchmarks/results/streaming.json). Every checksum is verified
here, too.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import google_crc32c  # a dependency of zarr, for the same purpose
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ShardingCodecIndexLocation
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.cpu import NDBuffer
from zarr.storage import WrapperStore

from lensmodels.data.files import keep_copy, read_copy, warn_without_cache
from lensmodels.data.settings import InputKind
from lensmodels.data.source import Columns, Images, Source
from lensmodels.errors import DataError
from lenssim.archive import Archive, ServerError
from lenssim.archive.manifest import FITS, IMAGES

_CHECKSUM_SIZE = 4

RESIDUAL_LIMIT = 4.0
"""Rms of a residual in units of the noise. Of 12,000 images of B-wide one fit that converged leaves
more, 4.3, and three that failed leave 109 to 167."""


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
        """The chunks of an array, or None if zarr has to decode them."""
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


class CachingStore(WrapperStore[Store]):
    """A store that keeps what it has read once in a folder, range by range.

    A shuffled stream reads single chunks out of large files: only those cross the network, and
    the first batch need not wait for whole files. Copies carry checksums of their own: one
    that was damaged since it came is fetched again.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self._folder = folder
        self._is_full = False

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, from the folder where it has them."""
        copy = self._folder / f"{key}{_suffix(byte_range)}"
        if (content := await asyncio.to_thread(read_copy, copy)) is not None:
            return prototype.buffer.from_bytes(content)
        fetched = await self._store.get(key, prototype, byte_range)
        if fetched is not None:
            await asyncio.to_thread(self._keep, copy, fetched.to_bytes())
        return fetched

    def _keep(self, copy: Path, content: bytes) -> None:
        """Keeps a copy as long as there is room for copies."""
        if self._is_full:
            return
        try:
            keep_copy(copy, content)
        except OSError as error:
            self._is_full = True
            warn_without_cache(error.strerror or str(error))


def _suffix(byte_range: ByteRequest | None) -> str:
    """Ending of a copy's name that tells its range."""
    match byte_range:
        case None:
            return ""
        case RangeByteRequest(start, end):
            return f".{start}-{end}"
        case OffsetByteRequest(offset):
            return f".{offset}-"
        case SuffixByteRequest(suffix):
            return f".-{suffix}"


class ZarrSource(Source):
    """Groups of an archive's Zarr store.

    Args:
        archive: that holds them.
        groups: names, as in "train/cdm".
        cache: folder for copies of what a remote archive sends; without one, it is fetched again.
        pixels: what is read as the images: "image", the "residual" of their fits, or "both", as
            two channels.
        columns: names of scalar columns that are read besides.

    Raises:
        DataError: if a group's arrays are missing or of another shape than the manifest says.
    """

    def __init__(
        self,
        archive: Archive,
        groups: list[str],
        cache: Path | None,
        pixels: InputKind = "image",
        columns: Sequence[str] = (),
    ) -> None:
        counts = {name: record.count for name in groups if (record := archive.manifest.group(name))}
        channels = 2 if pixels == "both" else 1
        super().__init__(counts, archive.manifest.model.num_pix, columns, channels)
        self._folder = IMAGES if pixels == "image" else FITS
        self._pixels = "image" if pixels == "image" else "residual"
        try:
            root = _root(archive, IMAGES, cache)
            holder = root if self._folder == IMAGES else _root(archive, self._folder, cache)
            self._arrays = {
                name: {
                    column: _array(root, name, column)
                    for column in self.column_types
                    if not self.may_lack(column) or f"{name}/{column}" in root
                }
                | {"image": _array(holder, name, self._pixels)}
                for name in groups
            }
        except ServerError as error:
            raise DataError(str(error)) from error
        except Exception as error:  # file systems and zarr raise what they like
            raise DataError(
                f"{archive.location}/{self._folder} cannot be opened: {str(error).rstrip('.')}."
            ) from error
        for name, arrays in self._arrays.items():
            expected = (self.counts[name], self.num_pix, self.num_pix)
            if arrays["image"].shape != expected:
                raise DataError(
                    f"{archive.location}/{self._folder}/{name} holds images of shape "
                    f"{arrays['image'].shape} where its manifest says {expected}."
                )
        self._plain: dict[str, PlainChunks | None] = dict.fromkeys(groups)
        if archive.location.is_local:
            folder = Path(archive.location.path(self._folder))
            self._plain = {
                name: PlainChunks.of(folder / name / self._pixels, arrays["image"])
                for name, arrays in self._arrays.items()
            }
        self._beside = ZarrSource(archive, groups, cache) if pixels == "both" else None
        self._columns: dict[str, Columns] = {}
        self._lock = threading.Lock()

    def edges(self, group: str) -> NDArray[np.int64]:
        """Where the chunks of a group begin, and its end."""
        count, chunk = self.counts[group], self._arrays[group]["image"].chunks[0]
        own = np.append(np.arange(0, count, chunk), count)
        return own if self._beside is None else np.union1d(own, self._beside.edges(group))

    def _read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        if self._beside is not None:
            residuals = np.empty_like(images[:, 0])
            columns = self._read_one(group, start, stop, residuals)
            beside = np.empty_like(residuals)
            self._beside.read(group, start, stop, beside)
            images[:, 0], images[:, 1] = residuals, beside
            return columns
        return self._read_one(group, start, stop, images)

    def _read_one(self, group: str, start: int, stop: int, images: Images) -> Columns:
        """Reads a range of the first channel, C-contiguous, and the columns."""
        plain = self._plain[group]
        if plain is not None:
            plain.read(start, stop, images)
        else:
            room = NDBuffer(images)  # type: ignore[arg-type]
            self._arrays[group]["image"].get_basic_selection(slice(start, stop), out=room)
        if self._pixels == "residual":
            limit_residuals(images)
        columns = self._group_columns(group)
        return {name: values[start:stop] for name, values in columns.items()}

    def _group_columns(self, group: str) -> Columns:
        """The scalar columns of a group, which are small, read whole and once."""
        with self._lock:
            if group not in self._columns:
                arrays, count = self._arrays[group], self.counts[group]
                self._columns[group] = {
                    name: np.asarray(arrays[name][:]).astype(dtype)
                    if name in arrays
                    else np.full(count, np.nan, dtype)
                    for name, dtype in self.column_types.items()
                }
            return self._columns[group]

    def _place(self, group: str, start: int) -> str:
        array = self._arrays[group]["image"]
        file_size = (array.shards or array.chunks)[0]
        return f"{self._folder}/{group}/{self._pixels}/c/{start // file_size}/0/0"


def limit_residuals(residuals: Images) -> None:
    """Bring residuals of rms above RESIDUAL_LIMIT down to it, each by one factor, in place.

    A smooth fit that failed may leave an rms of a hundred sigma and more. A few
    such images in ten thousand take over the mean and variance of every batch norm that they pass,
    and with them the scores of all others.

    Args:
        residuals: (n, num_pix, num_pix), in units of the noise.
    """
    squares = np.einsum("nij,nij->n", residuals, residuals, dtype=np.float64)
    rms = np.sqrt(squares / np.prod(residuals.shape[1:]))
    for place in np.flatnonzero(rms > RESIDUAL_LIMIT):
        residuals[place] *= RESIDUAL_LIMIT / rms[place]


def _root(archive: Archive, folder: str, cache: Path | None) -> zarr.Group:
    """The root of a Zarr store of an archive, which keeps copies in `cache` if there is one."""
    store: Store = archive.location.zarr_store(folder, read_only=True)
    if cache is not None:
        store = CachingStore(store, cache / folder)
    return zarr.open_group(store, mode="r")


def _array(root: zarr.Group, group: str, column: str) -> zarr.Array[Any]:
    array = root[f"{group}/{column}"]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{group}/{column} is no array")
    return array
