"""Streams: right images, exactly once, whatever the ranks and workers, and resumable.

Their buffers are used again, and never while somebody holds them.
"""

import itertools

import numpy as np
import pytest
import torch

import lenssim
from lensmodels.data import CLASSES, DataSettings, LensDataModule
from lensmodels.data.assembly import ImageBuffers
from lensmodels.data.order import SampleRange
from lensmodels.data.stream import BatchStream
from lensmodels.errors import UsageError
from lenssim.archive import open_archive

NUM_PIX, TRAIN = 16, 45


def opened(url, **options):
    settings = {"batch_size": 16, "num_pix": NUM_PIX, "cache": "none", **options}
    module = LensDataModule(DataSettings(url=str(url), **settings))
    module.setup()
    return module


def stream_of(url, runs=((0, 0, 45), (1, 0, 45), (2, 3, 40)), **options):
    module = opened(url)
    settings = {"batch_size": 12, "seed": 5, **options}
    return BatchStream(
        module._source, module.groups, [SampleRange(*run) for run in runs], **settings
    )


def keys(batch):
    return list(zip(batch["group"].tolist(), batch["sample"].tolist(), strict=True))


def keys_of(stream):
    return [keys(batch) for batch in stream]


def test_a_batch_holds_what_the_archive_holds(either, archive):
    module = opened(either, validation_fraction=0)
    datasets = [open_archive(archive).dataset("train", name).load() for name in CLASSES]
    seen = 0
    for batch in module.stream("train", shuffle=True):
        assert batch["image"].shape == (len(batch["label"]), 1, NUM_PIX, NUM_PIX)
        types = {name: values.dtype for name, values in batch.items()}
        assert types == {
            "image": torch.float32,
            "label": torch.int64,
            "axion_mass": torch.float64,
            "substructure_snr": torch.float32,
            "substructure_snr_refit": torch.float32,
            "vortex_length": torch.float32,
            "vortex_angle": torch.float32,
            "sample": torch.int64,
            "group": torch.int64,
        }
        for number, (group, sample) in enumerate(keys(batch)):
            row = datasets[group].isel(sample=sample)
            np.testing.assert_array_equal(batch["image"][number, 0], row["image"])
            for name in ("label", "axion_mass", "substructure_snr"):
                np.testing.assert_array_equal(batch[name][number], row[name])
            for name in ("substructure_snr_refit", "vortex_length", "vortex_angle"):
                expected = np.float32(row[name]) if name in row else np.nan
                np.testing.assert_array_equal(batch[name][number], expected)
            seen += 1
    assert seen == 3 * TRAIN


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_image_comes_once_an_epoch_over_all_ranks(either, ranks, workers):
    streams = [stream_of(either, rank=rank, ranks=ranks, workers=workers) for rank in range(ranks)]
    single = stream_of(either, workers=0)
    expected = {(0, i) for i in range(45)} | {(1, i) for i in range(45)}
    expected |= {(2, i) for i in range(3, 40)}
    for _ in range(2):
        shares = [keys_of(stream) for stream in streams]
        assert [len(share) for share in shares] == [len(stream) for stream in streams]
        taken = [key for share in shares for batch in share for key in batch]
        assert len(taken) == len(expected)
        assert set(taken) == expected
        steps = itertools.zip_longest(*shares, fillvalue=[])
        for together, alone in zip(steps, keys_of(single), strict=True):
            assert sorted(itertools.chain(*together)) == sorted(alone)


@pytest.mark.parametrize("ranks", [1, 3])
def test_training_steps_are_of_one_size_and_equally_many_on_every_rank(archive, ranks):
    streams = [stream_of(archive, rank=rank, ranks=ranks, drop_last=True) for rank in range(ranks)]
    shares = [keys_of(stream) for stream in streams]
    assert {len(batch) for share in shares for batch in share} == {12 // ranks}
    assert {len(share) for share in shares} == {127 // 12}
    taken = [key for share in shares for batch in share for key in batch]
    assert len(taken) == len(set(taken)) == 120


def test_the_order_changes_with_the_epoch_and_the_seed_only(archive):
    stream = stream_of(archive, workers=2)
    first, second = keys_of(stream), keys_of(stream)
    assert first != second
    assert [first, second] == [keys_of(again) for again in [stream_of(archive)] * 2]
    assert first != keys_of(stream_of(archive, seed=6))
    stream.set_epoch(0)
    assert keys_of(stream) == first
    in_order = keys_of(stream_of(archive, seed=None))
    assert list(itertools.chain(*in_order)) == sorted(itertools.chain(*first))


@pytest.mark.parametrize("taken", [1, 4, 10, 11])
@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0), (1, 1)])
def test_a_stream_resumes_in_the_middle_of_an_epoch(either, taken, before, after):
    whole = stream_of(either)
    expected = [keys_of(whole) for _ in range(3)]
    stream = stream_of(either, workers=before)
    keys_of(stream)
    running = iter(stream)
    for _ in range(taken):
        next(running)
    state = stream.state_dict()
    running.close()
    resumed = stream_of(either, workers=after)
    resumed.load_state_dict(state)
    rest = keys_of(resumed)
    if taken == len(resumed):
        assert rest == expected[2]
    else:
        assert rest == expected[1][taken:]
        assert keys_of(resumed) == expected[2]


def test_resuming_does_not_read_what_was_consumed(archive, monkeypatch):
    runs = [(0, 0, 45)]
    monkeypatch.setattr("lensmodels.data.stream.PIECES_PER_WINDOW", 2)
    stream = stream_of(archive, runs, batch_size=15, workers=0)
    stream.load_state_dict({**stream.state_dict(), "batches": 2})
    reads = []
    read = stream._source.read
    monkeypatch.setattr(stream._source, "read", lambda *a: (reads.append(a[:3]), read(*a))[1])
    assert len(keys_of(stream)) == 1
    assert sum(stop - start for _, start, stop in reads) < 32


def test_a_state_of_other_data_is_refused(archive):
    state = stream_of(archive).state_dict()
    with pytest.raises(UsageError, match="batch size 12 and this one 13"):
        stream_of(archive, batch_size=13).load_state_dict(state)
    with pytest.raises(UsageError, match="seed 5 and this one 6"):
        stream_of(archive, seed=6).load_state_dict(state)


def test_a_pass_given_up_begins_again(archive):
    stream = stream_of(archive)
    expected = keys_of(stream_of(archive))
    for _ in range(2):
        assert keys(next(iter(stream))) == expected[0]
    assert keys_of(stream) == expected


def test_a_batch_that_is_kept_is_not_written_over(archive):
    stream = stream_of(archive, workers=2)
    kept = [(batch["image"], batch["image"].clone()) for batch in stream]
    for _ in range(3):
        for _ in stream:
            pass
    assert all(torch.equal(image, copy) for image, copy in kept)


@pytest.mark.parametrize("cache", ["memory", "device", "auto"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_changes_no_batch_and_reads_once(either, monkeypatch, cache, workers):
    expected = list(opened(either).stream("train", shuffle=True))
    module = opened(either, cache=cache, workers=workers)
    stream = module.stream("train", shuffle=True)
    for batch, other in zip(stream, expected, strict=True):
        for name, values in batch.items():
            torch.testing.assert_close(values, other[name], rtol=0, atol=0, equal_nan=True)
    monkeypatch.setattr(module._source, "read", None)
    assert len(keys_of(stream)) == len(expected)
    assert len(keys_of(module.train_dataloader())) > 0


@pytest.mark.parametrize("cache", ["memory", "device"])
@pytest.mark.parametrize("is_full", [True, False])
def test_a_cached_stream_resumes_in_the_middle_of_an_epoch(either, cache, is_full):
    whole = opened(either).stream("train", shuffle=True)
    expected = [keys_of(whole) for _ in range(3)]
    stream = opened(either, cache=cache).stream("train", shuffle=True)
    taken = 2
    if is_full:
        keys_of(stream)
    running = iter(stream)
    for _ in range(taken):
        next(running)
    state = stream.state_dict()
    resumed = opened(either, cache=cache).stream("train", shuffle=True)  # its cache is empty
    resumed.load_state_dict(state)
    epoch = int(is_full)
    assert keys_of(resumed) == expected[epoch][taken:]
    assert keys_of(resumed) == expected[epoch + 1]


def test_the_first_batch_does_not_wait_until_a_cache_is_full(archive, monkeypatch):
    monkeypatch.setattr("lensmodels.data.stream.PIECES_PER_WINDOW", 2)
    module = opened(archive, cache="memory", workers=0)
    reads, read = [], module._source.read
    monkeypatch.setattr(module._source, "read", lambda *a: [reads.append(a[:3]), read(*a)][1])
    batches = iter(module.stream("train", shuffle=True))
    next(batches)
    assert len(reads) == 2
    list(batches)
    assert len(reads) == len(set(reads)) > 4


def test_the_share_is_that_of_this_process_where_several_train_together(archive, monkeypatch):
    for name, value in (("is_initialized", True), ("get_rank", 1), ("get_world_size", 2)):
        monkeypatch.setattr(torch.distributed, name, lambda value=value: value)
    assert keys_of(stream_of(archive)) == keys_of(stream_of(archive, rank=1, ranks=2))


def test_an_array_that_zarr_has_to_decode_gives_the_same_images(archive, tmp_path):
    options = {"train": 45, "test": 0, "overrides": [f"instrument.num_pix={NUM_PIX}"]}
    lenssim.generate("B", ["cdm"], out=tmp_path, chunk_size=20, shard_size=20, **options)
    modules = [opened(url, classes=("cdm",)) for url in (tmp_path, archive)]
    assert [module._source._plain["train/cdm"] is None for module in modules] == [True, False]
    both = [
        torch.cat([batch["image"] for batch in module.stream("train", shuffle=False)])
        for module in modules
    ]
    assert torch.equal(*both)


def test_devices_that_cannot_share_a_batch_are_refused(archive):
    with pytest.raises(UsageError, match="choose a multiple of 5"):
        next(iter(stream_of(archive, rank=0, ranks=5)))
    with pytest.raises(UsageError, match="use fewer devices"):
        next(iter(stream_of(archive, [(0, 0, 2)], rank=0, ranks=3, drop_last=True)))


def test_a_set_smaller_than_a_batch_is_one_step(archive):
    stream = stream_of(archive, [(0, 0, 5)], drop_last=True)
    assert [len(batch) for batch in keys_of(stream)] == [5]
    assert keys_of(stream_of(archive, [])) == []


def test_memory_comes_back_when_its_last_view_is_gone():
    buffers = ImageBuffers(4, (2, 2), kept=1)
    first = buffers.take(3)
    address = first.ctypes.data
    view = torch.from_numpy(first)[1:, None]
    del first
    other = buffers.take(4)
    assert other.ctypes.data != address
    del view
    assert buffers.take(4).ctypes.data == address


def test_no_more_is_kept_than_asked_for():
    buffers = ImageBuffers(4, (2, 2), kept=2)
    held = [buffers.take(4) for _ in range(5)]
    assert len({array.ctypes.data for array in held}) == 5
    held.clear()
    assert len(buffers._free) == 2


def test_a_buffer_is_float32_of_the_size_asked_for():
    array = ImageBuffers(4, (3, 3), kept=1).take(2)
    assert (array.shape, array.dtype) == ((2, 3, 3), np.float32)
    assert array.flags.c_contiguous
    assert array.flags.writeable
