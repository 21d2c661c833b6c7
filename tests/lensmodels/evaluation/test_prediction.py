"""New images: files and archives are read, and what is wrong with them is said."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from astropy.io import fits

import lenssim
from lensmodels.errors import DataError, LensmodelsError, UsageError
from lensmodels.evaluation import embed, evaluate, predict
from lensmodels.evaluation.prediction import read_images
from lensmodels.runs import MODEL, load_model
from lenssim.archive import open_archive

PROBABILITIES = ["p_axion", "p_cdm", "p_no_sub"]


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


@pytest.fixture(scope="module")
def images(lenses):
    return open_archive(lenses).dataset("test", "axion")["image"].values


def expected(run, images):
    with torch.inference_mode():
        return torch.softmax(load_model(run)(torch.from_numpy(images)[:, None]), 1).numpy()


def test_a_stack_and_a_single_image_in_numpy_s_format(run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    np.save(tmp_path / "one.npy", images[2].astype(np.float64))
    table = predict(
        run, [tmp_path / "stack.npy", tmp_path / "one.npy"], tmp_path / "out.csv", batch_size=3
    )
    assert list(table) == ["source", "index", "class", *PROBABILITIES]
    np.testing.assert_allclose(table[PROBABILITIES][:8], expected(run, images), atol=1e-5)
    np.testing.assert_allclose(table[PROBABILITIES].iloc[8], table[PROBABILITIES].iloc[2])
    assert list(table["index"]) == [*range(8), 0]
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written["class"]) == list(table["class"])
    names = np.array(["axion", "cdm", "no_sub"])
    assert list(table["class"]) == list(names[table[PROBABILITIES].to_numpy().argmax(axis=1)])


def test_the_mean_over_symmetries_does_not_depend_on_how_a_lens_lies(run, images, tmp_path):
    eight = [
        np.rot90(each, k, (1, 2)) for each in (images, images.transpose(0, 2, 1)) for k in range(4)
    ]
    np.save(tmp_path / "images.npy", np.concatenate(eight))
    for averaged in (True, False):
        table = predict(
            run, [tmp_path / "images.npy"], tmp_path / "out.csv", average_symmetries=averaged
        )
        found = table[PROBABILITIES].to_numpy().reshape(8, len(images), 3)
        assert np.allclose(found, found[0], atol=1e-5) == averaged
        if averaged:
            logits = np.log(np.stack([expected(run, np.ascontiguousarray(each)) for each in eight]))
            mean = np.exp(logits.mean(0))
            np.testing.assert_allclose(found[0], mean / mean.sum(1, keepdims=True), atol=1e-5)


def test_fits_takes_the_first_extension_of_the_right_size(run, images, tmp_path):
    file = tmp_path / "lens.fits"
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(np.zeros((10, 12))),
            fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=[1.0])]),
            fits.ImageHDU(images[1].astype(">f8")),
            fits.ImageHDU(np.zeros((64, 64))),
        ]
    ).writeto(file)
    table = predict(run, [file], tmp_path / "out.csv")
    np.testing.assert_allclose(table[PROBABILITIES], expected(run, images[1:2]), atol=1e-5)


def test_a_compressed_cube_in_fits(images, tmp_path):
    file = tmp_path / "cube.fits.gz"
    fits.PrimaryHDU(images).writeto(file)
    np.testing.assert_array_equal(read_images(file, 64), images)


def test_every_image_of_an_archive(run, lenses, images, tmp_path):
    table = predict(run, [str(lenses)], tmp_path / "out.csv", batch_size=32)
    assert len(table) == 3 * (40 + 8)
    axion = table[table["source"] == f"{lenses}/test/axion"]
    np.testing.assert_allclose(axion[PROBABILITIES], expected(run, images), atol=1e-5)
    assert list(axion["index"]) == list(range(8))


def test_an_archive_whose_splits_hold_different_classes(run, tmp_path):
    lenssim.generate("B", ["cdm"], out=tmp_path / "mixed", train=2, test=0)
    lenssim.generate("B", ["no_sub"], out=tmp_path / "mixed", train=0, test=3)
    table = predict(run, [tmp_path / "mixed"], tmp_path / "out.csv")
    sources = table["source"].str.removeprefix(f"{tmp_path}/mixed/").value_counts().to_dict()
    assert sources == {"train/cdm": 2, "test/no_sub": 3}


def test_the_mass_comes_with_the_predicted_uncertainty(make_run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    run = make_run("axion-mass", loss="gaussian-nll")
    table = predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv")
    assert list(table) == ["source", "index", "log10_mass", "log10_mass_sigma"]


def test_or_with_the_scatter_of_the_test_where_none_is_predicted(make_run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    run = make_run("axion-mass")
    table = predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv")
    assert list(table) == ["source", "index", "log10_mass"]
    found = evaluate(run)
    table = predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv")
    np.testing.assert_allclose(table["log10_mass_sigma"], found["rmse_dex"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (np.zeros((32, 32)), r"float64 of shape \(32, 32\); the model takes .*\(64, 64\)"),
        (np.zeros((2, 3, 64, 64)), "of shape"),
        (np.zeros((0, 64, 64)), "of shape"),
        (np.zeros((64, 64), complex), "complex128"),
        (np.array(["64"]), "of shape"),
    ],
)
def test_an_array_of_the_wrong_shape_or_kind(content, sentence, tmp_path):
    np.save(tmp_path / "wrong.npy", content)
    with pytest.raises(DataError, match=sentence):
        read_images(tmp_path / "wrong.npy", 64)


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not an array of numbers.*numpy\.save") as raised:
        read_images(tmp_path / "objects.npy", 64)
    assert "allow_pickle" not in str(raised.value)  # numpy's advice


def test_several_arrays_in_one_file_are_refused(tmp_path):
    np.savez(tmp_path / "several.npz", a=np.zeros((64, 64)))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(DataError, match="not an array of numbers"):
        read_images(tmp_path / "several.npy", 64)


def test_a_file_name_in_capitals(images, tmp_path):
    with (tmp_path / "STACK.NPY").open("wb") as file:
        np.save(file, images)
    np.testing.assert_array_equal(read_images(tmp_path / "STACK.NPY", 64), images)


def test_a_fits_of_the_wrong_shape(tmp_path):
    fits.PrimaryHDU(np.zeros((100, 200))).writeto(tmp_path / "wide.fits")
    with pytest.raises(DataError, match=r"\(100, 200\) in extension 0; .* cut it out around"):
        read_images(tmp_path / "wide.fits", 64)


def test_a_fits_without_an_image(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    with pytest.raises(DataError, match="holds no image"):
        read_images(tmp_path / "none.fits", 64)


@pytest.mark.parametrize("name", ["broken.fits", "broken.npy"])
def test_a_damaged_file(name, tmp_path):
    (tmp_path / name).write_bytes(b"not what it says it is" * 200)
    with pytest.raises(DataError, match=name):
        read_images(tmp_path / name, 64)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_images(tmp_path / "nowhere.npy", 64)


def test_pixels_that_are_no_numbers(images, tmp_path):
    broken = images.copy()
    broken[3, 5, 5] = np.nan
    broken[3, 6, 5] = np.inf
    np.save(tmp_path / "nan.npy", broken)
    with pytest.raises(DataError, match="image 3 has 2 pixels that are NaN or infinite"):
        read_images(tmp_path / "nan.npy", 64)


def test_an_archive_of_another_image_size(run, tmp_path):
    lenssim.generate(
        "B", ["cdm"], out=tmp_path / "small", train=1, test=0, overrides=["instrument.num_pix=32"]
    )
    with pytest.raises(DataError, match="32 pixels"):
        predict(run, [tmp_path / "small"], tmp_path / "out.csv")


def test_nothing_to_predict(run, tmp_path):
    with pytest.raises(UsageError, match="at least one"):
        predict(run, [], tmp_path / "out.csv")


def test_a_csv_that_cannot_be_written(run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    (tmp_path / "file").write_text("")
    with pytest.raises(LensmodelsError, match="cannot be written"):
        predict(run, [tmp_path / "stack.npy"], tmp_path / "file" / "out.csv")


@pytest.mark.parametrize("suffix", [".parquet", ".zarr"])
def test_embeddings_are_the_encoder_s(run, lenses, images, tmp_path, suffix):
    out = embed(run, str(lenses), tmp_path / f"embeddings{suffix}", batch_size=32)
    with torch.inference_mode():
        wanted = load_model(run).embed(torch.from_numpy(images)[:, None]).numpy()
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
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
    with pytest.raises(UsageError, match=r"must end in \.parquet or \.zarr"):
        embed(run, str(lenses), tmp_path / "embeddings.csv")
