"""Reading the windows of an epoch ahead, and gathering batches out of them."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensmodels.data.order import Integers, SampleRange, Window, window_shares
from lensmodels.data.source import COLUMN_TYPES, Columns, Images, Source


class ImageBuffers:
    """Hands out float32 image buffers, and takes a buffer back when nothing refers to it any more.

    The first touch of fresh memory costs several times what copying images into it does, and a
    stream needs a batch of it every few milliseconds. Whoever keeps a batch keeps its memory: a
    buffer comes back only when no tensor or array shares it any more.

    Args:
        capacity: images in a buffer.
        image_shape: of an image.
        kept: buffers that are kept for use again, at most.
    """

    def __init__(self, capacity: int, image_shape: Sequence[int], kept: int) -> None:
        self._shape = (capacity, *image_shape)
        self._kept = kept
        self._free: list[NDArray[np.float32]] = []

    def take(self, count: int) -> NDArray[np.float32]:
        """An array (count, *image_shape) of arbitrary content."""
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = np.empty(self._shape, np.float32)
        lease = _Lease(buffer)
        weakref.finalize(lease, self._give_back, buffer)
        return np.asarray(lease)[:count]

    def _give_back(self, buffer: NDArray[np.float32]) -> None:
        if len(self._free) < self._kept:
            self._free.append(buffer)


class _Lease:
    """Shows a buffer as an array whose `base` is this object, so that every view keeps it alive."""

    def __init__(self, buffer: NDArray[np.float32]) -> None:
        self.__array_interface__ = buffer.__array_interface__


def gather(images: Tensor, rows: NDArray[np.int64], out: Tensor) -> None:
    """Copies images at some places, on this thread alone.

    torch would share the work with its own threads, and wait for them where the training, or
    another process, has the cores: twice as fast on an idle machine, and several times slower on
    a busy one.

    Args:
        images: on the host, to choose from.
        rows: places in it.
        out: filled, (len(rows), ...).
    """
    # "clip" because "raise" would buffer the output; the rows are ours and in range
    np.take(images.numpy(), rows, axis=0, out=out.numpy(), mode="clip")


def with_channels(images: Tensor) -> Tensor:
    """Images as (n, channels, y, x), of (n, y, x) or of that shape already."""
    return images[:, None] if images.ndim == 3 else images


class _CallingThread(Executor):
    """Does work where and when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def executor(workers: int) -> Executor:
    """So many threads, which start work in the order in which it is submitted; 0 uses none."""
    if workers:
        return ThreadPoolExecutor(workers, thread_name_prefix="lensmodels-stream")
    return _CallingThread()


def make_columns(
    pieces: Sequence[SampleRange], types: Mapping[str, type[np.generic]] = COLUMN_TYPES
) -> Columns:
    """The columns of pieces, one after another: index and group, and room for what is stored."""
    sizes = [len(piece) for piece in pieces]
    stored = {name: np.empty(sum(sizes), dtype) for name, dtype in types.items()}
    sample = np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])
    group = np.repeat([piece.group for piece in pieces], sizes)
    return {**stored, "sample": sample.astype(np.int64), "group": group.astype(np.int64)}


def read_piece(
    source: Source,
    groups: Sequence[str],
    piece: SampleRange,
    images: Images,
    columns: Columns,
    first: int,
) -> None:
    """Reads a piece of a group into the arrays of a window.

    Args:
        source: of the images.
        groups: names of its groups, by the index that pieces have.
        piece: samples to read, n of them.
        images: of the window, (size, y, x); places `first` to `first + n` are overwritten.
        columns: of the window by name, (size,); the same places are overwritten.
        first: place of the piece's first sample.
    """
    place = slice(first, first + len(piece))
    stored = source.read(groups[piece.group], piece.start, piece.stop, images[place])
    for name, values in stored.items():
        columns[name][place] = values


Batch = dict[str, Tensor]
"""Tensors by name, of b images:

image float32 (b, channels, num_pix, num_pix), e-/s, or residuals in units of the noise; label int64
(b,); axion_mass float64 (b,), eV, NaN without an axion; substructure_snr and substructure_snr_refit
float32 (b,), the latter NaN where it was not computed; vortex_length float32 (b,), arcsec, and
vortex_angle float32 (b,), radians from the x axis, both NaN without a vortex; sample int64 (b,),
the index in its group; group int64 (b,), the index in the list of groups. Further columns that were
asked for are float32 (b,), NaN where a group has no such column. Batches of pairs have
second_image, like image.
"""


class WindowMemory(ABC):
    """Where the images of an epoch's windows are put when they are read, and taken from."""

    @abstractmethod
    def reader(self, number: int) -> Callable[[SampleRange, int], None]:
        """What reads a piece to its place among the images of a window; threads call it."""

    @abstractmethod
    def gatherer(self, shares: Sequence[tuple[int, Integers]]) -> Callable[[], Batch]:
        """What gathers a batch of windows that are read by then; a thread calls it.

        Args:
            shares: number of each window, and places in its order; see `window_shares`.
        """

    @abstractmethod
    def release(self, number: int) -> None:
        """Frees the windows before this one: no batch needs them any more."""


class Assembly:
    """Batches of one epoch, each as a future.

    Reads and batches go to the executor in an order in which each needs only what was submitted
    before it: so no thread waits for work that no thread has begun. The pieces of the next window
    are submitted in step with the batches, one window ahead.

    Args:
        memory: of the windows.
        windows: of the epoch.
        pool: does the work.
        step: every `step`-th image of a batch is taken.
        lookahead: images that are read ahead of a batch's last.
    """

    def __init__(
        self,
        memory: WindowMemory,
        windows: Sequence[Window],
        pool: Executor,
        *,
        step: int,
        lookahead: int,
    ) -> None:
        self._memory = memory
        self._pieces = [window.pieces for window in windows]
        self._pool = pool
        self._step = step
        self._lookahead = lookahead
        self._edges = np.cumsum([0, *map(len, windows)])
        self._reads: dict[int, list[Future[None]]] = {}

    def submit(self, start: int, stop: int) -> Future[Batch]:
        """The batch of every `step`-th image from `start` on; batches are asked for in order."""
        shares = window_shares(self._edges, start, stop, self._step)
        first, last = shares[0][0], shares[-1][0]
        self._memory.release(first)
        self._reads = {number: reads for number, reads in self._reads.items() if number >= first}
        for number in range(first, last + 1):
            self._read_up_to(number, len(self._pieces[number]))
        reads = [read for number, _ in shares for read in self._reads[number]]
        batch = self._pool.submit(_after, reads, self._memory.gatherer(shares))
        self._read_ahead(last, stop + self._lookahead)
        return batch

    def _read_ahead(self, number: int, position: int) -> None:
        """Submits the pieces of the following windows that lie before a position of the epoch."""
        for ahead in range(number + 1, len(self._pieces)):
            begin, end = self._edges[ahead], self._edges[ahead + 1]
            if position <= begin:
                break
            share = min(1.0, (position - begin) / (end - begin))
            self._read_up_to(ahead, int(np.ceil(share * len(self._pieces[ahead]))))

    def _read_up_to(self, number: int, count: int) -> None:
        """Submits the first pieces of a window that have not been yet."""
        pieces, reads = self._pieces[number], self._reads.setdefault(number, [])
        if len(reads) >= count:
            return
        read = self._memory.reader(number)
        place = sum(map(len, pieces[: len(reads)]))
        for piece in pieces[len(reads) : count]:
            reads.append(self._pool.submit(read, piece, place))
            place += len(piece)


def _after(reads: Sequence[Future[None]], gather: Callable[[], Batch]) -> Batch:
    for read in reads:
        read.result()
    return gather()


class FreshWindows(WindowMemory):
    """Windows that are read for one epoch, each into a buffer that is used again.

    Args:
        source: that is read.
        groups: names of the groups that the pieces count.
        windows: of the epoch.
        buffers: memory for windows.
        batch_memory: memory for a number of images, (n, 1, num_pix, num_pix).
    """

    def __init__(
        self,
        source: Source,
        groups: Sequence[str],
        windows: Sequence[Window],
        *,
        buffers: ImageBuffers,
        batch_memory: Callable[[int], Tensor],
    ) -> None:
        self._source = source
        self._groups = groups
        self._windows = windows
        self._buffers = buffers
        self._batch_memory = batch_memory
        self._read: dict[int, tuple[Images, Columns]] = {}

    def reader(self, number: int) -> Callable[[SampleRange, int], None]:
        """What reads a piece into a window's buffer."""
        if number not in self._read:
            window = self._windows[number]
            columns = make_columns(window.pieces, self._source.column_types)
            self._read[number] = self._buffers.take(len(window)), columns
        images, columns = self._read[number]

        def read(piece: SampleRange, place: int) -> None:
            read_piece(self._source, self._groups, piece, images, columns, place)

        return read

    def gatherer(self, shares: Sequence[tuple[int, Integers]]) -> Callable[[], Batch]:
        """What copies images of windows into a batch."""
        taken = [
            (*self._read[number], self._windows[number].order[places]) for number, places in shares
        ]
        return partial(self._gather, taken)

    def release(self, number: int) -> None:
        """The buffers of windows before this one are free once their last batch is gathered."""
        self._read = {n: window for n, window in self._read.items() if n >= number}

    def _gather(self, taken: Sequence[tuple[Images, Columns, Integers]]) -> Batch:
        batch_images = self._batch_memory(sum(len(rows) for _, _, rows in taken))
        columns: dict[str, list[NDArray[Any]]] = {}
        place = 0
        for images, window_columns, rows in taken:
            source = with_channels(torch.from_numpy(images))
            gather(source, rows, out=batch_images[place : place + len(rows)])
            place += len(rows)
            for name, values in window_columns.items():
                columns.setdefault(name, []).append(values[rows])
        tensors = {name: torch.from_numpy(np.concatenate(c)) for name, c in columns.items()}
        return {"image": batch_images} | tensors
