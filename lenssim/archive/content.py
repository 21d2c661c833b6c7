"""What the groups of an archive hold, whether in Zarr or in WebDataset shards alone."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.manifest import MANIFEST, SHARDS, FileRecord, GroupRecord, Manifest
from lenssim.archive.reader import Archive
from lenssim.archive.schema import columns_of
from lenssim.errors import ArchiveError

INDEX = "sample"


def shard_paths(manifest: Manifest, group: GroupRecord) -> list[str]:
    """Paths of the WebDataset shards of a group, in their order; none where it has none."""
    return sorted(path for path in manifest.files_of(f"{SHARDS}/{group.name}-"))


def scalar_columns(archive: Archive, group: GroupRecord) -> dict[str, NDArray[Any]]:
    """The sample index and the columns that hold one number an image, in the schema's order."""
    kinds = {c.name: c.dtype for c in columns_of(group.substructure_class) if c.is_scalar}
    if "zarr" in group.formats:
        dataset = archive.dataset(group.split, group.substructure_class)
        return {name: dataset[name].values for name in (INDEX, *kinds)}
    rows = [json.loads(content) for content in _members(archive, group, ".json")]
    return {
        name: np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=dtype)
        for name, dtype in {INDEX: "int64", **kinds}.items()
    }


def first_images(archive: Archive, group: GroupRecord, count: int) -> NDArray[np.float32]:
    """The first images of a group, fewer where it has fewer; shape (n, y, x)."""
    if "zarr" in group.formats:
        dataset = archive.dataset(group.split, group.substructure_class)
        return dataset["image"].isel(sample=slice(count)).values
    members = zip(range(count), _members(archive, group, ".image.npy"), strict=False)
    return np.stack([np.load(io.BytesIO(content), allow_pickle=False) for _, content in members])


def _members(archive: Archive, group: GroupRecord, ending: str) -> Iterator[bytes]:
    """Content of the members of a group's shards whose name has this ending, one by one."""
    for path in shard_paths(archive.manifest, group):
        content = archive.location.read(path)
        if FileRecord.of(content) != archive.manifest.files[path]:
            raise ArchiveError(
                f"{archive.location}/{path} is not the file that {MANIFEST} describes: "
                "it is damaged."
            )
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.name.endswith(ending) else None
                if file is not None:
                    yield file.read()
