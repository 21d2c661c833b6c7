"""Images that are simulated while they are used: some the same every time, and endlessly many.

SimulatedSource   images by split, class and index, for what is measured, validated and tested
LiveStream        batches to train on, by processes that simulate ahead, none of them twice unless
                  that is asked for
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from lensmodels.data.assembly import Batch
from lensmodels.data.live_archive import CHUNK_SIZE
from lensmodels.data.order import check_shares
from lensmodels.data.source import COLUMN_TYPES, EXTRA_TYPE, Columns, Images, Source
from lensmodels.data.stream import EpochStream, process_rank
from lensmodels.errors import DataError
from lensmodels.startup import announce
from lenssim.archive import Manifest
from lenssim.errors import LenssimError
from lenssim.spec import CLASSES, Specification, SubstructureClass, spec_from_mapping

if TYPE_CHECKING:
    from lenssim.live import LiveBatch, LiveSource
    from lenssim.live.pairs import Pairs

FIRST_SAMPLES = {"train": 2**32, "labelled": 2**33}
"""Sample index at which a pretraining and a training on labels begin, each with images of its
own: archives and what is measured have smaller ones."""

SAMPLES_OF_RANK = 2**40
"""Sample indices that each process of a training has for itself."""

_MEASURED_BATCH = 256
"""Images of a batch of those that are measured."""

_KEPT_CHUNKS = 128
"""Chunks that are kept once they are simulated: those of a live archive, 200 MB for 64 pixels."""


def columns_of(
    batch: Mapping[str, NDArray[np.generic]], types: Mapping[str, type[np.generic]], count: int
) -> Columns:
    """Columns of simulated images as a batch has them: NaN where a specification has none.

    Args:
        batch: columns of the simulator, by name.
        types: of the columns that are wanted, by name.
        count: images.

    Returns:
        Each column, shape (count,).
    """
    return {
        name: batch[name].astype(dtype) if name in batch else np.full(count, np.nan, dtype)
        for name, dtype in types.items()
    }


class SimulatedSource(Source):
    """The images of a live archive, simulated when they are first read.

    Args:
        manifest: of the live archive.
        groups: names, as in "train/cdm".
        columns: names of scalar columns that are read besides.
    """

    def __init__(
        self, manifest: Manifest, groups: Sequence[str], columns: Sequence[str] = ()
    ) -> None:
        counts = {name: record.count for name in groups if (record := manifest.group(name))}
        super().__init__(counts, manifest.model.num_pix, columns)
        self._spec = manifest.specification()
        self._seed = manifest.seed

    def edges(self, group: str) -> NDArray[np.int64]:
        """Where the chunks of a group begin, and its end."""
        count = self.counts[group]
        return np.append(np.arange(0, count, CHUNK_SIZE), count)

    def _read(self, group: str, start: int, stop: int, images: Images) -> Columns:
        try:
            batch = _simulated(self._spec.model_dump_json(), self._seed, group, start, stop)
        except LenssimError as error:
            raise DataError(str(error)) from None
        images[:] = batch.images
        return columns_of(batch.columns, self.column_types, len(batch))

    def _place(self, group: str, start: int) -> str:
        return "simulated"


_SIMULATING = threading.Lock()
"""Kernels are run by one thread at a time."""


@lru_cache(maxsize=_KEPT_CHUNKS)
def _simulated(spec: str, seed: int, group: str, start: int, stop: int) -> LiveBatch:
    """Images `start` to `stop` of a group, by this thread."""
    from lenssim.live import live_source

    split, name = group.split("/")
    asked = _specification(spec)
    with (
        _SIMULATING,
        live_source(
            asked if split == "test" else without_refit(asked),
            [name],
            batch_size=stop - start,
            workers=0,
            seed=seed,
            split=split,
            first_index=start,
            phase=announce,
        ) as source,
    ):
        return next(source)


class LiveStream(EpochStream):
    """Batches of an endless source: an epoch is a number of images, and no image comes twice.

    Where the same images are asked for, every epoch after the first has those of the first in
    another order, from memory, which is faster than simulating them.

    The batches are the same for any number of `workers`. Each of several ranks has a source of its
    own, of other images. Processes simulate while the training computes; `close` ends them, and
    so do the end of this program and the last reference to this stream.

    Args:
        spec: specification of the images.
        groups: names of the groups, which the "group" of a batch counts; the images are of the
            classes of those of the train split.
        batch_size: images in a step, over all ranks together.
        epoch_size: images in an epoch, over all ranks together; at least one batch.
        seed: of the images.
        workers: processes that simulate; 0 simulates in the calling thread, batch by batch.
        pairs: what the second image of a pair shares with the first; None for single images.
        columns: names of scalar columns that a batch has besides those of `COLUMN_TYPES`.
        pin: page-locked images, for an accelerator.
        first_sample: index in its class of the first image.
        same_images: whether every epoch has the images of the first.
    """

    def __init__(
        self,
        spec: Specification,
        groups: Sequence[str],
        *,
        batch_size: int,
        epoch_size: int,
        seed: int = 0,
        workers: int = 1,
        pairs: Pairs | None = None,
        columns: Sequence[str] = (),
        pin: bool = False,
        first_sample: int = 0,
        same_images: bool = False,
    ) -> None:
        super().__init__(batch_size)
        self._spec = spec
        self._groups = list(groups)
        self._classes = _trained_classes(groups)
        self._epoch_size = epoch_size
        self._seed = seed
        self._first_sample = first_sample
        self._workers = workers
        self._pairs = pairs
        self._types = COLUMN_TYPES | dict.fromkeys(columns, EXTRA_TYPE)
        self._pin = pin
        self._same_images = same_images
        self._held: Batch | None = None
        self._source: LiveSource | None = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return max(1, self._epoch_size // self.batch_size)

    def close(self) -> None:
        """Ends the processes; the stream can be iterated again."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _identity(self) -> dict[str, object]:
        return {
            "images": self._epoch_size,
            "batch_size": self.batch_size,
            "seed": self._seed,
            "first_sample": self._first_sample,
            "specification": self._spec.sha256,
            "pairs": self._pairs,
        } | ({"same_images": True} if self._same_images else {})

    def _batches(self, first: int) -> Iterator[Batch]:
        for batch in self._batches_of_epoch(first):
            if self._pin:
                batch |= {name: batch[name].pin_memory() for name in batch if "image" in name}
            yield batch

    def _batches_of_epoch(self, first: int) -> Iterator[Batch]:
        if not self._same_images:
            yield from self._new_batches(self.epoch, first)
        elif self.epoch == 0:
            held = []
            for batch in self._new_batches(0, first):
                held.append(batch)
                if len(held) == len(self):  # before the last is given: nobody may ask for more
                    self._hold(held)
                yield batch
        else:
            if self._held is None:  # a training that goes on, in a new process
                announce(f"simulating the {self._epoch_size:,} images of every epoch")
                self._hold(list(self._new_batches(0, 0)))
            yield from self._held_batches(first)

    def _hold(self, batches: Sequence[Batch]) -> None:
        """Keeps the images of an epoch, and ends the processes that have made them."""
        self._held = {name: torch.cat([each[name] for each in batches]) for name in batches[0]}
        self.close()

    def _held_batches(self, first: int) -> Iterator[Batch]:
        """Batches of an epoch that has the images of the first."""
        assert self._held is not None
        order = np.random.default_rng((self._seed, self.epoch)).permutation(
            len(self._held["image"])
        )
        for places in np.array_split(order, len(self))[first:]:
            yield {name: values[places] for name, values in self._held.items()}

    def _new_batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Batches of an epoch from one on, simulated."""
        source = self._at(epoch * len(self) + first)
        for _ in range(first, len(self)):
            try:
                made = next(source)
            except LenssimError as error:
                raise DataError(str(error)) from None
            yield _as_tensors(made, self._classes, self._groups, self._types)

    def _at(self, number: int) -> LiveSource:
        """The source, with a batch of a number as its next."""
        if self._source is not None and self._source.position == number:
            return self._source
        self.close()
        from lenssim.live import live_source

        rank, ranks = process_rank()
        check_shares(self._epoch_size, self.batch_size, ranks)
        self._source = live_source(
            without_refit(self._spec),
            self._classes,
            batch_size=self.batch_size // ranks,
            workers=self._workers,
            seed=self._seed,
            pairs=self._pairs,
            first_index=self._first_sample + rank * SAMPLES_OF_RANK,
            start=number,
            phase=announce,
        )
        return self._source


def measured_batches(
    spec: Specification,
    groups: Sequence[str],
    *,
    seed: int,
    count: int,
    workers: int,
    columns: Sequence[str] = (),
) -> list[Batch]:
    """The first train images of a simulator, simulated once for all that is measured on them.

    Args:
        spec: specification of the images.
        groups: as of a `LiveStream`.
        seed: of the images.
        count: images.
        workers: processes that simulate.
        columns: names of scalar columns that a batch has besides the usual ones.
    """
    classes = _trained_classes(groups)
    made = _first_batches(spec.model_dump_json(), classes, seed, count, workers)
    types = COLUMN_TYPES | dict.fromkeys(columns, EXTRA_TYPE)
    return [_as_tensors(batch, classes, groups, types) for batch in made]


@lru_cache(maxsize=1)
def _first_batches(
    spec: str, classes: tuple[SubstructureClass, ...], seed: int, count: int, workers: int
) -> list[LiveBatch]:
    from lenssim.live import live_source

    size = min(_MEASURED_BATCH, count)
    announce(f"simulating {count:,} images to measure")
    with live_source(
        without_refit(_specification(spec)),
        classes,
        batch_size=size,
        workers=workers,
        seed=seed,
        phase=announce,
    ) as source:
        return [next(source) for _ in range(-(-count // size))]


def _trained_classes(groups: Sequence[str]) -> tuple[SubstructureClass, ...]:
    """Classes of the groups of the train split, in their order."""
    held = {name.removeprefix("train/") for name in groups if name.startswith("train/")}
    return tuple(name for name in CLASSES if name in held)


def _as_tensors(
    made: LiveBatch,
    classes: Sequence[SubstructureClass],
    groups: Sequence[str],
    types: Mapping[str, type[np.generic]],
) -> Batch:
    """Simulated images, of classes that take turns, as a batch."""
    count = len(made)
    columns = columns_of(made.columns, types, count)
    numbers = np.array([groups.index(f"train/{name}") for name in classes], np.int64)
    places = made.number * count + np.arange(count)
    columns["group"] = numbers[places % len(classes)]
    columns["sample"] = made.columns["sample"].astype(np.int64)
    batch = {name: torch.from_numpy(values) for name, values in columns.items()}
    batch["image"] = torch.from_numpy(made.images)[:, None]
    if made.second_images is not None:
        batch["second_image"] = torch.from_numpy(made.second_images)[:, None]
    return batch


def _specification(text: str) -> Specification:
    return spec_from_mapping(json.loads(text), "the specification of a simulator")


def without_refit(spec: Specification) -> Specification:
    """The same images without their S/N after a refit, which takes half of the time."""
    observation = spec.observation.model_copy(update={"refit_snr": "none"})
    return spec.model_copy(update={"observation": observation})
