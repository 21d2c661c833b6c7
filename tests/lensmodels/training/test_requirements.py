"""What a later stage lacks is found before the first begins, and nothing is written."""

import json
import os

import numpy as np
import pytest
import zarr

import lenssim
from lensmodels import training
from lensmodels.errors import DataError, UsageError
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.settings import config_from_options
from lensmodels.training.requirements import check_folder
from lenssim import errors

TINY = {"encoder": "test_resnet", "batch_size": 16, "pretrain_epochs": 1, "finetune_epochs": 1}


def settings(lenses, **words):
    return config_from_options({"data": str(lenses), **TINY, **words})


@pytest.fixture
def no_stage(monkeypatch):
    """Fails where a stage begins."""
    for stage in ("pretrain", "finetune"):
        monkeypatch.setattr(training.stages, stage, lambda *_: pytest.fail("a stage began"))


def refused(config, run, error, match, without="\n", **how):
    with pytest.raises(error, match=match) as caught:
        training.train(config, run, **how)
    assert "\n" not in str(caught.value) and without not in str(caught.value)
    assert not run.exists()


@pytest.mark.parametrize("method", ["supervised", "simsiam"])
def test_archive_without_test_images(tmp_path, no_stage, method):
    lenssim.generate("B", out=tmp_path / "B", train=4, test=0)
    config = settings(tmp_path / "B", method=method)
    refused(config, tmp_path / "run", DataError, "no test images.*--test N", tested=True)


def test_archive_without_test_images_is_enough_for_a_run_that_is_not_tested(tmp_path):
    lenssim.generate("B", out=tmp_path / "B", train=4, test=0)
    training.check_requirements(settings(tmp_path / "B"), tmp_path / "run")


def test_archive_without_train_images(tmp_path, no_stage):
    lenssim.generate("B", out=tmp_path / "B", train=0, test=4)
    refused(settings(tmp_path / "B"), tmp_path / "run", DataError, "no train images; add them")


def test_archive_without_masses(lenses, tmp_path, no_stage, monkeypatch):
    config = settings(lenses, method="simsiam", task="axion-mass")
    original = zarr.Array.__getitem__

    def unknown(self, key):
        values = original(self, key)
        return np.full_like(values, np.nan) if self.path.endswith("axion_mass") else values

    monkeypatch.setattr(zarr.Array, "__getitem__", unknown)
    refused(config, tmp_path / "run", DataError, "known axion masses")


def test_folder_that_cannot_be_written(lenses, tmp_path, no_stage, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for run, problem in (("file", "is a file"), ("file/run", "is a file"), ("link", "is a link")):
        with pytest.raises(errors.UsageError, match=problem):
            training.train(settings(lenses), tmp_path / run)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UsageError, match="may not be written"):
        check_folder(tmp_path / "new" / "run")


@pytest.mark.parametrize("method", ["byol", "simsiam", "contrastive-noise"])
def test_batch_of_one_image_where_a_method_needs_statistics(lenses, tmp_path, no_stage, method):
    config = settings(lenses, method=method, batch_size=1)
    refused(config, tmp_path / "run", UsageError, "1 image.*larger --batch-size")


def test_batch_of_one_image_where_the_encoder_needs_statistics(lenses, tmp_path, no_stage):
    # resnet18 has a single pixel left of images of 16
    lenssim.generate("B", out=tmp_path / "B", train=4, test=2, overrides=["instrument.num_pix=16"])
    words = {"encoder": "resnet18", "overrides": ["data.num_pix=16"]}
    config = settings(tmp_path / "B", batch_size=1, **words)
    refused(config, tmp_path / "run", UsageError, "1 image.*larger --batch-size")
    training.check_requirements(settings(tmp_path / "B", **words), tmp_path / "run")
    frozen = settings(tmp_path / "B", batch_size=1, frozen=True, **words)
    training.check_requirements(frozen, tmp_path / "run")


def test_images_that_devices_cannot_share(lenses, tmp_path, no_stage):
    config = settings(lenses, devices=3, device="cpu")
    refused(config, tmp_path / "run", UsageError, "multiple of 3")
    labels = settings(lenses, method="simsiam", devices=4, device="cpu", labels=0.001)
    refused(labels, tmp_path / "run", UsageError, "use fewer devices")


@pytest.mark.parametrize("encoder", ["levit_128s", "coatnet_nano_rw_224", "maxvit_pico_rw_256"])
def test_encoder_of_one_size_with_views_of_several(lenses, tmp_path, no_stage, encoder):
    config = settings(lenses, method="dino", encoder=encoder)
    problem = f"^Encoder {encoder} does not take the views of 32 x 32 pixels that DINO draws from"
    refused(config, tmp_path / "run", UsageError, problem, without="tensor")


def test_encoder_that_does_not_take_the_images(lenses, tmp_path, no_stage):
    config = settings(lenses, method="dino", encoder="crossvit_9_240")
    problem = "^Encoder crossvit_9_240 does not take images of 64 x 64 pixels, whatever the method;"
    refused(config, tmp_path / "run", UsageError, problem, without="tensor")


def test_reason_of_an_encoder_that_checks_the_size(lenses, tmp_path, no_stage):
    config = settings(lenses, method="dino", encoder="swin", overrides=["views.1.window=33"])
    problem = "views of 33 x 33 pixels .*Input height .33. should be divisible by patch size"
    refused(config, tmp_path / "run", UsageError, problem)


OWN_ENCODERS = {
    "cvt_tiny_64": {},
    "crossformer_tiny_64": {},
    "equivariant_tiny": {},
    "swin": {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
}


@pytest.mark.parametrize(
    ("encoder", "method"),
    [
        pytest.param(
            encoder,
            method,
            marks=() if method == "dino" and encoder in OWN_ENCODERS else pytest.mark.slow,
        )
        for encoder in (*OWN_ENCODERS, "vit", "test_resnet")
        for method in (*PRETRAINING_DEFAULTS, "supervised")
    ],
)
def test_named_encoder_works_with_every_method_or_says_why_not(lenses, tmp_path, encoder, method):
    arguments = OWN_ENCODERS.get(encoder, {})
    overrides = [f"encoder.arguments={json.dumps(arguments)}"]
    config = settings(lenses, method=method, encoder=encoder, overrides=overrides)
    if method == "mae":  # all of these have a map, or patches of 32 pixels
        refused(config, tmp_path / "run", UsageError, "MAE needs a vision transformer with patches")
    else:
        training.check_requirements(config, tmp_path / "run")


def test_window_larger_than_the_images(lenses, tmp_path, no_stage):
    config = settings(lenses, method="dino", overrides=["views.1.window=128"])
    refused(config, tmp_path / "run", UsageError, "128 pixels does not fit")


def test_check_leaves_random_numbers_and_settings_as_they_are(lenses, tmp_path):
    import torch

    config = settings(lenses, method="byol")
    before, random = config.model_copy(deep=True), torch.get_rng_state()
    training.check_requirements(config, tmp_path / "run", tested=True)
    assert config == before
    assert torch.equal(torch.get_rng_state(), random)
    assert not (tmp_path / "run").exists()


def test_pretraining_of_no_epochs(lenses, tmp_path, no_stage):
    config = settings(lenses, method="byol", pretrain_epochs=0)
    refused(config, tmp_path / "run", UsageError, "BYOL learns nothing.*--method supervised")


def test_finetuning_of_no_epochs(lenses, tmp_path, no_stage):
    config = settings(lenses, method="byol", finetune_epochs=0)
    refused(config, tmp_path / "run", UsageError, "lensmodels pretrain")
    training.check_requirements(config, tmp_path / "run", finetuned=False)


def test_epochs_of_an_encoder_that_was_pretrained_elsewhere_do_not_matter(lenses, tmp_path):
    config = settings(lenses, method="byol", pretrain_epochs=0)
    away = config.model_copy(update={"pretrained": "runs/another"})
    training.check_requirements(away, tmp_path / "run")
