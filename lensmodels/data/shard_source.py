"""Reading the WebDataset shards of an archive.

When a shard is first needed it is read once whole: its checksum, every header and every json are
verified, and the columns kept. From then on, images are read by their place alone, as all samples
of a shard take the same number of bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmodels.data.files import warn_without_cache
from lensmodels.data.source import COLUMN_TYPES, OPTIONAL_COLUMNS, Columns, Images, Source
from lensmodels.errors import DataError
from lenssim.archive import Archive
from lenssim.archive.webdataset import ShardParts, parse_shard, pixels_of, shard_path
from lenssim.storage.atomic import replacing

CHUNK_SIZE = 256
"""Images that are read at once."""


class DamagedShardError(ValueError):
    """A shard is not the one that the manifest describes."""


@dataclass(frozen=True)
class _Shard:
    """A verified shard: where its images lie, in a file or in memory, and its columns."""

    path: Path | None
    content: NDArray[np.uint8] | None
    parts: ShardParts
    columns: Columns


class ShardSource(Source):
    """Groups of an archive, from its shards.

    Args:
        archive: that holds them.
        groups: names, as in "train/cdm".
        cache: folder for copies of a remote archive's shards, which are fetched whole; without
            one, they are kept in memory.
        columns: names of scalar columns that are read besides.

    Raises:
        DataError: if a group has no shards.
    """

    def __init__(
        self,
        archive: Archive,
        groups: list[str],
        cache: Path | None,
        columns: Sequence[str] = (),
    ) -> None:
        self._records = {
            name: record for name in groups if (record := archive.manifest.group(name))
        }
        counts = {name: record.count for name, record in self._records.items()}
        super().__init__(counts, archive.manifest.model.num_pix, columns)
        for name, record in self._records.items():
            if shard_path(record, 0) not in archive.manifest.files:
                raise DataError(
                    f"{archive.location} has no shards of {name}; make them with "
                    "`lenssim export --to webdataset` or read its Zarr store."
                )
        self._archive = archive
        self._cache = cache
        self._shards: dict[str, _Shard] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def edges(self, group: str) -> NDArray[np.int64]:
        """Where the chunks of a group begin, and its end."""
        record = self._records[group]
        samples = [record.samples(shard) for shard in range(record.shards)]
        starts = [np.arange(shard.start, shard.stop, CHUNK_SIZE) for shard in samples]
        return np.concatenate([*starts, [record.count]])

    def _read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        shard = self._open(group, start)
        first = start % self._records[group].shard_size
        size, offset = (stop - start) * shard.parts.stride, first * shard.parts.stride
        if shard.content is not None:
            content = shard.content[offset : offset + size]
        else:
            assert shard.path is not None
            content = np.fromfile(shard.path, np.uint8, size, offset=offset)
        if len(content) < size:
            raise DamagedShardError("it is cut short")
        images[:] = pixels_of(content, shard.parts, stop - start, self.num_pix)
        rows = slice(first, first + stop - start)
        return {name: values[rows] for name, values in shard.columns.items()}

    def _open(self, group: str, sample: int) -> _Shard:
        """The shard of a sample, verified when it is first asked for."""
        name = self._place(group, sample)
        with self._locks[name]:
            if name not in self._shards:
                record = self._records[group]
                samples = record.samples(sample // record.shard_size)
                path, content = self._fetch(name)
                model = self._archive.manifest.name
                parts = parse_shard(content, model, record, samples, self.num_pix)
                held = np.frombuffer(content, np.uint8) if path is None else None
                columns = stored_columns(parts.scalars, samples, self.column_types)
                self._shards[name] = _Shard(path, held, parts, columns)
            return self._shards[name]

    def _fetch(self, name: str) -> tuple[Path | None, bytes]:
        """The local file of a shard and its content, which is what the manifest says.

        Without a cache folder a remote shard has no local file, and its content is all there is.
        """
        location, record = self._archive.location, self._archive.manifest.files[name]
        copy = None if self._cache is None else self._cache / name
        if copy is not None:
            with suppress(OSError):
                content = copy.read_bytes()
                if hashlib.sha256(content).hexdigest() == record.sha256:
                    return copy, content
        content = location.read(name)
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise DamagedShardError("its checksum is not the one in archive.json")
        if location.is_local:
            return Path(location.path(name)), content
        if copy is not None:
            try:
                with replacing(copy) as scratch:
                    scratch.write_bytes(content)
            except OSError as error:
                self._cache = None
                warn_without_cache(error.strerror or str(error))
                return None, content
        return copy, content

    def _place(self, group: str, start: int) -> str:
        record = self._records[group]
        return shard_path(record, start // record.shard_size)


def stored_columns(
    scalars: Sequence[dict[str, Any]],
    samples: range,
    types: Mapping[str, type[np.generic]] = COLUMN_TYPES,
) -> Columns:
    """The columns of a batch, each (n,), from those of a shard.

    Args:
        scalars: of each sample of the shard.
        samples: indices that they must have.
        types: of the columns, by name; those besides `COLUMN_TYPES` may be missing.

    Raises:
        DamagedShardError: if one is missing, or they are of other samples.
    """
    try:
        # null, which a class without a vortex has, becomes NaN
        missing = dict.fromkeys([*OPTIONAL_COLUMNS, *(types.keys() - COLUMN_TYPES.keys())])
        rows = [missing | row for row in scalars]
        table = {
            name: np.array([row[name] for row in rows], np.float64) for name in ("sample", *types)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedShardError(f"a json is damaged or lacks a column ({error})") from None
    if (table.pop("sample") != np.arange(samples.start, samples.stop)).any():
        raise DamagedShardError("a json is of another sample than its name says")
    return {name: values.astype(types[name]) for name, values in table.items()}
