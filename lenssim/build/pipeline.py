"""From a specification to an archive: one idempotent task a shard, on threads or a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.documents import without_documents
from lenssim.archive.manifest import (
    IMAGES,
    MAXIMUM_COUNT,
    SHARDS,
    GroupRecord,
    Manifest,
    write_manifest,
)
from lenssim.archive.ownership import clear_scratch, read_own_manifest
from lenssim.archive.schema import FORMATS, Format, columns_of
from lenssim.archive.writer import (
    CHUNK_SIZE,
    PROGRESS,
    SHARD_SIZE,
    GroupLayout,
    create_group,
    finalise_group,
    read_layout,
    shards_done,
    write_shard,
)
from lenssim.build.execution import Phase, Progress, Run, executor
from lenssim.errors import UsageError
from lenssim.spec import CLASSES, SPLITS, Specification, SubstructureClass
from lenssim.storage.location import Location
from lenssim.version import VERSION

if TYPE_CHECKING:
    from lenssim.rendering import EngineName
    from lenssim.simulation import Simulation

DEFAULT_COUNTS = {"train": 30_000, "test": 5_000}
"""Images of each class, as in the study (Deshmukh et al. 2023, sec. 3)."""

SIMULATED_TOGETHER = 32
"""Images that a task simulates at once, between two calls of its progress function."""


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
    chunk_size: int = CHUNK_SIZE,
    shard_size: int = SHARD_SIZE,
) -> Iterator[Plan]:
    """Compares what is asked for with what is there, and holds the archive for this run meanwhile.

    Changes nothing. Arguments and errors are those of `lenssim.generate`.
    """
    wanted_classes = [name for name in CLASSES if name in set(classes)]
    counts = {"train": train, "test": test}
    _check_request(counts, seed, formats, chunk_size, shard_size)
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
                shard_size=shard_size,
                formats=tuple(each for each in FORMATS if each in formats),
            ),
            chunk_size,
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


def carry_out(
    work: Plan,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    phase: Phase | None = None,
) -> None:
    """Makes everything that a plan says is missing; each group is complete when its last shard is.

    Nothing is changed before there is something to work with. Arguments and errors are those of
    `generation.generate`.
    """
    task = partial(make_shard, work.location.absolute_url, work.spec, work.manifest)
    unfinished = [group for group in work.groups if not group.is_complete]
    with executor(task, workers, scheduler, doing="simulating", phase=phase) as run:
        if work.missing_images:
            _announce(work, is_local=scheduler is None, phase=phase)
        _replace_manifest(work)
        for group in unfinished:
            if not group.is_created:
                bound = work.spec.subhalo_bound
                create_group(work.location, group.layout, work.manifest, bound)
        work_on_groups(
            work.location,
            work.manifest,
            [(group.layout, group.missing_shards) for group in unfinished],
            run,
            progress,
        )


def _announce(work: Plan, *, is_local: bool, phase: Phase | None) -> None:
    """Compiles kernels, where that is for this process to do, and says what comes next."""
    needs_kernels = work.manifest.engine == "fast"
    if needs_kernels and is_local:
        from lenssim.simulation import compile_kernels

        compile_kernels(phase)
    if phase is not None:
        is_remote = needs_kernels and not is_local
        phase("simulating (each worker compiles first)" if is_remote else "simulating")


def _replace_manifest(work: Plan) -> None:
    """Writes a plan's manifest, and removes what does not stay, and what killed runs left.

    What says which shards are done goes first, so that none is taken for one of the new manifest.
    """
    for path in work.discarded:
        if path.startswith(PROGRESS):
            work.location.remove(path)
    write_manifest(work.location, work.manifest)
    for path in work.discarded:
        work.location.remove(path)
    clear_scratch(work.location)


def work_on_groups(
    location: Location,
    manifest: Manifest,
    groups: Sequence[tuple[GroupLayout, Sequence[int]]],
    run: Run,
    progress: Progress | None,
) -> Manifest:
    """Runs a task for every shard that is missing, and finalises each group after its last one.

    Args:
        location: of the archive.
        manifest: as it is before.
        groups: layouts, each with its missing shards; those with none are only finalised.
        run: of an `executor`, whose task takes a layout and a shard, and writes that shard.
        progress: called as images are made.

    Returns:
        The manifest with the groups, as it has been written.
    """
    layouts = [layout for layout, shards in groups for _ in shards]
    tasks = [(layout, shard) for layout, shards in groups for shard in shards]
    missing = {layout.record.name: len(shards) for layout, shards in groups}

    def finalise(layout: GroupLayout) -> None:
        nonlocal manifest
        # what the documents say of the archive is no longer true
        manifest = finalise_group(location, layout, without_documents(manifest))
        write_manifest(location, manifest)
        location.remove(layout.progress_folder)

    def finished(index: int) -> None:
        layout = layouts[index]
        missing[layout.record.name] -= 1
        if missing[layout.record.name] == 0:
            finalise(layout)

    for layout, shards in groups:  # cut short between a last shard and its entry in the manifest
        if not shards:
            finalise(layout)
    run(tasks, finished, progress)
    location.remove(PROGRESS)
    return manifest


def make_shard(
    url: str,
    spec: Specification,
    manifest: Manifest,
    layout: GroupLayout,
    shard: int,
    progress: Progress | None = None,
) -> int:
    """The task: simulates one shard and writes it. Doing it again gives the same bytes.

    Args:
        url: of the archive; an absolute path where it is local, as a worker of a cluster has
            another working folder.
        spec, manifest: what to simulate; seed and engine are the manifest's.
        layout, shard: which samples of which group.
        progress: called after every few images.

    Returns:
        The number of images made.
    """
    from lenssim.rendering import platform

    record, samples = layout.record, layout.record.samples(shard)
    columns = _empty_columns(spec, layout, len(samples))
    for start in range(0, len(samples), SIMULATED_TOGETHER):
        indices = samples[start : start + SIMULATED_TOGETHER]
        _fill(columns, start, simulate_samples(spec, manifest, record, indices))
        if progress is not None:
            progress(len(indices))
    write_shard(Location(url), layout, spec.name, shard, columns, platform())
    return len(samples)


def simulate_samples(
    spec: Specification, manifest: Manifest, record: GroupRecord, indices: Sequence[int]
) -> list[Simulation]:
    """Simulates samples of a group of an archive, as they are or are to be in it.

    Args:
        spec, manifest: of the archive, whose images are simulated and not imported.
        record: of the group.
        indices: of the samples.
    """
    from lenssim.simulation import simulate_many

    assert manifest.engine != "imported"
    return simulate_many(
        spec,
        manifest.seed,
        record.split,
        record.substructure_class,
        indices,
        engine_name=manifest.engine,
    )


def _empty_columns(spec: Specification, layout: GroupLayout, count: int) -> dict[str, NDArray[Any]]:
    sizes = {
        "y": spec.instrument.num_pix,
        "x": spec.instrument.num_pix,
        "subhalo": spec.subhalo_bound,
    }
    columns: dict[str, NDArray[Any]] = {}
    for column in columns_of(layout.record.substructure_class):
        shape = (count, *(sizes[dimension] for dimension in column.dimensions[1:]))
        columns[column.name] = np.empty(shape, dtype=column.dtype)
        if "subhalo" in column.dimensions:
            columns[column.name].fill(np.nan)
    return columns


def _fill(columns: dict[str, NDArray[Any]], start: int, simulations: Sequence[Simulation]) -> None:
    """Writes simulations into the rows of every column that begin at `start`."""
    systems = [simulation.system for simulation in simulations]
    rows = slice(start, start + len(simulations))
    for name, values in columns.items():
        if name == "image":
            for row, simulation in enumerate(simulations, start):
                values[row] = simulation.image
        elif name == "label":
            values[rows] = CLASSES.index(systems[0].substructure_class)
        elif name == "substructure_snr":
            values[rows] = [simulation.substructure_snr for simulation in simulations]
        elif values.ndim == 2:
            for row, system in enumerate(systems, start):
                drawn = getattr(system, name)
                values[row, : len(drawn)] = drawn
        else:
            values[rows] = [getattr(system, name) for system in systems]


def _check_request(
    counts: dict[str, int],
    seed: int,
    formats: Sequence[Format],
    chunk_size: int,
    shard_size: int,
) -> None:
    for split, count in counts.items():
        if not 0 <= count <= MAXIMUM_COUNT:
            raise UsageError(f"{split} = {count} must be between 0 and {MAXIMUM_COUNT} images.")
    if not formats or not set(formats) <= set(FORMATS):
        raise UsageError(f"formats = {list(formats)} must be some of {', '.join(FORMATS)}.")
    if not any(counts.values()):
        raise UsageError("train and test are both 0: there is nothing to generate.")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed = {seed} must be a non-negative integer below 2^63.")
    if chunk_size < 1 or shard_size % chunk_size:
        raise UsageError(
            f"shard_size = {shard_size} must be a multiple of chunk_size = {chunk_size}."
        )


def _check_same(location: Location, existing: Manifest, wanted: Manifest) -> None:
    """Refuses an archive that was made from something else."""
    differences = [
        f"{key} is {held} there and {asked} here"
        for key, held, asked in _differences(
            {"seed": existing.seed, "engine": existing.engine, **(existing.spec or {})},
            {"seed": wanted.seed, "engine": wanted.engine, **(wanted.spec or {})},
        )
    ]
    if differences:
        raise UsageError(
            f"{location} holds another data set: {'; '.join(differences)}. "
            "Choose another --out, or --overwrite to replace it."
        )


def _differences(
    held: dict[str, Any], asked: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys at which two nested mappings differ, with both values."""
    for key in held | asked:
        first, second = held.get(key), asked.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, f"{prefix}{key}.")
        elif first != second:
            yield f"{prefix}{key}", first, second


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
    """The manifest without the groups that are made anew, and the paths of what goes with them."""
    is_same = not any(
        _differences(
            existing.model_dump(include={"seed", "engine", "spec"}),
            wanted.model_dump(include={"seed", "engine", "spec"}),
        )
    )
    names = [layout.record.name for layout in layouts]
    kept = [group for group in existing.groups if group.name not in names]
    if not is_same or not kept:
        return wanted, (PROGRESS, IMAGES, SHARDS)
    images = existing.files_of(*(f"{IMAGES}/{name}/" for name in names))
    shards = existing.files_of(*(f"{SHARDS}/{name}-" for name in names))
    files = {path: file for path, file in existing.files.items() if path not in images | shards}
    folders = [f"{folder}/{name}" for folder in (PROGRESS, IMAGES) for name in names]
    return existing.model_copy(update={"groups": kept, "files": files}), (*folders, *shards)
