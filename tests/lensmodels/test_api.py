"""The functions of `import lensmodels`."""

import numpy as np
import pandas as pd
import pytest
import torch

import lensmodels
from lenssim.archive import open_archive


@pytest.fixture(scope="module")
def run(lenses, tmp_path_factory):
    """A model trained by a settings object."""
    out = tmp_path_factory.mktemp("api") / "run"
    config = lensmodels.run_config(
        lenses, encoder="test_resnet", finetune_epochs=1, batch_size=16, device="cpu"
    )
    metrics = lensmodels.train(config, out)
    assert metrics["task"] == "classification"
    return out


def test_a_stream_yields_every_image_once(lenses):
    stream = lensmodels.open_stream(lenses, split="test", batch_size=8)
    batches = list(stream)
    manifest = open_archive(lenses).manifest
    expected = sum(group.count for group in manifest.groups if group.split == "test")
    assert sum(len(batch["label"]) for batch in batches) == expected
    assert batches[0]["image"].shape == (8, 1, 64, 64)
    assert {int(label) for batch in batches for label in batch["label"]} == {0, 1, 2}


def test_predictions_on_an_array_are_those_of_the_command(run, lenses):
    archive = open_archive(lenses)
    images = archive.dataset("test", "cdm")["image"].values
    predicted = lensmodels.predict_images(lensmodels.load_model(run), images)
    table = pd.read_csv(run / "predictions.csv")
    expected = table[(table["class"] == "cdm") & (table["split"] == "test")].sort_values("sample")
    np.testing.assert_allclose(predicted["p_cdm"], expected["p_cdm"], atol=1e-5)


def test_features_of_an_array(run):
    encoder, scaling = lensmodels.load_encoder(run)
    images = np.random.default_rng(0).normal(size=(5, 64, 64)).astype(np.float32)
    features = lensmodels.embed_images(encoder, scaling, images, batch_size=2)
    assert features.shape == (5, encoder.num_features)
    with pytest.raises(lensmodels.LensmodelsError, match="shape"):
        lensmodels.embed_images(encoder, scaling, images[0])


def test_an_encoder_by_name():
    encoder = lensmodels.build_encoder("test_resnet")
    assert encoder(torch.zeros(2, 1, 64, 64)).shape == (2, encoder.num_features)


def test_a_split_that_is_not_there_is_refused(lenses):
    with pytest.raises(lensmodels.LensmodelsError, match="train or test"):
        lensmodels.open_stream(lenses, split="validation")
