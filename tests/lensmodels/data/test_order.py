"""The order of an epoch: exactly once, mixed, and shared by ranks without changing a step."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensmodels.data.order import (
    SampleRange,
    batch_sizes,
    cut_at_chunks,
    epoch_windows,
    labelled_ranges,
    mixed_order,
    split_range,
    steps_of_rank,
    window_shares,
)


def positions(windows):
    """The images of an epoch in their order, as (group, index)."""
    taken = []
    for window in windows:
        held = [
            (piece.group, index)
            for piece in window.pieces
            for index in range(piece.start, piece.stop)
        ]
        taken += [held[place] for place in window.order]
    return taken


def chunked(sizes, chunk):
    """Pieces of groups of these sizes, in chunks of one size."""
    edges = [np.append(np.arange(0, size, chunk), size) for size in sizes]
    return cut_at_chunks([SampleRange(group, 0, size) for group, size in enumerate(sizes)], edges)


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4),
    chunk=st.integers(1, 20),
    per_window=st.integers(1, 5),
    batch=st.integers(1, 30),
    ranks=st.integers(1, 4),
    seed=st.none() | st.integers(0, 5),
)
def test_ranks_together_take_every_image_once_and_each_step_is_that_of_one_process(
    sizes, chunk, per_window, batch, ranks, seed
):
    pieces = chunked(sizes, chunk)
    windows = epoch_windows(pieces, per_window, seed, epoch=3)
    order = positions(windows)
    assert sorted(order) == [(g, i) for g, size in enumerate(sizes) for i in range(size)]
    edges = np.concatenate([[0], np.cumsum([len(window.order) for window in windows])])
    steps = batch_sizes(len(order), batch, ranks, drop_last=False)
    bounds = np.concatenate([[0], np.cumsum(steps)])
    assert bounds[-1] == len(order)
    for start, stop in pairwise(bounds):
        step = []
        for rank in range(ranks):
            for window, places in window_shares(edges, start + rank, stop, ranks):
                step += [order[edges[window] + place] for place in places]
        assert sorted(step) == sorted(order[start:stop])


def test_the_order_is_a_function_of_seed_and_epoch():
    pieces = chunked([100, 100], 10)

    def order(seed, epoch):
        return positions(epoch_windows(pieces, 4, seed, epoch))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(None, 2) == order(None, 3) == sorted(order(1, 2))


def test_windows_mix_images_of_many_chunks():
    pieces = chunked([1600], 10)
    windows = epoch_windows(pieces, 16, seed=0, epoch=0)
    indices = np.array([index for _, index in positions(windows)]).reshape(10, 160)
    assert all(len(np.unique(window // 10)) == 16 for window in indices)
    assert np.abs(np.corrcoef(indices.ravel(), np.arange(1600))[0, 1]) < 0.1
    first_batch = indices[0, :32]
    assert len(np.unique(first_batch // 10)) > 8


def test_every_window_has_its_share_of_every_class():
    groups = np.repeat([0, 1, 2], [40, 40, 80])
    order = groups[mixed_order(groups, np.random.default_rng(0))].reshape(10, 16)
    shares = np.stack([(order == group).sum(axis=1) for group in range(3)])
    assert np.all(np.abs(shares - [[4], [4], [8]]) <= 2)


def test_the_order_of_equal_chunks_is_uniform():
    groups = np.zeros(4, int)
    firsts = [mixed_order(groups, np.random.default_rng(seed))[0] for seed in range(2000)]
    assert np.all(np.abs(np.bincount(firsts) - 500) < 100)


def test_windows_are_about_equal():
    sizes = [len(w.order) for w in epoch_windows(chunked([170], 10), 16, seed=0, epoch=0)]
    assert sorted(sizes) == [80, 90]


def test_validation_images_are_the_last_and_none_is_lost():
    train, validation = split_range(SampleRange(2, 0, 101), 0.05)
    assert (train, validation) == (SampleRange(2, 0, 96), SampleRange(2, 96, 101))
    assert split_range(SampleRange(2, 0, 101), 0.0) == (
        SampleRange(2, 0, 101),
        SampleRange(2, 101, 101),
    )


def images_of(runs):
    return [index for run in runs for index in range(run.start, run.stop)]


@pytest.mark.parametrize("seed", range(8))
def test_fewer_labels_are_contained_in_more(seed):
    run = SampleRange(1, 0, 1000)
    previous = set()
    for fraction in (0.0001, 0.01, 0.03, 0.5, 0.999, 1.0):
        chosen = images_of(labelled_ranges(run, fraction, seed))
        assert len(set(chosen)) == len(chosen) == max(1, round(1000 * fraction))
        assert previous <= set(chosen) <= set(range(1000))
        previous = set(chosen)


def test_labelled_images_depend_on_the_seed_and_the_class():
    blocks = {
        labelled_ranges(SampleRange(group, 0, 10_000), 0.01, seed)[0].start
        for group in range(3)
        for seed in range(3)
    }
    assert len(blocks) == 9


def test_ranges_are_cut_where_chunks_begin():
    edges = [np.array([0, 10, 20, 25]), np.array([0, 7])]
    pieces = cut_at_chunks(
        [SampleRange(0, 5, 22), SampleRange(0, 25, 25), SampleRange(1, 0, 7)], edges
    )
    assert pieces == [
        SampleRange(0, 5, 10),
        SampleRange(0, 10, 20),
        SampleRange(0, 20, 22),
        SampleRange(1, 0, 7),
    ]


def test_dropping_what_does_not_fill_a_batch_gives_equal_steps_on_all_ranks():
    assert batch_sizes(1000, 256, 2, drop_last=True).tolist() == [256, 256, 256]
    assert batch_sizes(1000, 256, 2, drop_last=False).tolist() == [256, 256, 256, 232]
    assert batch_sizes(101, 256, 2, drop_last=True).tolist() == [100]
    assert batch_sizes(1, 256, 2, drop_last=True).tolist() == []
    assert [steps_of_rank(batch_sizes(9, 4, 4, drop_last=False), rank) for rank in (0, 1)] == [3, 2]
