"""Images kept in memory, on the host or on an accelerator, after they were read once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lensmodels.data.assembly import (
    Batch,
    WindowMemory,
    gather,
    make_columns,
    read_piece,
    with_channels,
)
from lensmodels.data.order import Integers, SampleRange, Window
from lensmodels.data.source import Source

SHARE_OF_FREE = 0.25
"""Share of the free memory that an automatic cache takes at most, over all processes here."""


class ImageCache:
    """Every image of some groups that was asked for, and its columns, as tensors.

    Memory is touched only where images are put, so that room for a whole group costs nothing on
    the host until it is used.

    Args:
        source: that is read.
        groups: names of the groups that pieces count.
        counts: images of each group that there is room for.
        device: that holds them.
    """

    def __init__(
        self, source: Source, groups: Sequence[str], counts: Sequence[int], device: torch.device
    ) -> None:
        self.device = device
        self._source = source
        self._groups = list(groups)
        self._bases = np.concatenate([[0], np.cumsum(counts)])
        total = int(self._bases[-1])
        shape = (total, source.channels, source.num_pix, source.num_pix)
        self._images = torch.empty(shape, device=device)
        columns = make_columns([SampleRange(0, 0, total)], source.column_types)
        self._columns = {
            name: torch.from_numpy(values).to(device) for name, values in columns.items()
        }
        self._held = np.zeros(total, bool)

    def rows(self, pieces: Sequence[SampleRange]) -> Integers:
        """Where the images of pieces are, one piece after another."""
        bases = self._bases
        rows = [np.arange(p.start, p.stop) + bases[p.group] for p in pieces]
        return np.concatenate(rows) if rows else np.empty(0, np.int64)

    def hold(self, piece: SampleRange) -> None:
        """Reads a piece, where it is not held yet."""
        if not self._held[self.rows([piece])].all():
            self._put(piece)

    def batch(self, rows: Integers, out: Tensor | None) -> Batch:
        """The images at some places, with their columns.

        Args:
            rows: places, from `rows`.
            out: on the host, filled with the images of a cache there; new memory if None.
        """
        index = torch.from_numpy(rows).to(self.device)
        if out is None:
            images = self._images[index]
        else:
            gather(self._images, rows, out)
            images = out
        return {"image": images} | {name: values[index] for name, values in self._columns.items()}

    def _put(self, piece: SampleRange) -> None:
        count = len(piece)
        first = int(self._bases[piece.group]) + piece.start
        images = np.empty((count, *self._source.image_shape), np.float32)
        columns = make_columns([piece], self._source.column_types)
        read_piece(self._source, self._groups, piece, images, columns, 0)
        place = slice(first, first + count)
        self._images[place] = with_channels(torch.from_numpy(images)).to(self.device)
        for name, values in columns.items():
            self._columns[name][place] = torch.from_numpy(values).to(self.device)
        self._held[place] = True


class CachedWindows(WindowMemory):
    """Windows whose images stay in a cache, so that each is read in the first epoch only.

    Args:
        cache: of the groups that the pieces count.
        windows: of the epoch.
        batch_memory: memory for a number of images of a cache on the host, (n, 1, num_pix,
            num_pix).
    """

    def __init__(
        self,
        cache: ImageCache,
        windows: Sequence[Window],
        *,
        batch_memory: Callable[[int], Tensor],
    ) -> None:
        self._cache = cache
        self._rows = [cache.rows(window.pieces)[window.order] for window in windows]
        self._batch_memory = batch_memory if cache.device.type == "cpu" else None

    def reader(self, number: int) -> Callable[[SampleRange, int], None]:
        """What reads a piece into the cache, where it is not there."""
        return lambda piece, _: self._cache.hold(piece)

    def gatherer(self, shares: Sequence[tuple[int, Integers]]) -> Callable[[], Batch]:
        """What takes a batch out of the cache."""
        rows = np.concatenate([self._rows[number][places] for number, places in shares])
        return partial(self._gather, rows)

    def release(self, number: int) -> None:
        """Does nothing: the images stay."""

    def _gather(self, rows: Integers) -> Batch:
        return self._cache.batch(rows, self._batch_memory and self._batch_memory(len(rows)))


def free_host_memory() -> int:
    """Bytes that processes here can still take: of the machine, or of the container if less."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (maximum := limit.read_text().strip()) != "max":
        free = min(free, int(maximum) - int(used.read_text()))
    return free


def choose_cache(size: int, device: torch.device, processes: int) -> torch.device | None:
    """Where images fit with room to spare: the accelerator, else the host, else nowhere.

    Args:
        size: bytes of all images.
        device: that trains.
        processes: on this machine, each with a cache of its own.
    """
    if device.type == "cuda" and size < SHARE_OF_FREE * torch.cuda.mem_get_info(device)[0]:
        return device
    if size * processes < SHARE_OF_FREE * free_host_memory():
        return torch.device("cpu")
    return None
