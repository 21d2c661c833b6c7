"""Writing the groups of an archive, shard by shard, so that any number of workers can share it.

A group's arrays are created with their full shape; each shard is then one file a variable, and one
tar file where WebDataset shards are asked for, written by one task and recorded, with checksums,
in a progress file of its own. What has a progress file is done. A group whose shards are all done
is finalised: only then does it get the metadata that makes the arrays a group which readers can
open, and its progress files become the manifest's records.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.codecs import BloscCodec, Crc32cCodec, ShardingCodecIndexLocation
from zarr.core.array import ShardsConfigParam
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.errors import ZarrUserWarning
from zarr.storage import WrapperStore

from lenssim.archive.column import Column
from lenssim.archive.layout import GroupLayout, write_layout
from lenssim.archive.manifest import (
    SHARDS,
    FileRecord,
    GroupRecord,
    Manifest,
    joined_platforms,
)
from lenssim.archive.schema import COORDINATES, FORMATS
from lenssim.archive.webdataset import encode_shard, shard_path
from lenssim.spec import SPLITS
from lenssim.storage.location import Location, Store


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


class _HidingStore(WrapperStore[Store]):
    """A store that does not write one file: the metadata that would show a group to readers.

    Zarr writes it with the first array of the group; it is written when the group is complete.
    """

    def __init__(self, store: Store, hidden: str) -> None:
        super().__init__(store)
        self._hidden = hidden

    async def set(self, key: str, value: Buffer) -> None:
        """Writes a file, unless it is the hidden one."""
        if key != self._hidden:
            await self._store.set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Writes a new file, unless it is the hidden one."""
        if key != self._hidden:
            await self._store.set_if_not_exists(key, value)


def create_group(
    location: Location,
    layout: GroupLayout,
    manifest: Manifest,
    subhalo_bound: int,
    parameters: int = 0,
) -> None:
    """Creates the arrays of a group, empty, and writes its coordinates.

    Args:
        location: of the archive.
        layout: the group's split, class, count and shards.
        manifest: decides the image size and the coordinates.
        subhalo_bound: length of the subhalo dimension.
        parameters: length of the parameter dimension, of fits.
    """
    record = layout.record
    if "zarr" in record.formats:
        with location.writing():
            _create_arrays(location, layout, manifest, subhalo_bound, parameters)
    write_layout(location, layout)


def _create_arrays(
    location: Location,
    layout: GroupLayout,
    manifest: Manifest,
    subhalo_bound: int,
    parameters: int,
) -> None:
    record, model = layout.record, manifest.model
    location.remove(f"{layout.store}/{record.name}")
    store = _HidingStore(
        location.zarr_store(layout.store, read_only=False), hidden=f"{record.name}/zarr.json"
    )
    sizes = {
        "sample": record.count,
        **manifest.dimensions,
        "subhalo": subhalo_bound,
        "parameter": parameters,
    }
    for column in layout.columns:
        attributes = dict(column.attributes)
        if column.name == "image":
            attributes["units"] = manifest.image_unit
        _create_column(store, record.name, column, attributes, sizes, layout)
    centres = np.arange(model.num_pix) - 0.5 * (model.num_pix - 1)
    scale, units = (1.0, "pixel") if model.pixel_scale is None else (model.pixel_scale, "arcsec")
    for axis in ("x", "y"):
        _create_coordinate(
            store,
            f"{record.name}/{axis}",
            centres * scale,
            {"long_name": f"pixel centre from the lens, {axis}", "units": units},
        )
    meaning = (
        "sample index, which keys the image's random stream"
        if manifest.imported is None
        else "sample index"
    )
    _create_coordinate(
        store,
        f"{record.name}/sample",
        np.arange(record.count, dtype=np.int64),
        {"long_name": meaning, "units": "1"},
    )


def group_attributes(record: GroupRecord, manifest: Manifest) -> dict[str, Any]:
    """Attributes of a group: what it is, and from what it was made."""
    model = manifest.model
    return {
        "Conventions": "CF-1.11",
        "title": f"lenssim {model.name}: {record.name}",
        "model": model.name,
        "spec_version": model.version,
        "spec_sha256": manifest.spec_sha256,
        "split": record.split,
        "class": record.substructure_class,
        "seed": manifest.seed,
        "pixel_scale": model.pixel_scale,
        "generator_version": manifest.generator_version,
        "licence": model.licence,
    }


def _create_column(
    store: Store,
    group: str,
    column: Column,
    attributes: dict[str, Any],
    sizes: dict[str, int],
    layout: GroupLayout,
) -> None:
    shape = tuple(sizes[dimension] for dimension in column.dimensions)
    rest = tuple(max(size, 1) for size in shape[1:])
    # scalars are read whole: a file is one chunk; images and subhalo lists are cut into more
    file_shape = (layout.record.shard_size, *rest)
    is_cut = not column.is_scalar and layout.chunk_size < layout.record.shard_size
    zarr.create_array(
        store,
        name=f"{group}/{column.name}",
        zarr_format=3,
        shape=shape,
        dtype=column.dtype,
        chunks=(layout.chunk_size, *rest) if is_cut else file_shape,
        # the index of the chunks comes first, so that one request for a known range gets it
        shards=ShardsConfigParam(shape=file_shape, index_location=ShardingCodecIndexLocation.start)
        if is_cut
        else None,
        compressors=_codecs(column),
        fill_value=np.nan if column.dtype.startswith("float") else 0,
        dimension_names=column.dimensions,
        attributes=attributes,
    )


def _codecs(column: Column) -> list[Any]:
    """Codecs of a column's chunks, each with a checksum; see benchmarks/results/storage.md."""
    compressor = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    if column.name in ("image", "residual"):
        return [Crc32cCodec()]
    return [compressor, Crc32cCodec()]


def _create_coordinate(
    store: Store, path: str, values: NDArray[Any], attributes: dict[str, Any]
) -> None:
    zarr.create_array(
        store,
        name=path,
        zarr_format=3,
        data=values,
        chunks=values.shape,
        compressors=None,
        dimension_names=(path.rpartition("/")[2],),
        attributes=attributes,
    )


def write_shard(
    location: Location,
    layout: GroupLayout,
    model: str,
    shard: int,
    columns: dict[str, NDArray[Any]],
    platform: str | None = None,
) -> None:
    """Writes one shard of a group and its progress file; doing it again changes nothing.

    Args:
        location: of the archive.
        layout: of the group, which must have been created, or be complete for an export.
        model: name of the data set, which WebDataset keys begin with.
        shard: index of the shard.
        columns: every column of the group's class, for the shard's samples.
        platform: what they were simulated on.
    """
    record, samples = layout.record, layout.record.samples(shard)
    records: dict[str, FileRecord] = {}
    if "zarr" in record.formats:
        store = _RecordingStore(location.zarr_store(layout.store, read_only=False))
        with location.writing():
            for name, values in columns.items():
                array_path = f"{record.name}/{name}"
                array = zarr.open_array(store, path=array_path, mode="r+", zarr_format=3)
                array[samples.start : samples.stop] = values
        records |= {f"{layout.store}/{key}": file for key, file in store.records.items()}
    if "webdataset" in record.formats:
        path = shard_path(record, shard)
        content = encode_shard(model, record, samples, columns).data
        location.write(path, content)
        records[path] = FileRecord.of(content)
    listed = {path: records[path].model_dump() for path in sorted(records)}
    progress = {"platform": platform, "files": listed}
    location.write(layout.progress_file(shard), json.dumps(progress).encode())


def shards_done(location: Location, layout: GroupLayout) -> set[int]:
    """Indices of the shards of a group that are done.

    Those that have a progress file, and every file it records in its full size: after a power
    cut, a small file can have reached the disk before the large ones that were written first.
    """
    done: set[int] = set()
    folder, name = layout.progress_folder, layout.record.name
    files = [file for file in location.names(folder) if file.removesuffix(".json").isdigit()]
    if not files:
        return done
    sizes = location.sizes(f"{layout.store}/{name}") | location.sizes(
        f"{SHARDS}/{layout.record.split}"
    )
    for file in files:
        records, _ = read_progress(location, f"{folder}/{file}")
        if records and all(sizes.get(path) == record.size for path, record in records.items()):
            done.add(int(file.removesuffix(".json")))
    return done


def read_progress(
    location: Location, progress_file: str
) -> tuple[dict[str, FileRecord], str | None]:
    """Records of a shard's files, by path in the archive, and its platform.

    None of either from a progress file that is damaged, or of an earlier version.
    """
    try:
        values = json.loads(location.read(progress_file))
        records = {path: FileRecord.model_validate(file) for path, file in values["files"].items()}
        return records, values["platform"]
    except (ValueError, KeyError):
        return {}, None


def finalise_group(location: Location, layout: GroupLayout, manifest: Manifest) -> Manifest:
    """The manifest with a group whose shards are all done; its metadata is consolidated.

    Args:
        location: of the archive.
        layout: of the group.
        manifest: as it is without the group, or for an export, without its new format.

    Returns:
        A new manifest; nothing is complete before it is written.
    """
    record = layout.record
    files = dict(manifest.files)
    platforms = {manifest.platform}
    for shard in range(layout.record.shards):
        records, platform = read_progress(location, layout.progress_file(shard))
        files |= records
        platforms.add(platform)
    if "zarr" in record.formats:
        attributes = group_attributes(record, manifest)
        complete = [group.name for group in manifest.groups if "zarr" in group.formats]
        files |= finalise_zarr(location, layout, attributes, complete)
    held = manifest.group(record.name)
    if held is not None:
        formats = tuple(storage for storage in FORMATS if storage in held.formats + record.formats)
        record = record.model_copy(update={"formats": formats})
    groups = [group for group in manifest.groups if group.name != record.name] + [record]
    groups.sort(key=lambda group: (group.split != "train", group.substructure_class))
    update = {
        "groups": groups,
        "files": dict(sorted(files.items())),
        "platform": joined_platforms(platforms),
    }
    return manifest.model_copy(update=update)


def finalise_zarr(
    location: Location, layout: GroupLayout, attributes: dict[str, Any], complete: list[str]
) -> dict[str, FileRecord]:
    """Makes the arrays a group that can be opened.

    Args:
        location: of the archive.
        layout: of the group.
        attributes: of the group.
        complete: names of the groups of the same store that are complete already.

    Returns:
        Records of all metadata and coordinates, by path in the archive.
    """
    record = layout.record
    store = location.zarr_store(layout.store, read_only=False)
    with location.writing(), warnings.catch_warnings():
        # not yet in the Zarr 3 specification, but what zarr-python and xarray read
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        # groups beside this one that are not complete
        warnings.filterwarnings("ignore", "Object at .* is not recognized", ZarrUserWarning)
        group = zarr.open_group(store, path=record.name, mode="a", zarr_format=3)
        group.attrs.update(attributes)
        for path in (record.name, record.split, ""):
            zarr.consolidate_metadata(store, path=path or None, zarr_format=3)
    shown = tuple(f"{name}/" for name in [*complete, record.name])
    coordinates = tuple(f"{layout.store}/{record.name}/{axis}/" for axis in COORDINATES)
    files = {}
    for path in location.sizes(layout.store):
        folder = path.removeprefix(f"{layout.store}/").rpartition("/")[0]
        # metadata of complete groups, and of the nodes above them
        is_metadata = path.endswith("/zarr.json") and (
            folder in ("", *SPLITS) or f"{folder}/".startswith(shown)
        )
        if is_metadata or path.startswith(coordinates):
            files[path] = FileRecord.of(location.read(path))
    return files
