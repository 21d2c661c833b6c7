"""Host memory for windows and batches: used again once nobody holds it, and filled."""

from __future__ import annotations

import weakref

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class ImageBuffers:
    """Hands out float32 image buffers, and takes a buffer back when nothing refers to it any more.

    The first touch of fresh memory costs several times what copying images into it does, and a
    stream needs a batch of it every few milliseconds. Whoever keeps a batch keeps its memory: a
    buffer comes back only when no tensor or array shares it any more.

    Args:
        capacity: images in a buffer.
        num_pix: pixels a side.
        kept: buffers that are kept for use again, at most.
    """

    def __init__(self, capacity: int, num_pix: int, kept: int) -> None:
        self._shape = (capacity, num_pix, num_pix)
        self._kept = kept
        self._free: list[NDArray[np.float32]] = []

    def take(self, count: int) -> NDArray[np.float32]:
        """An array (count, num_pix, num_pix) of arbitrary content."""
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
