"""Simulating one shard of a group and writing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.column import Column
from lenssim.archive.layout import GroupLayout
from lenssim.archive.manifest import GroupRecord, Manifest
from lenssim.archive.writer import write_shard
from lenssim.progress import Progress
from lenssim.spec import Specification, label_of
from lenssim.storage.location import Location

if TYPE_CHECKING:
    from lenssim.simulation import Simulation

SIMULATED_TOGETHER = 32
"""Images that a task simulates at once, between two calls of its progress function."""


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
        layout, shard: the group, and the index of the shard in it.
        progress: called after every few images.

    Returns:
        The number of images made.
    """
    from lenssim.rendering import platform

    record, samples = layout.record, layout.record.samples(shard)
    columns = empty_columns(spec, record.columns, len(samples))
    for start in range(0, len(samples), SIMULATED_TOGETHER):
        indices = samples[start : start + SIMULATED_TOGETHER]
        fill_columns(columns, start, simulate_samples(spec, manifest, record, indices))
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

    Returns:
        Simulations, in the order of the indices.
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


def empty_columns(
    spec: Specification, schema: Sequence[Column], count: int
) -> dict[str, NDArray[Any]]:
    """Room for the columns of samples of one class; those of subhalos are NaN.

    Args:
        spec: of the samples.
        schema: columns of the class.
        count: samples.

    Returns:
        Arrays by column, the first axis of length `count`.
    """
    sizes = {
        "y": spec.instrument.num_pix,
        "x": spec.instrument.num_pix,
        "subhalo": spec.subhalo_bound,
    }
    columns: dict[str, NDArray[Any]] = {}
    for column in schema:
        shape = (count, *(sizes[dimension] for dimension in column.dimensions[1:]))
        columns[column.name] = np.empty(shape, dtype=column.dtype)
        if "subhalo" in column.dimensions:
            columns[column.name].fill(np.nan)
    return columns


def fill_columns(
    columns: dict[str, NDArray[Any]], start: int, simulations: Sequence[Simulation]
) -> None:
    """Writes simulations of one class into rows of a shard's columns.

    Args:
        columns: arrays by name of the column, (sample, ...); changed.
        start: row of the first simulation.
        simulations: of the samples from there on.
    """
    systems = [simulation.system for simulation in simulations]
    rows = slice(start, start + len(simulations))
    for name, values in columns.items():
        if name == "image":
            for row, simulation in enumerate(simulations, start):
                values[row] = simulation.image
        elif name == "label":
            values[rows] = label_of(systems[0].substructure_class)
        elif name in ("substructure_snr", "substructure_snr_refit"):
            values[rows] = [getattr(simulation, name) for simulation in simulations]
        elif values.ndim == 2:
            for row, system in enumerate(systems, start):
                drawn = getattr(system, name)
                values[row, : len(drawn)] = drawn
        else:
            values[rows] = [getattr(system, name) for system in systems]
