"""Streams: batches of an archive, read and assembled by threads ahead of the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lensmodels.data.assembly import (
    Assembly,
    Batch,
    FreshWindows,
    ImageBuffers,
    WindowMemory,
    executor,
    with_channels,
)
from lensmodels.data.cache import CachedWindows, ImageCache
from lensmodels.data.order import (
    Integers,
    SampleRange,
    Window,
    batch_sizes,
    check_shares,
    cut_at_chunks,
    epoch_windows,
    steps_of_rank,
)
from lensmodels.data.source import Source
from lensmodels.errors import UsageError

PIECES_PER_WINDOW = 16
"""Chunks that are mixed: 4096 images and 64 MiB, for chunks of 256 images of 64 x 64 pixels."""

BATCHES_AHEAD = 4
"""Batches that are assembled before they are asked for."""


def process_rank() -> tuple[int, int]:
    """Number of this process among those that train together, and how many they are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class EpochStream(ABC):
    """Epochs of batches, resumable at any batch; one pass over it is one epoch.

    The state, for a resume in the middle of an epoch, is the epoch and how many of its batches
    were taken; a stream that loads it continues there.
    """

    batch_sampler = None
    """Lightning looks for it in what has a `sampler`."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.epoch = 0
        self._taken = 0
        self._resumed = False

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch, for this rank."""

    @abstractmethod
    def _batches(self, first: int) -> Iterator[Batch]:
        """The batches of the current epoch from the `first` on."""

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """What a resumed stream must have in common with the one before."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the epoch; of an epoch just resumed, those that were not taken yet.

        Raises:
            UsageError: if the ranks cannot share a batch equally.
            DataError: if what is read is damaged.
        """
        # a generator: the epoch is looked up when the first batch is asked for, so that
        # `set_epoch` may come after `iter`
        if self._taken >= len(self):
            self.set_epoch(self.epoch + 1)
        if not self._resumed:
            self._taken = 0
        self._resumed = False
        for batch in self._batches(self._taken):
            self._taken += 1
            yield batch
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Moves to the beginning of an epoch; does nothing if the stream is in that epoch."""
        if epoch != self.epoch:
            self.epoch, self._taken, self._resumed = epoch, 0, False

    @property
    def sampler(self) -> Self:
        """Whose `set_epoch` Lightning calls."""
        return self

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, and what that depends on."""
        return {"epoch": self.epoch, "batches": self._taken, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where the stream was whose state it is.

        Raises:
            UsageError: if that stream had other images, another batch size or another seed.
        """
        for key, value in self._identity().items():
            if state.get(key) != value:
                raise UsageError(
                    f"The run to resume has {key.replace('_', ' ')} {state.get(key)} and this one "
                    f"{value}; resume with the data, seed and batch size that it began with."
                )
        self.start_at(int(state["epoch"]), int(state["batches"]))

    def start_at(self, epoch: int, taken: int) -> None:
        """Moves to a batch: the next pass begins with it.

        Args:
            epoch: from 0 on.
            taken: batches of that epoch that are left out.
        """
        self.epoch, self._taken, self._resumed = epoch, taken, True


class BatchStream(EpochStream):
    """Batches of some images of an archive; one pass over it is one epoch.

    The batches are the same for any number of `workers`, and those of a step, over all ranks, are
    the same for any number of ranks. Workers are threads, not processes: reading, decoding and
    gathering hold the interpreter's lock only briefly, and a thread assembles a batch in the
    memory where the training finds it, with nothing to copy or send.

    A stream that is resumed does not read again what was consumed.

    Args:
        source: that is read.
        groups: names of the groups, which the "group" of a batch counts.
        ranges: the images of an epoch.
        batch_size: images in a step, over all ranks together.
        seed: decides the order of every epoch; None keeps the archive's.
        drop_last: leave out what does not fill a batch; see `batch_sizes`.
        workers: threads; 0 reads and assembles in the calling thread, when a batch is asked for.
        cache: images are put into it when they are read, and then taken from it.
        pin: page-locked batches, for an accelerator.
        rank, ranks: share of each batch that is taken; that of this process if not given.
    """

    def __init__(
        self,
        source: Source,
        groups: Sequence[str],
        ranges: Sequence[SampleRange],
        *,
        batch_size: int,
        seed: int | None = None,
        drop_last: bool = False,
        workers: int = 1,
        cache: ImageCache | None = None,
        pin: bool = False,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        super().__init__(batch_size)
        self._source = source
        self._groups = list(groups)
        self._pieces = cut_at_chunks(ranges, [source.edges(name) for name in groups])
        self._count = sum(len(piece) for piece in self._pieces)
        self._seed = seed
        self._drop_last = drop_last
        self._workers = workers
        self._cache = cache
        self._pin = pin
        self._given_rank = None if rank is None or ranks is None else (rank, ranks)
        longest = sum(sorted(len(piece) for piece in self._pieces)[-PIECES_PER_WINDOW:])
        self._longest_window = longest
        self._window_buffers = ImageBuffers(longest, source.image_shape, kept=3)
        self._batch_buffers = ImageBuffers(batch_size, source.image_shape, kept=2 * BATCHES_AHEAD)

    def __len__(self) -> int:
        """Batches in an epoch, for this rank."""
        rank, ranks = self._rank()
        return steps_of_rank(self._batch_sizes(ranks), rank)

    def _identity(self) -> dict[str, Any]:
        return {"images": self._count, "batch_size": self.batch_size, "seed": self._seed}

    def _rank(self) -> tuple[int, int]:
        return self._given_rank or process_rank()

    def _batch_sizes(self, ranks: int) -> Integers:
        return batch_sizes(self._count, self.batch_size, ranks, drop_last=self._drop_last)

    def _batches(self, first: int) -> Iterator[Batch]:
        """The batches of the current epoch from the `first` on."""
        rank, ranks = self._rank()
        check_shares(self._count if self._drop_last else 0, self.batch_size, ranks)
        sizes = self._batch_sizes(ranks)
        bounds = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        steps = [(begin + rank, end) for begin, end in pairwise(bounds) if begin + rank < end]
        windows = epoch_windows(self._pieces, PIECES_PER_WINDOW, self._seed, self.epoch)
        ahead = BATCHES_AHEAD if self._workers else 0
        pending: deque[Future[Batch]] = deque()
        with executor(self._workers) as pool:
            submit = self._assembly(pool, windows, ranks).submit
            try:
                for begin, end in steps[first:]:
                    pending.append(submit(begin, end))
                    if len(pending) > ahead:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _assembly(self, pool: Executor, windows: Sequence[Window], ranks: int) -> Assembly:
        """The batches of an epoch, to be submitted to a pool."""
        memory: WindowMemory
        if self._cache is None:
            memory = FreshWindows(
                self._source,
                self._groups,
                windows,
                buffers=self._window_buffers,
                batch_memory=self._batch_memory,
            )
        else:
            memory = CachedWindows(self._cache, windows, batch_memory=self._batch_memory)
        lookahead = self._longest_window if self._workers else 0
        return Assembly(memory, windows, pool, step=ranks, lookahead=lookahead)

    def _batch_memory(self, count: int) -> Tensor:
        if self._pin:  # torch itself uses page-locked memory again
            room = torch.empty((count, *self._source.image_shape), pin_memory=True)
            return with_channels(room)
        return with_channels(torch.from_numpy(self._batch_buffers.take(count)))
