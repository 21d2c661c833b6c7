import shutil

import numpy as np
import pytest
import torch
import zarr

import lenssim
from lensmodels.data import CLASSES, DataSettings, InputScaling, LensDataModule
from lensmodels.data.zarr_source import RESIDUAL_LIMIT, PlainChunks, ZarrSource
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import DataError
from lensmodels.views import Draws, Views, ViewSettings
from lenssim.archive.manifest import FITS, SHARDS
from lenssim.lens_fit.image_fit import FitSettings

QUICK = FitSettings(multipoles=False, starts=1, max_iterations=15)


@pytest.fixture(scope="module")
def fitted(archive, tmp_path_factory):
    folder = shutil.copytree(archive, tmp_path_factory.mktemp("fitted") / "B")
    lenssim.fit(folder, settings=QUICK, splits=["test"])
    return folder


def test_residuals_are_streamed_in_place_of_images(fitted):
    data = LensDataModule(
        DataSettings(url=str(fitted), input="residual", batch_size=4, num_pix=16, cache="none")
    )
    with pytest.raises(DataError, match=r"train/axion.*lenssim fit"):
        data.setup()
    lenssim.fit(fitted, settings=QUICK, splits=["train"])
    data.setup()
    batch = next(iter(data.test_dataloader()))
    expected = lenssim.open_archive(fitted).fits("test", "axion")["residual"].values[:4]
    np.testing.assert_array_equal(batch["image"][:, 0].numpy(), expected)
    assert (batch["label"] == 0).all()
    assert data.contract.unit is None


@pytest.mark.parametrize("plain", [True, False])
def test_the_residual_of_a_failed_fit_is_limited(fitted, tmp_path, monkeypatch, plain):
    """One image in ten thousand of 100 sigma in every pixel would take over all batch norms."""
    if not plain:
        monkeypatch.setattr(PlainChunks, "of", lambda *_: None)
    folder = shutil.copytree(fitted, tmp_path / "B")
    stored = zarr.open_group(folder / FITS, mode="r+")["test/cdm/residual"]
    before = stored[:]
    stored[1] = 100 * before[1]
    images = np.empty((2, 16, 16), np.float32)
    source = ZarrSource(lenssim.open_archive(folder), ["test/cdm"], None, pixels="residual")
    source.read("test/cdm", 0, 2, images)
    np.testing.assert_array_equal(images[0], before[0])
    assert np.sqrt((images[1] ** 2).mean()) == pytest.approx(RESIDUAL_LIMIT, rel=1e-5)
    np.testing.assert_allclose(
        images[1] / np.abs(images[1]).max(), before[1] / np.abs(before[1]).max(), atol=1e-5
    )


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_residual_and_image_are_streamed_as_two_channels(fitted, cache):
    lenssim.fit(fitted, settings=QUICK, splits=["train"])
    settings = DataSettings(
        url=str(fitted), input="both", batch_size=4, num_pix=16, cache=cache, workers=0
    )
    data = LensDataModule(settings)
    data.setup()
    archive = lenssim.open_archive(fitted)
    for batch in data.stream("train", shuffle=True):
        assert batch["image"].shape[1:] == (2, 16, 16)
        for number, pair in enumerate(batch["image"].numpy()):
            name = CLASSES[batch["label"][number]]
            sample = int(batch["sample"][number])
            residual = archive.fits("train", name)["residual"][sample].values
            rms = np.sqrt((residual**2).mean())
            np.testing.assert_allclose(pair[0], residual * min(1, RESIDUAL_LIMIT / rms), rtol=1e-5)
            np.testing.assert_array_equal(
                pair[1], archive.dataset("train", name)["image"][sample].values
            )


def test_each_channel_has_a_scaling_of_its_own():
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(64, 1, 16, 16, generator=generator)
    image = 0.01 * torch.randn(64, 1, 16, 16, generator=generator)
    image[:, :, 6:10, 6:10] += torch.rand(64, 1, 1, 1, generator=generator)
    both = InputScaling.measure([{"image": torch.cat([residual, image], 1)}], components=8)
    alone = [
        InputScaling.measure([{"image": residual}], components=8),
        InputScaling.measure([{"image": image}], "asinh"),
    ]
    scaled = both(torch.cat([residual, image], 1))
    for channel, scaling in enumerate(alone):
        own = (residual, image)[channel]
        torch.testing.assert_close(scaled[:, channel : channel + 1], scaling(own))
    again = InputScaling.from_dict(both.to_dict(), both.whitening)
    assert torch.equal(again(torch.cat([residual, image], 1)), scaled)
    assert both.noise_units == (alone[0].sky_noise, alone[1].sky_noise)


def test_views_and_encoders_take_two_channels():
    scaling = InputScaling(sky_noise=1.0, beside=InputScaling(sky_noise=0.1))
    view = ViewSettings(noise=(2.0, 2.0), angle=180, symmetry="any", window=12)
    images = torch.zeros(256, 2, 16, 16)
    [first] = Views([view], scaling)(images, Draws(0, 256, images.device))
    spread = first.sinh().std((0, 2, 3))
    torch.testing.assert_close(spread, torch.tensor([2.0, 0.2]), rtol=0.03, atol=0)
    encoder = Encoder(EncoderSettings(name="test_resnet"), 16, channels=2).eval()
    assert encoder(torch.zeros(1, 2, 16, 16)).shape == (1, encoder.num_features)
    assert encoder.regions(torch.zeros(1, 2, 16, 16)).ndim == 3


def test_shards_have_no_residuals(fitted):
    settings = DataSettings(url=str(fitted), input="residual", format="shards", num_pix=16)
    with pytest.raises(DataError, match="Zarr"):
        LensDataModule(settings).setup()
    assert not (fitted / SHARDS).exists()
