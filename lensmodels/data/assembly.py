"""Reading the windows of an epoch ahead, and gathering batches out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensmodels.data.buffers import ImageBuffers, gather
from lensmodels.data.order import Integers, Run, Window, window_shares
from lensmodels.data.source import COLUMN_TYPES, Columns, Images, Source


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


def make_columns(pieces: Sequence[Run]) -> Columns:
    """The columns of pieces, one after another: index and group, and room for what is stored."""
    sizes = [len(piece) for piece in pieces]
    stored = {name: np.empty(sum(sizes), dtype) for name, dtype in COLUMN_TYPES.items()}
    sample = np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])
    group = np.repeat([piece.group for piece in pieces], sizes)
    return {**stored, "sample": sample.astype(np.int64), "group": group.astype(np.int64)}


def read_piece(
    source: Source,
    groups: Sequence[str],
    piece: Run,
    images: Images,
    columns: Columns,
    first: int,
) -> None:
    """Reads a piece into arrays of a window, from place `first` on."""
    place = slice(first, first + len(piece))
    stored = source.read(groups[piece.group], piece.start, piece.stop, images[place])
    for name, values in stored.items():
        columns[name][place] = values


@dataclass
class _Loaded:
    """A window that is read, or being read."""

    images: Images
    columns: Columns
    reads: list[Future[None]] = field(default_factory=list)


class Assembly:
    """Batches of one epoch, each as a future.

    Reads and batches go to the executor in an order in which each needs only what was submitted
    before it: so no thread waits for work that no thread has begun. The pieces of the next window
    are submitted in step with the batches, one window ahead.

    Args:
        source: that is read.
        groups: names of the groups that the pieces count.
        pieces: all pieces of the epoch.
        windows: their order.
        pool: does the work.
        window_buffers: memory for windows.
        batch_memory: memory for a number of images, (n, 1, num_pix, num_pix).
        step: every `step`-th image of a batch is taken.
        lookahead: images that are read ahead of a batch's last.
    """

    def __init__(
        self,
        source: Source,
        groups: Sequence[str],
        pieces: Sequence[Run],
        windows: Sequence[Window],
        pool: Executor,
        *,
        window_buffers: ImageBuffers,
        batch_memory: Callable[[int], Tensor],
        step: int,
        lookahead: int,
    ) -> None:
        self._source = source
        self._groups = groups
        self._windows = windows
        self._pool = pool
        self._buffers = window_buffers
        self._batch_memory = batch_memory
        self._step = step
        self._lookahead = lookahead
        self._edges = np.concatenate([[0], np.cumsum([len(window.order) for window in windows])])
        self._pieces = [[pieces[number] for number in window.pieces] for window in windows]
        self._loaded: dict[int, _Loaded] = {}

    def submit(self, start: int, stop: int) -> Future[dict[str, Tensor]]:
        """The batch of every `step`-th image from `start` on; batches are asked for in order."""
        shares = window_shares(self._edges, start, stop, self._step)
        first, last = shares[0][0], shares[-1][0]
        self._loaded = {n: loaded for n, loaded in self._loaded.items() if n >= first}
        for number in range(first, last + 1):
            self._read_up_to(number, len(self._pieces[number]))
        taken = [
            (self._loaded[number], self._windows[number].order[places]) for number, places in shares
        ]
        batch = self._pool.submit(self._gather, taken)
        self._read_ahead(last, stop + self._lookahead)
        return batch

    def _read_ahead(self, number: int, position: int) -> None:
        """Submits the pieces of the following windows that lie before a position of the epoch."""
        for ahead in range(number + 1, len(self._windows)):
            begin, end = self._edges[ahead], self._edges[ahead + 1]
            if position <= begin:
                break
            share = min(1.0, (position - begin) / (end - begin))
            self._read_up_to(ahead, int(np.ceil(share * len(self._pieces[ahead]))))

    def _read_up_to(self, number: int, count: int) -> None:
        """Submits the first pieces of a window that have not been yet."""
        pieces = self._pieces[number]
        if number not in self._loaded:
            images = self._buffers.take(len(self._windows[number].order))
            self._loaded[number] = _Loaded(images, make_columns(pieces))
        loaded = self._loaded[number]
        place = sum(map(len, pieces[: len(loaded.reads)]))
        for piece in pieces[len(loaded.reads) : count]:
            arguments = (self._source, self._groups, piece, loaded.images, loaded.columns, place)
            loaded.reads.append(self._pool.submit(read_piece, *arguments))
            place += len(piece)

    def _gather(self, taken: Sequence[tuple[_Loaded, Integers]]) -> dict[str, Tensor]:
        count = sum(len(rows) for _, rows in taken)
        images = self._batch_memory(count)
        columns: dict[str, list[NDArray[Any]]] = {}
        place = 0
        for loaded, rows in taken:
            for read in loaded.reads:
                read.result()
            source = torch.from_numpy(loaded.images)[:, None]
            gather(source, rows, out=images[place : place + len(rows)])
            place += len(rows)
            for name, values in loaded.columns.items():
                columns.setdefault(name, []).append(values[rows])
        tensors = {name: torch.from_numpy(np.concatenate(c)) for name, c in columns.items()}
        return {"image": images} | tensors
