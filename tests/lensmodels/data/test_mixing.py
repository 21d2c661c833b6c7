"""Batches of several archives: their shares, their order, and what is refused."""

import numpy as np
import pytest
import torch

import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data.archives import read_archive
from lensmodels.data.mixing import MixedDataModule, MixedStream
from lensmodels.data.unlabelled import (
    batch_shares,
    check_unlabelled,
    instrument_notes,
    parse_weights,
)
from lensmodels.errors import DataError, UsageError

SIZES = {"num_pix": 16, "cache": "none", "validation_fraction": 0.2}


def make(out, *overrides, train=6, **options):
    changes = ["instrument.num_pix=16", *overrides]
    lenssim.generate("B", out=out, seed=9, train=train, test=0, overrides=changes, **options)
    return str(out)


@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    """18 train images of another instrument."""
    wider = ["instrument.psf_fwhm=0.3", "instrument.exposure_time=100"]
    return make(tmp_path_factory.mktemp("archives") / "survey", *wider, chunk_size=4)


def data_of(archive, weights, *, batch_size=12, workers=0):
    settings = DataSettings(url=str(archive), batch_size=batch_size, workers=workers, **SIZES)
    data = MixedDataModule(settings, weights)
    data.setup()
    return data


def epochs(stream, count):
    """The batches of some epochs, each a list."""
    return [list(stream) for _ in range(count)]


@pytest.mark.parametrize(
    ("texts", "weights"),
    [
        (["survey"], {"survey": 1}),
        (["survey=0.5", "s3://b/q1=2"], {"survey": 0.5, "s3://b/q1": 2}),
        (["https://host/a?x=1/b"], {"https://host/a?x=1/b": 1}),
    ],
)
def test_weights_of_options(texts, weights):
    assert parse_weights(texts) == weights


@pytest.mark.parametrize("text", ["survey=", "survey=0", "survey=-1", "survey=inf", "=2", "a=b"])
def test_weights_that_are_not_positive_numbers_are_refused(text):
    with pytest.raises(UsageError, match="a weight above 0"):
        parse_weights([text])


def test_an_archive_that_is_named_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        parse_weights(["survey", "survey=2"])


@pytest.mark.parametrize(
    ("size", "weights", "shares"),
    [(12, [1, 1], [6, 6]), (12, [1, 0.5], [8, 4]), (10, [1, 1, 1], [4, 3, 3]), (4, [1, 9], [0, 4])],
)
def test_shares_follow_the_weights_and_fill_the_batch(size, weights, shares):
    assert batch_shares(size, weights) == shares


def test_every_batch_has_its_share_of_each_archive_and_every_epoch_all_labelled_images(
    archive, survey
):
    data = data_of(archive, {survey: 0.5})
    stream = data.train_dataloader()
    assert (len(stream), data.steps(), stream.batch_size) == (13, 13, 12)
    plain = LensDataModule(data.settings, "train")
    plain.setup()
    for batches, alone in zip(epochs(stream, 2), epochs(plain.train_dataloader(), 2), strict=True):
        assert len(batches) == 13
        for batch, own in zip(batches, alone, strict=True):
            assert batch["image"].shape == (12, 1, 16, 16)
            for name in own:
                torch.testing.assert_close(batch[name][:8], own[name], equal_nan=True)
            assert batch["label"][8:].tolist() == batch["group"][8:].tolist() == [-1] * 4
            assert batch["axion_mass"][8:].isnan().all()


def test_unlabelled_images_come_in_turn_over_the_epochs(archive, survey):
    [*first], [*second] = epochs(data_of(archive, {survey: 0.5}).train_dataloader(), 2)
    shown = [batch["image"][8:].flatten(1) for batch in first + second]
    held = read_archive(survey)
    names = ("axion", "cdm", "no_sub")
    known = np.concatenate([held.dataset("train", name)["image"].values for name in names])
    rows = [
        [int(np.flatnonzero((known.reshape(18, -1) == image.numpy()).all(1))[0]) for image in batch]
        for batch in shown
    ]
    # four batches of four are an epoch of 18 images, and the next begins with the fifth
    for start in range(0, 24, 4):
        assert len(set(np.ravel(rows[start : start + 4]))) == 16
    assert rows[:4] != rows[4:8]


@pytest.mark.parametrize("taken", [0, 3, 13])
def test_a_stream_continues_where_another_was(archive, survey, taken):
    weights = {survey: 1.0}
    whole = data_of(archive, weights).train_dataloader()
    expected = [batch for epoch in epochs(whole, 3) for batch in epoch]
    stream = data_of(archive, weights, workers=2).train_dataloader()
    stopped = iter(stream)
    for _ in range(taken):
        next(stopped)
    state = stream.state_dict()
    stopped.close()
    resumed = data_of(archive, weights).train_dataloader()
    resumed.load_state_dict(state)
    rest = [batch for epoch in epochs(resumed, 2) for batch in epoch]
    assert len(rest) >= len(whole)
    for batch, wanted in zip(rest, expected[taken:], strict=False):
        assert torch.equal(batch["image"], wanted["image"])


def test_a_stream_of_other_unlabelled_images_does_not_continue(archive, survey, tmp_path):
    other = make(tmp_path / "other", train=8)
    state = data_of(archive, {survey: 1.0}).train_dataloader().state_dict()
    with pytest.raises(UsageError, match="unlabelled images"):
        data_of(archive, {other: 1.0}).train_dataloader().load_state_dict(state)


def test_ranks_share_every_part_of_a_batch(archive, survey, monkeypatch):
    whole = list(data_of(archive, {survey: 0.5}).train_dataloader())
    parts = []
    for rank in range(2):
        monkeypatch.setattr("lensmodels.data.stream.process_rank", lambda rank=rank: (rank, 2))
        parts.append(list(data_of(archive, {survey: 0.5}).train_dataloader()))
    for batch, first, second in zip(whole, *parts, strict=True):
        together = torch.stack([first["image"], second["image"]], 1).flatten(0, 1)
        assert torch.equal(batch["image"], together)


def test_a_simulator_is_mixed_in_without_its_labels(archive, tmp_path, small_model):
    data = data_of(archive, {f"live:{small_model}": 1.0})
    stream = data.train_dataloader()
    assert isinstance(stream, MixedStream)
    batch = next(iter(stream))
    data.close()
    assert batch["label"][6:].tolist() == [-1] * 6


def test_input_scaling_is_measured_on_the_mixture(archive, survey):
    data = data_of(archive, {survey: 1.0})
    alone = LensDataModule(data.settings)
    alone.setup()
    other = LensDataModule(data.settings.model_copy(update={"url": survey}))
    other.setup()
    low, mixed, high = (d.scaling.sky_noise for d in (alone, data, other))
    assert low < mixed < high
    assert data.scaled_on == f"a mixture of train images: 4,096 of {archive}, 4,096 of {survey}"
    labelled = data.settings.model_copy(update={"scaling_images": "labelled", "batch_size": 12})
    of_labelled = MixedDataModule(labelled, {survey: 1.0})
    of_labelled.setup()
    assert of_labelled.scaling.sky_noise == pytest.approx(low, rel=0.05)
    assert survey not in of_labelled.scaled_on


def checked(archive, weights, *, devices=1, **changes):
    settings = DataSettings(url=str(archive), num_pix=16, batch_size=12)
    check_unlabelled(settings.model_copy(update=changes), weights, devices)


def test_archives_that_cannot_be_mixed_are_refused(archive, survey, lenses, tmp_path):
    checked(archive, {survey: 0.5})
    with pytest.raises(DataError, match="64 x 64 pixels"):
        checked(archive, {str(lenses): 1.0})
    coarse = make(tmp_path / "coarse", "instrument.pixel_scale=0.15", train=1)
    with pytest.raises(DataError, match=r"pixels of 0\.15 arcsec, and .* of 0\.101"):
        checked(archive, {coarse: 1.0})
    lenssim.generate(
        "B", out=tmp_path / "test", train=0, test=1, overrides=["instrument.num_pix=16"]
    )
    with pytest.raises(DataError, match="no train images to pretrain on"):
        checked(archive, {str(tmp_path / "test"): 1.0})
    with pytest.raises(DataError, match="nowhere"):
        checked(archive, {str(tmp_path / "nowhere"): 1.0})
    with pytest.raises(UsageError, match="leave it out"):
        checked(archive, {str(archive): 1.0})
    with pytest.raises(UsageError, match=r"has 0 of .* at least 1"):
        checked(archive, {survey: 0.01})
    with pytest.raises(UsageError, match="a multiple of 5"):
        checked(archive, {survey: 1.0}, devices=5)
    with pytest.raises(DataError, match=r"no residuals.*lenssim fit"):
        checked(archive, {survey: 1.0}, input="residual")
    with pytest.raises(DataError, match=r"has 18 train images.* 24 are in every batch"):
        data_of(archive, {survey: 1.0}, batch_size=48)


def test_another_instrument_is_named(archive, survey):
    settings = DataSettings(url=str(archive), num_pix=16)
    [note] = instrument_notes(settings, {survey: 1.0})
    assert "PSF FWHM 0.3 instead of 0.16 arcsec" in note and survey in note
    assert instrument_notes(settings, {str(archive): 1.0}) == []
