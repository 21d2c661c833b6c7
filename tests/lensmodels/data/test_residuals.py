import shutil

import numpy as np
import pytest

import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.errors import DataError
from lenssim.archive.manifest import SHARDS
from lenssim.lens_fit.image_fit import FitSettings

QUICK = FitSettings(multipoles=False, starts=1, max_iterations=1)


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


def test_shards_have_no_residuals(fitted):
    settings = DataSettings(url=str(fitted), input="residual", format="shards", num_pix=16)
    with pytest.raises(DataError, match="Zarr"):
        LensDataModule(settings).setup()
    assert not (fitted / SHARDS).exists()
