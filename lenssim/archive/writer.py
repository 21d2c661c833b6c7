"""Writing the groups of an archive, shard by shard, so that any number of workers can share it.

A group is created with its full shape; each shard is then one file a variable, written by one
task and recorded, with checksums, in a progress file of its own. What has a progress file is
done; a group whose shards are all done is finalised: its progress files become the manifest's
records.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.errors import ZarrUserWarning
from zarr.storage import WrapperStore

from lenssim.archive.location import Location, Store
from lenssim.archive.manifest import IMAGES, FileRecord, GroupRecord, Manifest
from lenssim.archive.schema import COORDINATES, UNKNOWN_UNITS, Column, columns_of

PROGRESS = ".progress"

CHUNK_SIZE = 256
"""Images in a chunk, the least that is read at once; see benchmarks/results/storage.md."""

SHARD_SIZE = 2048
"""Images in a shard, which is one file a variable and one task of the pipeline."""


class _RecordingStore(WrapperStore[Store]):
    """A store that keeps size and checksum of every shard that is written through it.

    Shards are written whole: what an earlier attempt left of one, torn perhaps, is not read.
    """

    records: dict[str, FileRecord]

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.records = {}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Content of a metadata file; none for a shard."""
        if not key.endswith("zarr.json"):
            return None
        return await self._store.get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer, byte_range: Any = None) -> None:
        """Writes a file and records it."""
        record, _ = await asyncio.gather(
            asyncio.to_thread(FileRecord.of, value.as_numpy_array().data),
            self._store.set(key, value),
        )
        self.records[key] = record


@dataclass(frozen=True)
class GroupLayout:
    """Where the pieces of one group are: shards of `shard_size` images, the last one shorter."""

    record: GroupRecord
    chunk_size: int = CHUNK_SIZE
    shard_size: int = SHARD_SIZE

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.record.count // self.shard_size)

    def samples(self, shard: int) -> range:
        """Sample indices of a shard."""
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.record.count))

    def progress_file(self, shard: int) -> str:
        """Path of the file that says that a shard is done."""
        return f"{PROGRESS}/{self.record.name}/{shard:06d}.json"


def _layout_file(name: str) -> str:
    """Path of the file that says that a group has been created, and how it is cut."""
    return f"{PROGRESS}/{name}/layout.json"


def read_layout(location: Location, name: str) -> GroupLayout | None:
    """Layout of a group that was created but is not complete; None where there is none."""
    try:
        values = json.loads(location.read(_layout_file(name)))
    except FileNotFoundError:
        return None
    return GroupLayout(
        GroupRecord.model_validate(values["record"]), values["chunk_size"], values["shard_size"]
    )


def create_group(
    location: Location,
    layout: GroupLayout,
    manifest: Manifest,
    subhalo_bound: int,
) -> None:
    """Creates the arrays of a group, empty, and writes its coordinates.

    Args:
        location: of the archive.
        layout: the group's split, class, count and shards.
        manifest: decides the image size and the coordinates; its name, seed and hashes go into
            the group's attributes.
        subhalo_bound: length of the subhalo dimension.
    """
    record = layout.record
    with location.writing():
        _create_arrays(location, layout, manifest, subhalo_bound)
    values = {
        "record": record.model_dump(by_alias=True),
        "chunk_size": layout.chunk_size,
        "shard_size": layout.shard_size,
    }
    location.write(_layout_file(record.name), json.dumps(values).encode())


def _create_arrays(
    location: Location,
    layout: GroupLayout,
    manifest: Manifest,
    subhalo_bound: int,
) -> None:
    record, frame = layout.record, manifest.frame
    store = location.zarr_store(IMAGES, read_only=False)
    zarr.open_group(store, mode="a", zarr_format=3)
    group = zarr.create_group(
        store,
        path=record.name,
        overwrite=True,
        attributes={
            "Conventions": "CF-1.11",
            "title": f"lenssim {frame.name}: {record.name}",
            "model": frame.name,
            "spec_version": frame.version,
            "spec_sha256": manifest.spec_sha256,
            "split": record.split,
            "class": record.substructure_class,
            "seed": manifest.seed,
            "pixel_scale": frame.pixel_scale,
            "generator_version": manifest.generator_version,
            "licence": frame.licence,
        },
    )
    sizes = {
        "sample": record.count,
        "y": frame.num_pix,
        "x": frame.num_pix,
        "subhalo": subhalo_bound,
    }
    for column in columns_of(record.substructure_class):
        attributes = dict(column.attributes)
        if column.name == "image" and manifest.imported is not None:
            attributes["units"] = UNKNOWN_UNITS
        _create_column(group, column, attributes, sizes, layout)
    centres = np.arange(frame.num_pix) - 0.5 * (frame.num_pix - 1)
    scale, units = (1.0, "pixel") if frame.pixel_scale is None else (frame.pixel_scale, "arcsec")
    for axis in ("x", "y"):
        _create_coordinate(
            group,
            axis,
            centres * scale,
            {"long_name": f"pixel centre from the lens, {axis}", "units": units},
        )
    meaning = (
        "sample index, which keys the image's random stream"
        if manifest.imported is None
        else "sample index"
    )
    _create_coordinate(
        group,
        "sample",
        np.arange(record.count, dtype=np.int64),
        {"long_name": meaning, "units": "1"},
    )


def _create_column(
    group: zarr.Group,
    column: Column,
    attributes: dict[str, Any],
    sizes: dict[str, int],
    layout: GroupLayout,
) -> None:
    shape = tuple(sizes[dimension] for dimension in column.dimensions)
    rest = tuple(max(size, 1) for size in shape[1:])
    # scalars are read whole: a file is one chunk; images and subhalo lists are cut into more
    file_shape = (layout.shard_size, *rest)
    is_cut = not column.is_scalar and layout.chunk_size < layout.shard_size
    group.create_array(
        column.name,
        shape=shape,
        dtype=column.dtype,
        chunks=(layout.chunk_size, *rest) if is_cut else file_shape,
        shards=file_shape if is_cut else None,
        compressors=_codecs(column),
        fill_value=np.nan if column.dtype.startswith("float") else 0,
        dimension_names=column.dimensions,
        attributes=attributes,
    )


def _codecs(column: Column) -> list[Any]:
    """Codecs of a column's chunks, each with a checksum; see benchmarks/results/storage.md."""
    compressor = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    if column.name == "image":
        return [Crc32cCodec()]
    return [compressor, Crc32cCodec()]


def _create_coordinate(
    group: zarr.Group, name: str, values: NDArray[Any], attributes: dict[str, Any]
) -> None:
    group.create_array(
        name,
        data=values,
        chunks=values.shape,
        compressors=None,
        dimension_names=(name,),
        attributes=attributes,
    )


def write_shard(
    location: Location, layout: GroupLayout, shard: int, columns: dict[str, NDArray[Any]]
) -> None:
    """Writes one shard of a group and its progress file; doing it again changes nothing.

    Args:
        location: of the archive.
        layout: of the group, which must have been created.
        shard: index of the shard.
        columns: every column of the group's class, for the shard's samples.
    """
    store = _RecordingStore(location.zarr_store(IMAGES, read_only=False))
    samples = layout.samples(shard)
    with location.writing():
        group = zarr.open_group(store, path=layout.record.name, mode="r+", zarr_format=3)
        for name, values in columns.items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            array[samples.start : samples.stop] = values
    records = {key: record.model_dump() for key, record in sorted(store.records.items())}
    location.write(layout.progress_file(shard), json.dumps(records).encode())


def shards_done(location: Location, name: str) -> set[int]:
    """Indices of the shards of a group that are done.

    Those that have a progress file, and every file it records in its full size: after a power
    cut, a small file can have reached the disk before the large ones that were written first.
    """
    done = set()
    sizes = location.sizes(f"{IMAGES}/{name}")
    for file in location.names(f"{PROGRESS}/{name}"):
        stem = file.removesuffix(".json")
        if not stem.isdigit():
            continue
        records = _read_records(location, f"{PROGRESS}/{name}/{file}")
        if records and all(sizes.get(path) == record.size for path, record in records.items()):
            done.add(int(stem))
    return done


def _read_records(location: Location, progress_file: str) -> dict[str, FileRecord]:
    """Records of a shard's files, by path in the archive; none from a damaged progress file."""
    try:
        values = json.loads(location.read(progress_file))
    except ValueError:
        return {}
    return {f"{IMAGES}/{key}": FileRecord.model_validate(value) for key, value in values.items()}


def finalise_group(location: Location, layout: GroupLayout, manifest: Manifest) -> Manifest:
    """The manifest with a group whose shards are all done; its metadata is consolidated.

    Args:
        location: of the archive.
        layout: of the group.
        manifest: as it is without the group.

    Returns:
        A new manifest; nothing is complete before it is written.
    """
    name = layout.record.name
    files = dict(manifest.files)
    for shard in range(layout.shards):
        files |= _read_records(location, layout.progress_file(shard))
    store = location.zarr_store(IMAGES, read_only=False)
    with location.writing(), warnings.catch_warnings():
        # not yet in the Zarr 3 specification, but what zarr-python and xarray read
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        for path in (name, layout.record.split, ""):
            zarr.consolidate_metadata(store, path=path or None, zarr_format=3)
    coordinates = tuple(f"{IMAGES}/{name}/{axis}/" for axis in COORDINATES)
    for path in location.sizes(IMAGES):
        if path.endswith("/zarr.json") or path.startswith(coordinates):
            files[path] = FileRecord.of(location.read(path))
    groups = [group for group in manifest.groups if group.name != name] + [layout.record]
    groups.sort(key=lambda group: (group.split != "train", group.substructure_class))
    return manifest.model_copy(update={"groups": groups, "files": dict(sorted(files.items()))})
