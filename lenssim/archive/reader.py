"""Reading an archive, without trusting it: what a server or a disk hands over is checked first."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from lenssim.archive.column import Column
from lenssim.archive.manifest import (
    FITS,
    IMAGES,
    MANIFEST,
    FileRecord,
    GroupRecord,
    Manifest,
    read_manifest,
)
from lenssim.archive.schema import COORDINATES
from lenssim.archive.versions import published_versions
from lenssim.archive.webdataset import parse_shard, pixels_of, shard_path
from lenssim.errors import ArchiveError
from lenssim.spec import MAX_SUBHALOS, Specification, Split, SubstructureClass
from lenssim.storage.location import Location, Store
from lenssim.storage.server_errors import reason

if TYPE_CHECKING:
    import xarray as xr

_PLAIN_TYPES = {"int8", "int64", "float32", "float64"}
_PLAIN_CODECS = {"bytes", "blosc", "crc32c", "sharding_indexed"}
"""What our arrays consist of. Others, such as those of pickled objects, are not decoded."""

MAX_PARAMETERS = 1000
"""Parameters of a fit; more than that is meant to exhaust a reader's memory."""


@dataclass(frozen=True)
class Archive:
    """An archive that is there: its manifest, and its groups as xarray Datasets."""

    location: Location
    manifest: Manifest

    def __repr__(self) -> str:
        return f"Archive at {self.location}\n{self.manifest.summary()}"

    @property
    def spec(self) -> Specification:
        """The specification that it was made from."""
        return self.manifest.specification()

    def record(self, split: Split, substructure_class: SubstructureClass) -> GroupRecord:
        """Record of a group.

        Raises:
            ArchiveError: if the archive does not hold that group complete.
        """
        name = f"{split}/{substructure_class}"
        record = self.manifest.group(name)
        if record is None:
            held = ", ".join(group.name for group in self.manifest.groups) or "no complete group"
            raise ArchiveError(f"{self.location} does not hold {name}; it holds {held}.")
        return record

    def dataset(
        self,
        split: Split,
        substructure_class: SubstructureClass,
        *,
        allow_whole_files: bool = False,
    ) -> xr.Dataset:
        """One group, lazily: nothing but metadata is read until values are asked for.

        Every file that is read whole is checked against the manifest, and every chunk that is
        read alone against the checksum that it carries: what was damaged raises, when it is read.

        Args:
            split: "train" or "test".
            substructure_class: "axion", "cdm" or "no_sub".
            allow_whole_files: whether to read from a server that sends whole files only: slow, as
                each chunk costs the transfer of its file.

        Returns:
            The group as a lazy xarray data set.

        Raises:
            ArchiveError: if the archive does not hold that group complete and in Zarr, or its
                metadata is not what the manifest says.
            ServerError: if its server fails or, when values are asked for, sends whole files only.
        """
        record = self.record(split, substructure_class)
        if "zarr" not in record.formats:
            raise ArchiveError(
                f"{self.location} holds {record.name} as WebDataset shards only: read those, or "
                "generate it with --format both."
            )
        import xarray as xr

        store = self.checked_store(record, allow_whole_files=allow_whole_files)
        return xr.open_zarr(store, consolidated=True, chunks=None)

    def fits(self, split: Split, substructure_class: SubstructureClass) -> xr.Dataset:
        """What `lenssim fit` found for the images of one group, lazily and checked as `dataset`.

        Args:
            split: "train" or "test".
            substructure_class: "axion", "cdm" or "no_sub".

        Returns:
            The variables of `lenssim.archive.fit_columns`; the coordinate "parameter" has the names
            of the free parameters.

        Raises:
            ArchiveError: if the group is not there, or was not fitted.
        """
        import xarray as xr

        from lenssim.archive.fit_columns import FIT_COLUMNS

        record = self.record(split, substructure_class)
        if not self.manifest.has_fits(record.name):
            raise ArchiveError(
                f"{self.location} holds no fits of {record.name}: make them with `lenssim fit "
                f"{self.location}`."
            )
        store = self.checked_store(record, folder=FITS, columns=FIT_COLUMNS)
        dataset = xr.open_zarr(store, consolidated=True, chunks=None)
        names = dataset.attrs.get("names")
        if not isinstance(names, list) or len(names) != dataset.sizes["parameter"]:
            raise ArchiveError(
                f"{self.location}/{FITS}/{record.name} does not name its parameters."
            )
        return dataset.assign_coords(parameter=[str(name) for name in names])

    def load(self, dataset: xr.Dataset) -> xr.Dataset:
        """Reads the values of a `dataset` of this archive, or of a part of it, into memory.

        Raises:
            ArchiveError: if they are damaged.
            ServerError: if they are on a server that fails, or sends whole files only.
        """
        try:
            return dataset.load()
        except ValueError as error:  # how a checksum of Zarr fails
            raise ArchiveError(
                f"{self.location} is damaged ({reason(error)}); find where with `lenssim verify`, "
                "and fetch or generate it again."
            ) from error

    def read_shard(
        self, record: GroupRecord, shard: int
    ) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
        """One WebDataset shard of a group.

        Args:
            record: of a group that has shards.
            shard: index of the shard.

        Returns:
            images: e-/s, shape (n, num_pix, num_pix).
            scalars: for each sample, its index and the columns that hold one number an image.

        Raises:
            ArchiveError: if it is not the file that the manifest describes, or no shard of ours.
        """
        path = shard_path(record, shard)
        content = self._read_whole(path)
        samples, num_pix = record.samples(shard), self.manifest.model.num_pix
        try:
            parts = parse_shard(content, self.manifest.name, record, samples, num_pix)
        except ArchiveError as error:
            raise ArchiveError(f"{self.location}/{path}: {error}.") from None
        return pixels_of(content, parts, len(samples), num_pix).copy(), parts.scalars

    def _read_whole(self, path: str) -> bytes:
        """Content of a file that the manifest lists, found to be what it says."""
        try:
            content = self.location.read(path)
        except FileNotFoundError:
            raise ArchiveError(f"{self.location}/{path} is missing.") from None
        if FileRecord.of(content) != self.manifest.files.get(path):
            raise ArchiveError(
                f"{self.location}/{path} is not the file that {MANIFEST} describes: it is damaged."
            )
        return content

    def checked_store(
        self,
        record: GroupRecord,
        *,
        allow_whole_files: bool = False,
        folder: str = IMAGES,
        columns: Sequence[Column] | None = None,
    ) -> Store:
        """Zarr store of one group, whose metadata has been found to be sound.

        Args:
            record: of the group.
            allow_whole_files: as `dataset` takes it.
            folder: of the store that holds the group.
            columns: that it should have there; those of the record if not given.

        Returns:
            A store that zarr and xarray open.

        Raises:
            ArchiveError: if that metadata is not what the manifest says.
        """
        path = f"{folder}/{record.name}/zarr.json"
        content = self._read_whole(path)
        check_metadata(content, record, self.manifest, f"{self.location}/{path}", columns)
        prefix = f"{folder}/{record.name}/"
        records = {
            key.removeprefix(prefix): file for key, file in self.manifest.files_of(prefix).items()
        }
        store = self.location.zarr_store(
            f"{folder}/{record.name}", read_only=True, allow_whole_files=allow_whole_files
        )
        return _CheckedStore(store, records, {"zarr.json": content})


def open_archive(url: str | os.PathLike[str]) -> Archive:
    """Opens an archive.

    Args:
        url: folder or URL that `generate` wrote.

    Returns:
        The archive; its images are not read yet.

    Raises:
        ArchiveError: if there is no archive, or one that cannot be read.
    """
    location = Location(url)
    manifest = read_manifest(location)
    if manifest is None:
        raise ArchiveError(f"{location} is not an archive{_what_it_is_instead(location)}.")
    return Archive(location, manifest)


def _what_it_is_instead(location: Location) -> str:
    """What is known of a place that has no manifest, as a clause after "is not an archive"."""
    folder, _, name = str(location).rpartition("/")
    if name == MANIFEST:
        return f" but a file of one: open its folder, {folder}"
    try:
        versions = published_versions(location)
    except ArchiveError:
        versions = []
    if not versions:
        local = location.local_folder
        is_missing = local is not None and not Path(local).exists()
        return ": there is no such folder" if is_missing else f": it has no {MANIFEST}"
    newest = location.below(versions[-1]["version"])
    return f" but holds the published versions of one: open the newest, {newest}"


def check_metadata(
    content: bytes,
    record: GroupRecord,
    manifest: Manifest,
    place: str,
    columns: Sequence[Column] | None = None,
) -> None:
    """Checks that a group's consolidated metadata describes the arrays of the schema, no more.

    Args:
        content: of the group's zarr.json.
        record, manifest: what the group should be.
        place: of the file, for the message.
        columns: that it should have; those of the record if not given.

    Raises:
        ArchiveError: if an array is missing, has another shape or type than it should, or
            would be decoded by anything but plain codecs.
    """
    try:
        arrays: dict[str, Any] = json.loads(content)["consolidated_metadata"]["metadata"]
        sizes = {"sample": record.count, **manifest.dimensions}
        expected: dict[str, tuple[str, tuple[str, ...]]] = {
            column.name: (column.dtype, column.dimensions) for column in (columns or record.columns)
        }
        expected |= {
            axis: ("int64" if axis == "sample" else "float64", (axis,)) for axis in COORDINATES
        }
        if set(arrays) != set(expected):
            odd = ", ".join(sorted(set(arrays) ^ set(expected)))
            raise ArchiveError(f"{place}: it should not differ from the schema in {odd}.")
        for name, (dtype, dimensions) in expected.items():
            array = arrays[name]
            shape = [sizes.get(dimension) for dimension in dimensions]
            if dimensions[-1] == "subhalo":
                sizes_held = array["shape"][-1:]
                shape[-1:] = sizes_held if 0 <= sizes_held[0] <= MAX_SUBHALOS else [None]
            if dimensions[-1] == "parameter":
                sizes_held = array["shape"][-1:]
                shape[-1:] = sizes_held if 1 <= sizes_held[0] <= MAX_PARAMETERS else [None]
            if array["shape"] != shape:
                raise ArchiveError(f"{place}: {name} has the shape {array['shape']}.")
            codecs = {codec["name"] for codec in _codecs(array["codecs"])}
            if array["data_type"] != dtype or not codecs <= _PLAIN_CODECS:
                raise ArchiveError(
                    f"{place}: {name} is {array['data_type']} by {', '.join(sorted(codecs))}, "
                    f"not plain {dtype}."
                )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise ArchiveError(f"{place} is not the metadata of a group.") from None


def _codecs(codecs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Codecs of an array, with those inside a shard."""
    flat = list(codecs)
    for codec in codecs:
        inner = codec.get("configuration", {})
        flat += _codecs(inner.get("codecs", []) + inner.get("index_codecs", []))
    return flat


class _CheckedStore(WrapperStore[Store]):
    """A read-only store that checks what it hands over against the manifest.

    A file that the manifest lists but that is not there raises, where Zarr would take the fill
    value for granted.
    """

    def __init__(
        self,
        store: Store,
        records: Mapping[str, FileRecord] | None = None,
        read: Mapping[str, bytes] | None = None,
    ) -> None:
        super().__init__(store)
        self._records = records or {}
        self._read = read or {}

    def _with_store(self, store: Store) -> _CheckedStore:
        return _CheckedStore(store, self._records, self._read)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Content of a file, or of a range of it; None if there should be no such file."""
        if key in self._read and byte_range is None:
            return prototype.buffer.from_bytes(self._read[key])
        record = self._records.get(key)
        if record is None:
            # nothing that the manifest does not list is part of the group
            return None
        buffer = await self._store.get(key, prototype, byte_range)
        if buffer is None:
            raise ArchiveError(f"{key} is missing, which {MANIFEST} lists.")
        if byte_range is None and FileRecord.of(buffer.as_numpy_array().data) != record:
            raise ArchiveError(f"{key} is damaged: it is not the file that {MANIFEST} describes.")
        return buffer

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return key in self._records
