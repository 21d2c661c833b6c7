"""Reading the Zarr groups of an archive, whole chunks at a time."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

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
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.cpu import NDBuffer
from zarr.storage import WrapperStore

from lensmodels.data.files import keep_copy, read_copy, warn_without_cache
from lensmodels.data.plain_chunks import PlainChunks
from lensmodels.data.settings import InputKind
from lensmodels.data.source import COLUMN_TYPES, VORTEX_COLUMNS, Columns, Images, Source
from lensmodels.errors import DataError
from lenssim.archive import Archive, ServerError
from lenssim.archive.manifest import FITS, IMAGES


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
        pixels: what is read as the images: "image", or the "residual" of their fits.

    Raises:
        DataError: if a group's arrays are missing or of another shape than the manifest says.
    """

    def __init__(
        self,
        archive: Archive,
        groups: list[str],
        cache: Path | None,
        pixels: InputKind = "image",
    ) -> None:
        counts = {name: record.count for name in groups if (record := archive.manifest.group(name))}
        super().__init__(counts, archive.manifest.frame.num_pix)
        self._folder, self._pixels = (FITS if pixels == "residual" else IMAGES), pixels
        try:
            root = _root(archive, IMAGES, cache)
            holder = root if self._folder == IMAGES else _root(archive, self._folder, cache)
            self._arrays = {
                name: {
                    column: _array(root, name, column)
                    for column in COLUMN_TYPES
                    if column not in VORTEX_COLUMNS or f"{name}/{column}" in root
                }
                | {"image": _array(holder, name, pixels)}
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
                name: PlainChunks.of(folder / name / pixels, arrays["image"])
                for name, arrays in self._arrays.items()
            }
        self._columns: dict[str, Columns] = {}
        self._lock = threading.Lock()

    def edges(self, group: str) -> NDArray[np.int64]:
        """Where the chunks of a group begin, and its end."""
        count, chunk = self.counts[group], self._arrays[group]["image"].chunks[0]
        return np.append(np.arange(0, count, chunk), count)

    def _read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        plain = self._plain[group]
        if plain is not None:
            plain.read(start, stop, images)
        else:
            room = NDBuffer(images)  # type: ignore[arg-type]
            self._arrays[group]["image"].get_basic_selection(slice(start, stop), out=room)
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
                    for name, dtype in COLUMN_TYPES.items()
                }
            return self._columns[group]

    def _place(self, group: str, start: int) -> str:
        array = self._arrays[group]["image"]
        file_size = (array.shards or array.chunks)[0]
        return f"{self._folder}/{group}/{self._pixels}/c/{start // file_size}/0/0"


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
