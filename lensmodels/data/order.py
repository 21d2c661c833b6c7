"""Which image comes when: pure functions of counts, seed and epoch, without any reading.

An archive is read in pieces: runs of consecutive images that lie in one chunk. An epoch takes the
pieces in a random order, cuts that order into windows of a few pieces, and takes the images of
each window in a random order. A step is a batch of that sequence, and rank r of R takes every R-th
image of each batch from the r-th on: the ranks' shares of a step are together the batch that a
single process would see, so the order of images does not depend on the number of devices. The
price is that every rank reads every piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lensmodels.errors import UsageError

Integers = NDArray[np.int64]

_LABELS_KEY = 0x1ABE15
"""Keeps the draw of the labelled images apart from the draws of the epochs."""


@dataclass(frozen=True)
class Run:
    """Images `start` (included) to `stop` (excluded) of a group, given by its number."""

    group: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Window:
    """Pieces that are read together, and the order in which their images are taken.

    Attributes:
        pieces: numbers of the pieces, in the order in which they lie in the window.
        order: (n,) positions in the window, the first image to be taken first.
    """

    pieces: Integers
    order: Integers


def split_run(run: Run, validation_fraction: float) -> tuple[Run, Run]:
    """A group's images, cut into those to train on and, the last ones, those to validate on."""
    held = round(len(run) * validation_fraction)
    middle = run.stop - held
    return Run(run.group, run.start, middle), Run(run.group, middle, run.stop)


def labelled_runs(run: Run, fraction: float, seed: int) -> list[Run]:
    """The images of a group whose labels are used.

    Images are independent draws, so a block of neighbours is as random a choice as any, and costs
    no more reading than its own chunks. Where it begins is drawn from the seed; at the last image
    it goes on at the first. The block of a smaller fraction is the beginning of that of a larger.

    Args:
        run: the images to choose from.
        fraction: share of them, in (0, 1]; at least one image is taken.
        seed: of the draw.
    """
    size = len(run)
    count = min(size, max(1, round(size * fraction)))
    if count == size:
        return [run]
    generator = np.random.default_rng((seed, run.group, _LABELS_KEY))
    first = run.start + int(generator.integers(size))
    end = first + count
    block = [Run(run.group, first, min(end, run.stop))]
    if end > run.stop:
        block.append(Run(run.group, run.start, run.start + end - run.stop))
    return block


def cut_at_chunks(runs: Iterable[Run], edges: Sequence[Integers]) -> list[Run]:
    """The runs, cut into pieces that lie in one chunk each; empty runs vanish.

    Args:
        runs: any runs of images.
        edges: for every group, where its chunks begin, and its end.
    """
    pieces = []
    for run in runs:
        inside = edges[run.group]
        inside = inside[(inside > run.start) & (inside < run.stop)]
        bounds = [run.start, *inside.tolist(), run.stop]
        pieces += [Run(run.group, start, stop) for start, stop in pairwise(bounds) if start < stop]
    return pieces


def mixed_order(groups: Integers, generator: np.random.Generator) -> Integers:
    """A random order of pieces in which those of every group are spread evenly.

    The k-th of a group's n pieces, shuffled, falls at random into the k-th of n equal parts of the
    epoch; so every window holds each class in about the proportion of the whole.

    Args:
        groups: (n,) group of each piece.
        generator: of the draws.
    """
    place = np.empty(len(groups))
    for group in np.unique(groups):
        members = generator.permutation(np.flatnonzero(groups == group))
        place[members] = (np.arange(len(members)) + generator.random(len(members))) / len(members)
    return np.argsort(place, kind="stable")


def epoch_windows(
    pieces: Sequence[Run], pieces_per_window: int, seed: int | None, epoch: int
) -> list[Window]:
    """The windows of an epoch.

    Args:
        pieces: that are read, each once.
        pieces_per_window: at most; the windows are about equal.
        seed: with the epoch, decides the order; None keeps pieces and images as they are.
        epoch: from 0 on.
    """
    if not pieces:
        return []
    sizes = np.array([len(piece) for piece in pieces])
    groups = np.array([piece.group for piece in pieces])
    parts = -(-len(pieces) // pieces_per_window)
    if seed is None:
        chosen = np.array_split(np.arange(len(pieces)), parts)
        return [Window(numbers, np.arange(sizes[numbers].sum())) for numbers in chosen]
    generator = np.random.default_rng((seed, epoch))
    chosen = np.array_split(mixed_order(groups, generator), parts)
    return [Window(numbers, generator.permutation(sizes[numbers].sum())) for numbers in chosen]


def batch_sizes(count: int, batch_size: int, ranks: int, *, drop_last: bool) -> Integers:
    """Images in each step of an epoch, over all ranks together.

    Args:
        count: images in the epoch.
        batch_size: of a step.
        ranks: processes that share it.
        drop_last: leave out what does not fill a batch, so that every step is of one size and the
            same on all ranks. A set smaller than one batch is one step, of all that the ranks can
            share equally.
    """
    if drop_last:
        size = min(batch_size, count - count % ranks)
        return np.full(count // size if size else 0, size, dtype=np.int64)
    full, rest = divmod(count, batch_size)
    return np.array([batch_size] * full + [rest] * bool(rest), dtype=np.int64)


def check_shares(count: int, batch_size: int, ranks: int) -> None:
    """Refuse images that some devices cannot share equally.

    Args:
        count: images in an epoch.
        batch_size: images in a step, over all ranks together.
        ranks: devices, each with a process.

    Raises:
        UsageError: saying what to change.
    """
    if batch_size % ranks:
        raise UsageError(
            f"A batch of {batch_size} images cannot be shared equally by {ranks} devices; choose a "
            f"multiple of {ranks}."
        )
    if 0 < count < ranks:
        raise UsageError(f"{count} images cannot be shared by {ranks} devices; use fewer devices.")


def steps_of_rank(sizes: Integers, rank: int) -> int:
    """Steps in which a rank has an image at all: the last batch can be smaller than the ranks."""
    return int((sizes > rank).sum())


def window_shares(edges: Integers, start: int, stop: int, step: int) -> list[tuple[int, Integers]]:
    """Every `step`-th image of a stretch of an epoch, by window.

    Args:
        edges: (windows + 1,) where the windows begin in the epoch, and its end.
        start: first image, counted from the epoch's beginning.
        stop: where the stretch ends, excluded.
        step: number of ranks.

    Returns:
        Pairs of a window's number and the places, in its order, of the images taken.
    """
    taken = np.arange(start, stop, step, dtype=np.int64)
    windows = np.searchsorted(edges, taken, side="right") - 1
    return [
        (int(window), taken[windows == window] - edges[window]) for window in np.unique(windows)
    ]
