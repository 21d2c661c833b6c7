"""What the groups of an archive hold, whether in Zarr or in WebDataset shards alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.manifest import SHARDS, GroupRecord, Manifest
from lenssim.archive.reader import Archive
from lenssim.archive.schema import columns_of

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
    shards = (archive.read_shard(group, shard)[1] for shard in range(group.shards))
    rows = [row for scalars in shards for row in scalars]
    return {
        name: np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=dtype)
        for name, dtype in {INDEX: "int64", **kinds}.items()
    }


def first_images(archive: Archive, group: GroupRecord, count: int) -> NDArray[np.float32]:
    """The first images of a group, shape (n, y, x).

    Fewer than `count` where the group, or its first WebDataset shard, has fewer.
    """
    if "zarr" in group.formats:
        dataset = archive.dataset(group.split, group.substructure_class)
        return dataset["image"].isel(sample=slice(count)).values
    images, _ = archive.read_shard(group, 0)
    return images[:count]
