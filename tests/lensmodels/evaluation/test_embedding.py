"""Embeddings: they are the encoder's, and nothing but an earlier output is replaced."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import lenssim
from lensmodels.errors import DataError, UsageError
from lensmodels.evaluation import embed
from lensmodels.runs import MODEL, load_model
from lenssim import errors
from lenssim.archive import open_archive


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


@pytest.fixture(scope="module")
def images(lenses):
    return open_archive(lenses).dataset("test", "axion")["image"].values


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("small") / "B"
    lenssim.generate("B", ["cdm"], out=out, train=0, test=2)
    return out


def content(folder):
    """Every file below a folder, by its hash."""
    return {
        file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("suffix", [".parquet", ".zarr"])
def test_embeddings_are_the_encoder_s(run, lenses, images, tmp_path, suffix):
    out = embed(run, str(lenses), tmp_path / f"embeddings{suffix}", batch_size=32)
    with torch.inference_mode():
        wanted = load_model(run).embed(torch.from_numpy(images)[:, None]).numpy()
    if suffix == ".parquet":
        table = pd.read_parquet(out)
        embeddings = np.stack(table["embedding"])
    else:
        dataset = xr.open_zarr(out, consolidated=False)
        embeddings = dataset["embedding"].values
        table = dataset.drop_vars("embedding").to_dataframe()
        splits = np.array(dataset["split"].attrs["flag_meanings"].split())
        table["split"] = splits[table["split"]]
    assert len(table) == 3 * (40 + 8)
    chosen = ((table["split"] == "test") & (table["label"] == 0)).to_numpy()
    np.testing.assert_allclose(embeddings[chosen], wanted, atol=1e-5)
    assert set(table) >= {"sample", "label", "axion_mass", "substructure_snr"}
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_a_run_that_was_only_pretrained_embeds(make_run, lenses, tmp_path):
    run = make_run(name="pretrained")
    with torch.inference_mode():
        images = torch.from_numpy(open_archive(lenses).dataset("train", "axion")["image"].values)
        wanted = load_model(run).embed(images[:, None]).numpy()
    (run / MODEL).unlink()
    embed(run, str(lenses), tmp_path / "out.zarr")
    found = xr.open_zarr(tmp_path / "out.zarr", consolidated=False)["embedding"].values[:40]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_embeddings_of_another_suffix(run, lenses, tmp_path):
    with pytest.raises(errors.UsageError, match=r"\.parquet or \.zarr"):
        embed(run, str(lenses), tmp_path / "embeddings.csv")


@pytest.mark.parametrize("suffix", [".parquet", ".zarr"])
def test_earlier_embeddings_are_replaced_on_demand(run, lenses, small, tmp_path, suffix):
    out = embed(run, str(lenses), tmp_path / f"embeddings{suffix}")
    with pytest.raises(errors.UsageError, match="--overwrite"):
        embed(run, str(small), out)
    embed(run, str(small), out, overwrite=True)
    if suffix == ".parquet":
        samples = pd.read_parquet(out)["sample"]
    else:
        samples = xr.open_zarr(out, consolidated=False)["sample"]
    assert list(samples) == [0, 1]
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_a_folder_of_other_files_stays_as_it_is(run, small, tmp_path):
    notes = tmp_path / "notes.zarr"
    notes.mkdir()
    (notes / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(errors.UsageError, match="not an earlier output"):
            embed(run, str(small), notes, overwrite=overwrite)
    assert len(content(notes)) == 1
    assert (notes / "notes.txt").read_text() == "mine"


def test_embeddings_to_which_something_was_added_stay_as_they_are(run, small, tmp_path):
    out = embed(run, str(small), tmp_path / "embeddings.zarr")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(errors.UsageError, match="not an earlier output"):
        embed(run, str(small), out, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"


def test_an_archive_is_not_replaced(run, small, tmp_path):
    archive = tmp_path / "B"
    shutil.copytree(small, archive)
    before = content(archive)
    for overwrite in (False, True):
        with pytest.raises(errors.UsageError, match="not an earlier output"):
            embed(run, str(archive), archive / "images.zarr", overwrite=overwrite)
    assert content(archive) == before
    assert not lenssim.verify(archive).problems


def test_only_an_archive_is_embedded(run, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    with pytest.raises(UsageError, match=r"is a \.npy file: name the folder or URL of an archive"):
        embed(run, str(tmp_path / "images.npy"), tmp_path / "out.zarr")
    with pytest.raises(DataError, match="nowhere does not exist"):
        embed(run, str(tmp_path / "nowhere"), tmp_path / "out.zarr")


def test_images_unlike_the_training_set_are_counted(make_run, contract, tmp_path, capsys):
    lenssim.generate("A", ["cdm"], out=tmp_path / "A", train=0, test=3)
    embed(make_run(contract=contract), str(tmp_path / "A"), tmp_path / "out.zarr")
    said = capsys.readouterr().err
    assert "3 of 3 images: sky level above the training set's" in said
    assert "column" not in said  # which embeddings do not have
