"""Data that are simulated while they are used: the same bits as an archive, and none twice."""

from itertools import islice

import numpy as np
import pytest
import torch

import lensmodels
import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data import live_source as live_source_module
from lensmodels.data.archives import read_archive
from lensmodels.data.live_archive import TEST, check_live
from lensmodels.data.live_source import FIRST_SAMPLES
from lensmodels.errors import UsageError
from lensmodels.image_files.inputs import check_is_archive
from lenssim.archive.card import data_fingerprint
from lenssim.live import live_source

NUM_PIX = 16
HELD = {"train_size": 4, "test_size": 1, "validation_fraction": 0.25}
SMALL = {"batch_size": 6, "epoch_size": 12, "workers": 0, "num_pix": NUM_PIX}


@pytest.fixture
def open_live(small_model):
    def open_live(part="labelled", *, columns=(), pairs=None, **settings):
        chosen = DataSettings(url=f"live:{small_model}", **(SMALL | settings))
        data = LensDataModule(chosen, part, columns=columns, pairs=pairs)
        data.setup()
        return data

    return open_live


def images_of(batches):
    return np.concatenate([batch["image"].numpy() for batch in batches])


def test_no_image_comes_twice_in_any_epoch_stage_or_seed(open_live):
    streams = [
        open_live("train").train_dataloader(),
        open_live("labelled").train_dataloader(),
        open_live("train", seed=1).train_dataloader(),
    ]
    seen = [images_of(stream) for stream in streams for _ in range(2)]
    held = open_live(**HELD)
    seen += [images_of(held.stream(part, shuffle=False)) for part in ("train", "validation")]
    seen.append(images_of(held.test_dataloader()))
    together = np.concatenate(seen)
    assert len(together) == 6 * 12 + 3 * 4 + 3 * 1
    assert len(np.unique(together, axis=0)) == len(together)


def test_batches_are_those_of_the_live_source(open_live, small_model):
    data = open_live("train", seed=3, columns=("lens_theta_e", "lens_slope"))
    batch = next(iter(data.train_dataloader()))
    first = FIRST_SAMPLES["train"]
    with live_source(small_model, batch_size=6, workers=0, seed=3, first_index=first) as source:
        made = next(source)
    np.testing.assert_array_equal(batch["image"][:, 0], made.images)
    assert batch["label"].tolist() == [0, 1, 2, 0, 1, 2]
    assert [data.groups[number] for number in batch["group"]][:3] == [
        "train/axion",
        "train/cdm",
        "train/no_sub",
    ]
    np.testing.assert_array_equal(batch["axion_mass"], made.columns["axion_mass"])
    np.testing.assert_allclose(batch["lens_theta_e"], made.columns["lens_theta_e"], rtol=1e-6)
    assert batch["lens_slope"].isnan().all()  # model B does not vary it
    assert set(batch["sample"].tolist()) == {first, first + 1}


def test_a_resumed_stream_continues_with_the_next_batch(open_live):
    whole = open_live("train").train_dataloader()
    expected = [batch["image"] for _ in range(2) for batch in whole]
    stopped = open_live("train").train_dataloader()
    list(stopped)
    next(iter(stopped))
    state = stopped.state_dict()
    assert (state["epoch"], state["batches"]) == (1, 1)
    resumed = open_live("train").train_dataloader()
    resumed.load_state_dict(state)
    rest = [batch["image"] for batch in resumed]
    assert len(rest) == 1
    assert torch.equal(rest[0], expected[3])
    with pytest.raises(UsageError, match="seed"):
        open_live("train", seed=1).train_dataloader().load_state_dict(state)


def test_every_epoch_has_the_same_images_in_another_order_where_that_is_asked_for(open_live):
    stream = open_live("train", live_images="same", epoch_size=18).train_dataloader()
    # as Lightning takes them, which does not ask whether there is another batch
    epochs = [list(islice(stream, len(stream))) for _ in range(3)]
    first, second, third = ([key.tolist() for key in keys(epoch)] for epoch in epochs)
    assert first != second and second != third and first != third
    assert sorted(first) == sorted(second) == sorted(third) and len(first) == 18
    for batch in epochs[2]:
        assert len(batch["image"]) == 6
    assert stream._source is None  # nothing is simulated any more
    state = stream.state_dict()
    # a training that goes on in a new process: the images are simulated again
    resumed = open_live("train", live_images="same", epoch_size=18).train_dataloader()
    resumed.load_state_dict(state)
    following, expected = images_of(resumed), images_of(stream)
    np.testing.assert_array_equal(following, expected)
    once = open_live("train", epoch_size=18).train_dataloader()
    np.testing.assert_array_equal(images_of(epochs[0]), images_of(once))


def keys(batches):
    """What identifies each image: its class and sample."""
    return torch.cat([torch.stack([each["group"], each["sample"]], 1) for each in batches])


def test_validation_and_test_images_are_those_of_an_archive(open_live, small_model, tmp_path):
    archive = tmp_path / "B"
    lenssim.generate(small_model, out=archive, train=4, test=1, seed=0)
    settings = {"workers": 0, "num_pix": NUM_PIX, "validation_fraction": 0.25}
    stored = LensDataModule(DataSettings(url=str(archive), **settings))
    stored.setup()
    simulated = open_live(**HELD)
    for part in ("validation", "test"):
        ours, theirs = (list(data.stream(part, shuffle=False)) for data in (simulated, stored))
        assert ours[0].keys() == theirs[0].keys()
        np.testing.assert_array_equal(images_of(ours), images_of(theirs))
        for name in ("label", "sample", "axion_mass", "substructure_snr", "vortex_length"):
            both = (torch.cat([batch[name] for batch in data]) for data in (ours, theirs))
            np.testing.assert_array_equal(*both, err_msg=name)
    on_archive = open_live(test_archive=str(archive), validation_fraction=0.25)
    np.testing.assert_array_equal(
        images_of(on_archive.test_dataloader()), images_of(stored.test_dataloader())
    )
    assert on_archive.sizes == {"train": 12, "labelled": 12, "validation": 3, "test": 3}


def test_what_is_measured_does_not_depend_on_the_seed_of_the_run(open_live):
    first, second = (
        open_live(train_size=40, seed=seed, scaling="asinh", batch_size=size)
        for seed, size in ((0, 6), (5, 3))
    )
    assert first.scaling.to_dict() == second.scaling.to_dict()
    assert first.contract == second.contract
    assert first.contract.pixel_scale == pytest.approx(0.101)
    assert first.scaled_on == "114 train images of axion, cdm and no_sub"


def test_pairs_have_a_second_image_of_the_same_lens(open_live):
    batch = next(iter(open_live("train", pairs="source").train_dataloader()))
    assert batch["second_image"].shape == batch["image"].shape
    assert not torch.equal(batch["second_image"], batch["image"])


def test_several_processes_of_a_training_share_batches_of_other_images(open_live, monkeypatch):
    parts = []
    for rank in range(2):
        monkeypatch.setattr(live_source_module, "process_rank", lambda rank=rank: (rank, 2))
        parts.append(images_of(open_live("train").train_dataloader()))
    assert [len(part) for part in parts] == [6, 6]  # of 12 in an epoch
    assert len(np.unique(np.concatenate(parts), axis=0)) == 12
    with pytest.raises(UsageError, match="multiple of 2"):
        list(open_live("train", batch_size=3).train_dataloader())


def test_a_stream_of_the_python_interface_has_no_end(small_model):
    stream = lensmodels.open_stream(f"live:{small_model}", batch_size=3, workers=0)
    first, second = (next(iter(stream))["image"], next(iter(stream))["image"])
    assert first.shape == (3, 1, NUM_PIX, NUM_PIX)
    assert torch.equal(first, second)  # an epoch that was not taken to its end begins again
    stream.set_epoch(7)
    assert not torch.equal(next(iter(stream))["image"], first)
    tested = lensmodels.open_stream(f"live:{small_model}", split="test", batch_size=3, workers=0)
    assert len(tested) == TEST
    stream.close()


def test_closing_ends_the_simulation(open_live):
    data = open_live()
    stream = data.train_dataloader()
    next(iter(stream))
    source = stream._source
    data.close()
    with pytest.raises(StopIteration):
        next(source)
    assert len(list(stream)) == 2  # and it can begin again


def test_a_live_archive_tells_its_model_and_an_unknown_model_is_refused():
    manifest = read_archive("live:B-wide").manifest
    assert manifest.name == "B-wide"
    assert manifest.model.num_pix == 64
    check_is_archive("live:B-wide")
    fingerprints = {data_fingerprint(read_archive(f"live:{name}").manifest) for name in ("A", "B")}
    assert len(fingerprints) == 2
    with pytest.raises(UsageError, match="live:C"):
        read_archive("live:C")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": "live:B", "labels": 0.1}, "data.labels"),
        ({"url": "live:B", "input": "residual"}, "--input residual"),
        ({"url": "archives/B", "test_archive": "archives/C"}, "data.test_archive"),
    ],
)
def test_settings_that_a_simulator_or_an_archive_cannot_meet_are_refused(settings, named):
    with pytest.raises(UsageError, match=named):
        check_live(DataSettings(**settings))
    check_live(DataSettings(url="live:B", test_archive="archives/B"))
