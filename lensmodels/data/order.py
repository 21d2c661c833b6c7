"""Which image comes when: pure functions of counts, seed and epoch, without any reading.

An archive is read in pieces: ranges of images that lie in one chunk. An epoch takes the pieces in a
random order, cuts that order into windows of a few pieces, and takes the images of each window in a
random order. A step is a batch of that sequence, and rank r of R takes every R-th image of each
batch from the r-th on: the ranks' shares of a step are together the batch that a single process
would see, so the order of images does not depend on the number of devices. The price is that every
rank reads every piece.
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
class SampleRange:
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
        pieces: ranges of images, in the order in which they lie in the window.
        order: (n,) positions in the window, the first image to be taken first.
    """

    pieces: Sequence[SampleRange]
    order: Integers

    def __len__(self) -> int:
        return len(self.order)


def split_range(
    samples: SampleRange, validation_fraction: float
) -> tuple[SampleRange, SampleRange]:
    """A group's images, cut into those to train on and, the last ones, those to validate on."""
    held = round(len(samples) * validation_fraction)
    middle = samples.stop - held
    return SampleRange(samples.group, samples.start, middle), SampleRange(
        samples.group, middle, samples.stop
    )


def labelled_ranges(samples: SampleRange, fraction: float, seed: int) -> list[SampleRange]:
    """The images of a group whose labels are used.

    Images are independent draws, so a block of neighbours is as random a choice as any, and costs
    no more reading than its own chunks. Where it begins is drawn from the seed; at the last image
    it continues at the first. The block of a smaller fraction is the beginning of that of a larger.

    Args:
        samples: the images to choose from.
        fraction: share of them, in (0, 1]; at least one image is taken.
        seed: of the draw.
    """
    size = len(samples)
    count = min(size, max(1, round(size * fraction)))
    if count == size:
        return [samples]
    generator = np.random.default_rng((seed, samples.group, _LABELS_KEY))
    first = samples.start + int(generator.integers(size))
    end = first + count
    block = [SampleRange(samples.group, first, min(end, samples.stop))]
    if end > samples.stop:
        block.append(SampleRange(samples.group, samples.start, samples.start + end - samples.stop))
    return block


def other_ranges(samples: SampleRange, taken: Iterable[SampleRange]) -> list[SampleRange]:
    """The images of a range that lie in none of some ranges within it.

    Args:
        samples: the images to choose from.
        taken: of the same group, and apart from each other.
    """
    rest, start = [], samples.start
    for block in sorted(taken, key=lambda block: block.start):
        rest.append(SampleRange(samples.group, start, block.start))
        start = block.stop
    rest.append(SampleRange(samples.group, start, samples.stop))
    return [block for block in rest if len(block)]


def chosen_ranges(samples: SampleRange, chosen: NDArray[np.bool_]) -> list[SampleRange]:
    """The images of a range that are chosen.

    Args:
        samples: a range of a group.
        chosen: of every image of the group, (n,).
    """
    inside = np.concatenate([[False], chosen[samples.start : samples.stop], [False]])
    edges = samples.start + np.flatnonzero(np.diff(inside.astype(np.int8)))
    return [
        SampleRange(samples.group, int(start), int(stop))
        for start, stop in zip(edges[::2], edges[1::2], strict=True)
    ]


def cut_at_chunks(ranges: Iterable[SampleRange], edges: Sequence[Integers]) -> list[SampleRange]:
    """Ranges of images, cut into pieces that lie in one chunk; empty ranges vanish.

    Args:
        ranges: of images.
        edges: for every group, where its chunks begin, and its end.

    Returns:
        Ranges in the same order, which together hold the same images.
    """
    pieces = []
    for samples in ranges:
        inside = edges[samples.group]
        inside = inside[(inside > samples.start) & (inside < samples.stop)]
        bounds = [samples.start, *inside.tolist(), samples.stop]
        pieces += [
            SampleRange(samples.group, start, stop)
            for start, stop in pairwise(bounds)
            if start < stop
        ]
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
    pieces: Sequence[SampleRange], pieces_per_window: int, seed: int | None, epoch: int
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
        orders = [np.arange(sizes[numbers].sum()) for numbers in chosen]
    else:
        generator = np.random.default_rng((seed, epoch))
        chosen = np.array_split(mixed_order(groups, generator), parts)
        orders = [generator.permutation(sizes[numbers].sum()) for numbers in chosen]
    return [
        Window([pieces[number] for number in numbers], order)
        for numbers, order in zip(chosen, orders, strict=True)
    ]


def batch_sizes(count: int, batch_size: int, ranks: int, *, drop_last: bool) -> Integers:
    """Images in each step of an epoch, over all ranks together.

    Args:
        count: images in the epoch.
        batch_size: of a step.
        ranks: processes that share it.
        drop_last: leave out what does not fill a batch, so that every step is of one size and the
            same on all ranks. A set smaller than one batch is one step, of all that the ranks can
            share equally.

    Returns:
        Number of images, shape (steps,).
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
