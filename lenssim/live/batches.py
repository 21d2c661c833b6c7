"""Which images a batch is of, and making it.

The source is one endless sequence: image k is of class k mod (number of classes), and its sample
index in that class's group is `first_index` + k div (number of classes). Batch b holds images
b n to (b + 1) n - 1. So a batch depends on its number alone, whichever process makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lenssim.archive.column import Column
from lenssim.archive.optional_columns import optional_columns
from lenssim.archive.schema import columns_of
from lenssim.build.shard import SIMULATED_TOGETHER, empty_columns, fill_columns
from lenssim.live.pairs import WITHOUT_SUBSTRUCTURE, Pairs, noise_of, second_system
from lenssim.population import GroupStreams
from lenssim.rendering import EngineName
from lenssim.simulation import Simulation, observe, simulate_many, wants_refit_snr
from lenssim.spec import Specification, Split, SubstructureClass, spec_from_mapping

Arrays = dict[str, NDArray[Any]]

Parts = dict[SubstructureClass, tuple[NDArray[Any], Arrays]]
"""Rows of a batch and their columns, by the class of the first image."""

SAMPLE = "sample"


class LiveSettings(BaseModel):
    """What a source makes, and how its processes share it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: dict[str, Any]
    """Of the model, resolved."""
    classes: tuple[SubstructureClass, ...]
    batch_size: int
    seed: int
    split: Split
    first_index: int
    pairs: Pairs | None
    engine: EngineName

    def specification(self) -> Specification:
        """The specification, validated."""
        return spec_from_mapping(self.spec, "the specification of a live source")


@dataclass(frozen=True)
class LiveBatch:
    """Images that have been simulated together.

    Attributes:
        number: of the batch, from 0 on.
        images: e-/s, float32, shape (n, y, x), as an archive stores them.
        columns: the same in every batch: those of an archive, shape (n,), NaN if a class has no
            such column; those of subhalos have shape (n, k), NaN-padded, with the largest k of the
            batch. `sample` is the index in the class's group.
        second_images: of pairs, shape (n, y, x); None without pairs.
        second_columns: of these; the label of a smooth twin is that of no_sub.
    """

    number: int
    images: NDArray[np.float32]
    columns: Arrays
    second_images: NDArray[np.float32] | None = None
    second_columns: Arrays = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


class BatchMaker:
    """Makes the batches of a source, any of them at any time."""

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._spec = settings.specification()
        self._optional = optional_columns(self._spec)
        self._streams = {
            name: GroupStreams(settings.seed, self._spec.name, settings.split, name)
            for name in settings.classes
        }

    def make(self, number: int) -> LiveBatch:
        """Simulates one batch.

        Args:
            number: from 0 on.

        Returns:
            Images and columns, of two images a row if pairs are asked for.
        """
        settings = self._settings
        size, classes = settings.batch_size, len(settings.classes)
        places = np.arange(number * size, (number + 1) * size)
        indices = settings.first_index + places // classes
        first: Parts = {}
        second: Parts = {}
        for label, name in enumerate(settings.classes):
            rows = np.flatnonzero(places % classes == label)
            if not rows.size:
                continue
            wanted = [int(index) for index in indices[rows]]
            made = self._simulate(name, wanted)
            first[name] = (rows, self._arrays(made))
            if settings.pairs is not None:
                partners = self._partners(name, wanted, made)
                second[name] = (rows, self._arrays(partners))
        columns = self._merged(first, indices, settings.classes)
        images = columns.pop("image")
        if settings.pairs is None:
            return LiveBatch(number, images, columns)
        own = settings.classes if settings.pairs == "source" else (WITHOUT_SUBSTRUCTURE,)
        others = self._merged(second, indices, own)
        return LiveBatch(number, images, columns, others.pop("image"), others)

    def _simulate(self, name: SubstructureClass, indices: Sequence[int]) -> list[Simulation]:
        settings = self._settings
        return [
            simulation
            for start in range(0, len(indices), SIMULATED_TOGETHER)
            for simulation in simulate_many(
                self._spec,
                settings.seed,
                settings.split,
                name,
                indices[start : start + SIMULATED_TOGETHER],
                engine_name=settings.engine,
            )
        ]

    def _partners(
        self, name: SubstructureClass, indices: Sequence[int], first: Sequence[Simulation]
    ) -> list[Simulation]:
        settings, streams = self._settings, self._streams[name]
        assert settings.pairs is not None
        partners = []
        for start in range(0, len(indices), SIMULATED_TOGETHER):
            block = slice(start, start + SIMULATED_TOGETHER)
            systems = [
                second_system(settings.pairs, made.system, self._spec, streams, index)
                for made, index in zip(first[block], indices[block], strict=True)
            ]
            noise = (streams.at(index, noise_of(settings.pairs)) for index in indices[block])
            partners += observe(
                systems,
                self._spec,
                noise,
                engine_name=settings.engine,
                with_refit_snr=wants_refit_snr(self._spec, settings.split),
            )
        return partners

    def _arrays(self, simulations: Sequence[Simulation]) -> Arrays:
        """Columns of simulations of one class."""
        schema = columns_of(simulations[0].system.substructure_class, self._optional)
        arrays = empty_columns(self._spec, schema, len(simulations))
        fill_columns(arrays, 0, simulations)
        return arrays

    def _merged(
        self, parts: Parts, indices: NDArray[Any], classes: Sequence[SubstructureClass]
    ) -> Arrays:
        """Columns of a batch, in its order: all that any of the classes has."""
        merged: Arrays = {SAMPLE: indices.astype(np.int64)}
        for column in _columns_of(classes, self._optional):
            held = [
                (rows, arrays[column.name])
                for rows, arrays in parts.values()
                if column.name in arrays
            ]
            merged[column.name] = _scattered(column, held, len(indices))
        return merged


def _columns_of(classes: Sequence[SubstructureClass], optional: Sequence[str]) -> list[Column]:
    """All columns that any of the classes has."""
    columns = {column.name: column for name in classes for column in columns_of(name, optional)}
    return list(columns.values())


def _scattered(
    column: Column, held: Sequence[tuple[NDArray[Any], NDArray[Any]]], count: int
) -> NDArray[Any]:
    """One column of a batch: its values where a class has them, and NaN elsewhere."""
    shape = held[0][1].shape[1:] if held else ()
    if "subhalo" in column.dimensions:
        shape = (max((_longest(values) for _, values in held), default=0),)
    missing = np.nan if column.dtype.startswith("float") else 0
    full = np.full((count, *shape), missing, dtype=column.dtype)
    for rows, values in held:
        full[rows] = values[:, : shape[0]] if "subhalo" in column.dimensions else values
    return full


def _longest(values: NDArray[Any]) -> int:
    """Columns of a NaN-padded array that hold a value in some row."""
    return int((~np.isnan(values)).any(axis=0).sum())
