"""New images: files and archives are predicted, and what is unlike the training set is named."""

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits

import lenssim
from lensmodels.errors import DataError, LensmodelsError, UsageError
from lensmodels.evaluation import predict
from lensmodels.reporting.run_page import evaluate
from lensmodels.runs import load_model
from lenssim import errors
from lenssim.archive import open_archive

PROBABILITIES = ["p_axion", "p_cdm", "p_no_sub"]


@pytest.fixture(scope="module")
def run(make_run):
    return make_run()


@pytest.fixture(scope="module")
def guarded(make_run, contract):
    """A run that keeps the contract of its training images."""
    return make_run(name="guarded", contract=contract)


@pytest.fixture(scope="module")
def images(lenses):
    return open_archive(lenses).dataset("test", "axion")["image"].values


def notes(capsys):
    """Notes on the terminal, but for that of a run with too few validation images."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if "Note" in line and "validation images or more" not in line]


def expected(run, images):
    with torch.inference_mode():
        return torch.softmax(load_model(run)(torch.from_numpy(images)[:, None]), 1).numpy()


def test_a_stack_and_a_single_image_in_numpy_s_format(run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    np.save(tmp_path / "one.npy", images[2].astype(np.float64))
    table = predict(
        run, [tmp_path / "stack.npy", tmp_path / "one.npy"], tmp_path / "out.csv", batch_size=3
    )
    assert list(table) == ["source", "index", "class", *PROBABILITIES, "warnings"]
    np.testing.assert_allclose(table[PROBABILITIES][:8], expected(run, images), atol=1e-5)
    np.testing.assert_allclose(table[PROBABILITIES].iloc[8], table[PROBABILITIES].iloc[2])
    assert list(table["index"]) == [*range(8), 0]
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written["class"]) == list(table["class"])
    names = np.array(["axion", "cdm", "no_sub"])
    assert list(table["class"]) == list(names[table[PROBABILITIES].to_numpy().argmax(axis=1)])


def test_the_mean_over_symmetries_does_not_depend_on_how_a_lens_lies(run, images, tmp_path):
    eight = [
        np.rot90(turned, k, (1, 2))
        for turned in (images, images.transpose(0, 2, 1))
        for k in range(4)
    ]
    np.save(tmp_path / "images.npy", np.concatenate(eight))
    for averaged in (True, False):
        table = predict(
            run,
            [tmp_path / "images.npy"],
            tmp_path / f"{averaged}.csv",
            average_symmetries=averaged,
        )
        found = table[PROBABILITIES].to_numpy().reshape(8, len(images), 3)
        assert np.allclose(found, found[0], atol=1e-5) == averaged
        if averaged:
            logits = np.log(np.stack([expected(run, np.ascontiguousarray(one)) for one in eight]))
            mean = np.exp(logits.mean(0))
            np.testing.assert_allclose(found[0], mean / mean.sum(1, keepdims=True), atol=1e-5)


def test_the_extension_sci_is_predicted_though_it_is_not_the_first(run, images, tmp_path):
    file = tmp_path / "lens.fits"
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(np.zeros((64, 64), np.uint8), name="FLG"),
            fits.ImageHDU(np.full((64, 64), 0.01), name="RMS"),
            fits.ImageHDU(images[1].astype(">f8"), name="SCI"),
        ]
    ).writeto(file)
    table = predict(run, [file], tmp_path / "out.csv")
    np.testing.assert_allclose(table[PROBABILITIES], expected(run, images[1:2]), atol=1e-5)
    table = predict(run, [file], tmp_path / "flags.csv", hdu="FLG")
    np.testing.assert_allclose(
        table[PROBABILITIES], expected(run, np.zeros((1, 64, 64), np.float32)), atol=1e-5
    )


def test_an_extension_is_asked_for_without_fits_files(run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    with pytest.raises(UsageError, match="--hdu chooses an extension of FITS files"):
        predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv", hdu="SCI")


def test_a_unit_that_cannot_be_converted_is_refused(guarded, images, tmp_path):
    hdu = fits.PrimaryHDU(images[0])
    hdu.header["BUNIT"] = "ADU"
    hdu.writeto(tmp_path / "adu.fits")
    with pytest.raises(DataError, match=r"its unit is ADU and its zero point is not stated"):
        predict(guarded, [tmp_path / "adu.fits"], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("kind", ["npy", "fits"])
def test_images_unlike_the_training_set_are_named(kind, guarded, images, tmp_path, capsys):
    changed = images.copy()
    changed[1] += 1.0  # a sky that was not subtracted
    changed[2] *= 700  # ADU
    changed[3] = 0.0
    file = tmp_path / f"changed.{kind}"
    np.save(file, changed) if kind == "npy" else fits.PrimaryHDU(changed).writeto(file)
    table = predict(guarded, [file], tmp_path / "out.csv", batch_size=3)
    assert (table["warnings"] == "").tolist() == [True, False, False, False, *4 * [True]]
    assert table["warnings"][1].startswith("sky level 1 above")
    assert all(word in table["warnings"][2] for word in ("noise", "sky", "flux", "peak"))
    assert table["warnings"][3] == "blank: every pixel has the same value"
    written = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(written["warnings"]) == list(table["warnings"])
    said = capsys.readouterr().err
    assert "Warning: 2 of 8 images: sky level above the training set's" in said
    assert f"(first: {file}, image 1)" in said
    assert "1 of 8 images: blank" in said
    assert f"the column warnings of {tmp_path / 'out.csv'} names them" in said


def test_an_archive_of_another_instrument_is_named(guarded, tmp_path, capsys):
    lenssim.generate("A", ["cdm"], out=tmp_path / "A", train=0, test=3)
    table = predict(guarded, [tmp_path / "A"], tmp_path / "out.csv")
    assert table["warnings"].str.startswith("pixel scale 0.08 instead of 0.101 arcsec").all()
    said = capsys.readouterr().err
    assert f"Note: pixel scale 0.08 instead of 0.101 arcsec ({tmp_path / 'A'})" in said
    assert "3 of 3 images: sky level above" in said


def test_nothing_is_said_of_the_archive_that_the_run_was_trained_on(
    guarded, lenses, tmp_path, capsys
):
    table = predict(guarded, [lenses], tmp_path / "out.csv")
    assert (table["warnings"] != "").mean() <= 0.01
    assert notes(capsys) == []


def test_a_run_without_a_contract_predicts_with_a_note(run, images, tmp_path, capsys):
    hdu = fits.PrimaryHDU(1000 * images[0])
    hdu.header["BUNIT"] = "ADU"
    hdu.writeto(tmp_path / "adu.fits")
    table = predict(run, [tmp_path / "adu.fits"], tmp_path / "out.csv")
    assert list(table["warnings"]) == [""]
    assert f"Note: {run} does not say what its training images were" in capsys.readouterr().err


def test_a_note_on_many_files_is_made_once(guarded, images, tmp_path, capsys):
    files = [tmp_path / f"{number}.fits" for number in range(3)]
    for file in files:
        fits.PrimaryHDU(images[0]).writeto(file)
    predict(guarded, files, tmp_path / "out.csv")
    (note,) = notes(capsys)
    assert f"(3 files, first: {files[0]})" in note


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
    assert list(table) == ["source", "index", "log10_mass", "log10_mass_sigma", "warnings"]


def test_or_with_the_scatter_of_the_test_where_none_is_predicted(make_run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    run = make_run("axion-mass")
    table = predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv")
    assert list(table) == ["source", "index", "log10_mass", "warnings"]
    found = evaluate(run)
    table = predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv", overwrite=True)
    np.testing.assert_allclose(table["log10_mass_sigma"], found["rmse_dex"])
    assert list(table)[-1] == "warnings"


def test_images_without_a_vortex_are_named_if_they_get_a_mass(make_run, lenses, tmp_path, capsys):
    run = make_run("axion-mass")
    predict(run, [lenses], tmp_path / "out.csv")
    assert "images of cdm and no_sub are given a mass" in capsys.readouterr().err
    predict(make_run(), [lenses], tmp_path / "classes.csv")
    assert "given a mass" not in capsys.readouterr().err


def test_an_archive_of_another_image_size(run, tmp_path):
    lenssim.generate(
        "B", ["cdm"], out=tmp_path / "small", train=1, test=0, overrides=["instrument.num_pix=32"]
    )
    with pytest.raises(DataError, match=r"32 x 32 pixels, and the model takes 64 x 64") as caught:
        predict(run, [tmp_path / "small"], tmp_path / "out.csv")
    assert "--set" not in str(caught.value)  # which predict does not have


def test_nothing_to_predict(run, tmp_path):
    with pytest.raises(UsageError, match="at least one"):
        predict(run, [], tmp_path / "out.csv")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_earlier_prediction_is_replaced_on_demand_and_nothing_else_is(
    suffix, run, images, tmp_path
):
    np.save(tmp_path / "stack.npy", images)
    out = tmp_path / f"out{suffix}"
    predict(run, [tmp_path / "stack.npy"], out)
    before = out.read_bytes()
    with pytest.raises(errors.UsageError, match="--overwrite"):
        predict(run, [tmp_path / "stack.npy"], out)
    assert out.read_bytes() == before
    np.save(tmp_path / "one.npy", images[0])
    predict(run, [tmp_path / "one.npy"], out, overwrite=True)
    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    assert len(read(out)) == 1
    pd.DataFrame({"source": ["mine"], "flux": [1.0]}).to_csv(tmp_path / "mine.csv", index=False)
    out.write_bytes((tmp_path / "mine.csv").read_bytes())
    with pytest.raises(errors.UsageError, match="not an earlier output"):
        predict(run, [tmp_path / "stack.npy"], out, overwrite=True)
    assert out.read_bytes() == (tmp_path / "mine.csv").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {
        "stack.npy", "one.npy", "mine.csv", out.name,
    }  # fmt: skip


def test_parquet_is_parquet(run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    table = predict(run, [tmp_path / "stack.npy"], tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), table)


@pytest.mark.parametrize("name", ["a.fits", "out", "out.txt", "out.zarr"])
def test_an_output_of_another_suffix_is_refused(name, run, images, tmp_path):
    fits.PrimaryHDU(images[0]).writeto(tmp_path / "a.fits")
    before = (tmp_path / "a.fits").read_bytes()
    with pytest.raises(errors.UsageError, match=r"\.csv or \.parquet"):
        predict(run, [tmp_path / "a.fits"], tmp_path / name, overwrite=True)
    assert (tmp_path / "a.fits").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.fits"]


def test_a_csv_that_cannot_be_written(run, images, tmp_path):
    np.save(tmp_path / "stack.npy", images)
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.LenssimError, match="cannot be written"):
        predict(run, [tmp_path / "stack.npy"], tmp_path / "file" / "out.csv")


def test_a_disk_that_is_full_leaves_the_earlier_output(run, images, tmp_path, monkeypatch):
    np.save(tmp_path / "stack.npy", images)
    predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv")
    before = (tmp_path / "out.csv").read_bytes()

    def full(table, path, **_):
        path.write_text("source,in")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(LensmodelsError, match="cannot be written: No space left on device"):
        predict(run, [tmp_path / "stack.npy"], tmp_path / "out.csv", overwrite=True)
    assert (tmp_path / "out.csv").read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"stack.npy", "out.csv"}


def test_a_remote_file_is_predicted(guarded, images, tmp_path, web_folder):
    folder, address = web_folder
    np.save(folder / "stack.npy", images)
    table = predict(guarded, [f"{address}/stack.npy"], tmp_path / "out.csv")
    np.testing.assert_allclose(table[PROBABILITIES], expected(guarded, images), atol=1e-5)
