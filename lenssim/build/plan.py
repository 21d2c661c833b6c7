"""What a call of `generate` has to do: what is asked for against what the archive holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lenssim.archive.layout import (
    CHUNK_SIZE,
    PROGRESS,
    SHARD_SIZE,
    GroupLayout,
    group_sizes,
    read_layout,
)
from lenssim.archive.manifest import FITS, IMAGES, MAX_COUNT, SHARDS, GroupRecord, Manifest
from lenssim.archive.optional_columns import optional_columns
from lenssim.archive.ownership import read_own_manifest
from lenssim.archive.schema import FORMATS, Format
from lenssim.archive.writer import shards_done
from lenssim.configuration.key_values import differences
from lenssim.errors import UsageError
from lenssim.spec import CLASSES, SPLITS, Specification, SubstructureClass
from lenssim.storage.location import Location
from lenssim.version import VERSION

if TYPE_CHECKING:
    from lenssim.rendering import EngineName

DEFAULT_COUNTS = {"train": 30_000, "test": 5_000}
"""Images of each class, as in the study (Deshmukh et al. 2023, sec. 3)."""


@dataclass(frozen=True)
class GroupPlan:
    """What is left to do for one group."""

    layout: GroupLayout
    is_created: bool
    is_complete: bool
    missing_shards: tuple[int, ...]

    @property
    def missing_images(self) -> int:
        """Images still to be made."""
        return sum(len(self.layout.record.samples(shard)) for shard in self.missing_shards)


@dataclass(frozen=True)
class Plan:
    """What one call of `generate` will do; made by `planned`, carried out by `carry_out`."""

    location: Location
    spec: Specification
    manifest: Manifest
    groups: tuple[GroupPlan, ...]
    discarded: tuple[str, ...] = ()
    """Paths of what is there and does not stay."""

    @property
    def missing_images(self) -> int:
        """Images still to be made, over all groups."""
        return sum(group.missing_images for group in self.groups)


@contextmanager
def planned(
    spec: Specification,
    classes: Iterable[SubstructureClass] = CLASSES,
    *,
    train: int = DEFAULT_COUNTS["train"],
    test: int = DEFAULT_COUNTS["test"],
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    formats: Sequence[Format] = ("zarr",),
    engine: EngineName = "fast",
    overwrite: bool = False,
    chunk_size: int | None = None,
    shard_size: int | None = None,
) -> Iterator[Plan]:
    """Compares what is asked for with what is there, and holds the archive for this run meanwhile.

    Changes nothing. Arguments and errors are those of `lenssim.generate`.
    """
    wanted_classes = [name for name in CLASSES if name in set(classes)]
    counts = {"train": train, "test": test}
    _check_request(counts, seed, formats)
    sizes = {split: _sizes(count, chunk_size, shard_size) for split, count in counts.items()}
    location = Location(out if out is not None else f"archives/{spec.name}")
    wanted = Manifest(
        generator_version=VERSION,
        engine=engine,
        seed=seed,
        spec_sha256=spec.sha256,
        spec=spec.model_dump(mode="json"),
    )
    layouts = [
        GroupLayout(
            GroupRecord(
                split=split,
                substructure_class=name,
                count=counts[split],
                shard_size=sizes[split][0],
                formats=tuple(storage for storage in FORMATS if storage in formats),
                extra_columns=optional_columns(spec),
            ),
            sizes[split][1],
        )
        for split in SPLITS
        for name in wanted_classes
        if counts[split] > 0
    ]
    with location.exclusive():
        yield _compare(location, spec, wanted, layouts, overwrite)


def _compare(
    location: Location,
    spec: Specification,
    wanted: Manifest,
    layouts: list[GroupLayout],
    overwrite: bool,
) -> Plan:
    """What is left to do, and what has to go before."""
    existing = read_own_manifest(location)
    if existing is not None and existing.imported is not None:
        raise UsageError(f"{location} holds imported images: choose another --out.")
    anew = tuple(
        GroupPlan(layout, False, False, tuple(range(layout.record.shards))) for layout in layouts
    )
    if existing is None:
        return Plan(location, spec, wanted, anew)
    if _is_empty(location, existing):
        return Plan(location, spec, wanted, anew, (PROGRESS, IMAGES))
    if overwrite:
        manifest, discarded = _overwritten(existing, wanted, layouts)
        return Plan(location, spec, manifest, anew, discarded)
    _check_same(location, existing, wanted)
    groups = tuple(_plan_group(location, existing, layout) for layout in layouts)
    return Plan(location, spec, existing, groups)


def _is_empty(location: Location, manifest: Manifest) -> bool:
    """Whether an archive holds no image yet: its run was refused, or cut short at once."""
    if manifest.groups or location.exists(SHARDS):
        return False
    return not any(PurePosixPath(path).stem.isdigit() for path in location.sizes(PROGRESS))


def _check_request(counts: dict[str, int], seed: int, formats: Sequence[Format]) -> None:
    for split, count in counts.items():
        if not 0 <= count <= MAX_COUNT:
            raise UsageError(f"{split} = {count} must be between 0 and {MAX_COUNT} images.")
    if not formats or not set(formats) <= set(FORMATS):
        raise UsageError(f"formats = {list(formats)} must be some of {', '.join(FORMATS)}.")
    if not any(counts.values()):
        raise UsageError("train and test are both 0: there is nothing to generate.")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed = {seed} must be a non-negative integer below 2^63.")


def _sizes(count: int, chunk_size: int | None, shard_size: int | None) -> tuple[int, int]:
    """Images in a file and in a chunk of a group of `count` images, as far as not asked for."""
    if chunk_size is None and shard_size is None:
        return group_sizes(max(count, 1))
    chunk = CHUNK_SIZE if chunk_size is None else chunk_size
    shard = SHARD_SIZE if shard_size is None else shard_size
    if chunk < 1 or shard % chunk:
        raise UsageError(f"shard_size = {shard} must be a multiple of chunk_size = {chunk}.")
    return shard, chunk


def _check_same(location: Location, existing: Manifest, wanted: Manifest) -> None:
    """Refuses an archive that was made from something else."""
    different = [
        f"{key} is {held} there and {asked} here"
        for key, held, asked in differences(
            {"seed": existing.seed, "engine": existing.engine, **(existing.spec or {})},
            {"seed": wanted.seed, "engine": wanted.engine, **(wanted.spec or {})},
        )
    ]
    if different:
        raise UsageError(
            f"{location} holds another data set: {'; '.join(different)}. "
            "Choose another --out, or --overwrite to replace it."
        )


def _plan_group(location: Location, manifest: Manifest, layout: GroupLayout) -> GroupPlan:
    record = layout.record
    complete = manifest.group(record.name)
    begun = read_layout(location, record.name)
    held = complete or (begun.record if begun else None)
    if held is not None and held.count != record.count:
        raise UsageError(
            f"{location} holds {held.count} images of {record.name}, not {record.count}: "
            f"ask for {held.count}, choose another --out, or --overwrite to replace them."
        )
    if held is not None and not set(record.formats) <= set(held.formats):
        raise UsageError(
            f"{location} holds {record.name} as {' and '.join(held.formats)}: ask for that, and "
            "use lenssim export for WebDataset shards of a complete Zarr archive."
        )
    if complete is not None:
        return GroupPlan(layout, True, True, ())
    if begun is None:
        return GroupPlan(layout, False, False, tuple(range(layout.record.shards)))
    done = shards_done(location, begun)
    missing = tuple(shard for shard in range(begun.record.shards) if shard not in done)
    return GroupPlan(begun, True, False, missing)


def _overwritten(
    existing: Manifest, wanted: Manifest, layouts: list[GroupLayout]
) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest without the groups that are made again, and the paths of what goes with them."""
    is_same = not any(
        differences(
            existing.model_dump(include={"seed", "engine", "spec"}),
            wanted.model_dump(include={"seed", "engine", "spec"}),
        )
    )
    names = [layout.record.name for layout in layouts]
    kept = [group for group in existing.groups if group.name not in names]
    if not is_same or not kept:
        return wanted, (PROGRESS, IMAGES, SHARDS, FITS)
    stores = (IMAGES, FITS)
    images = existing.files_of(*(f"{store}/{name}/" for store in stores for name in names))
    shards = existing.files_of(*(f"{SHARDS}/{name}-" for name in names))
    files = {path: file for path, file in existing.files.items() if path not in images | shards}
    folders = [
        f"{folder}/{name}" for folder in (PROGRESS, f"{PROGRESS}/fit", *stores) for name in names
    ]
    return existing.model_copy(update={"groups": kept, "files": files}), (*folders, *shards)
