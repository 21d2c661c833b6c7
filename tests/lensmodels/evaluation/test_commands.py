"""The commands that look at a trained run, from their options to their files.

Outputs are recognised by what they hold, whatever else is at their place.
"""

import json

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from click.testing import CliRunner

import lenssim
from lensmodels.cli import main
from lensmodels.evaluation.outputs import (
    is_embedding,
    is_prediction,
    write_embeddings,
    write_predictions,
)


@pytest.fixture
def call():
    def call(*words):
        return CliRunner().invoke(main, [str(word) for word in words])

    return call


def test_evaluate_predict_embed_and_report(call, make_run, tmp_path, lenses):
    first, second = make_run(name="first"), make_run(name="second", seed=1)
    for run in (first, second):
        result = call("evaluate", run)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() == str(run / "report.html")
        assert (run / "metrics.json").exists()
    result = call("predict", first, lenses, "--out", tmp_path / "said.csv")
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(tmp_path / "said.csv")) == 144
    result = call("embed", first, "--data", lenses, "--out", tmp_path / "features.zarr")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "features.zarr").is_dir()
    result = call("report", first, second, "--out", tmp_path / "compared")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "compared" / "report.html").exists()


def test_a_test_on_another_archive_can_leave_the_run_as_it_is(call, make_run, tmp_path):
    lenssim.generate("B", out=tmp_path / "other", seed=1, train=1, test=3)
    run, out = make_run(name="trained"), tmp_path / "elsewhere"
    assert call("evaluate", run).exit_code == 0
    before = (run / "metrics.json").read_bytes()
    result = call("evaluate", run, "--data", tmp_path / "other", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out / "report.html")
    assert (run / "metrics.json").read_bytes() == before
    assert json.loads((out / "metrics.json").read_text())["n_test"] == 9
    assert call("report", run, out, "--out", tmp_path / "both").exit_code == 0
    assert (out / "predictions.csv").exists()
    assert list((out / "plots").glob("*.png"))
    assert call("evaluate", run, "--out", out).exit_code == 0  # once more, in the same place
    assert json.loads((out / "metrics.json").read_text())["n_test"] == 24
    result = call("evaluate", run, "--out", make_run(name="another", seed=1))
    assert result.exit_code == 2
    assert "a run of its own" in result.stderr


def test_wrong_words_and_work_that_fails_are_one_sentence(call, make_run, tmp_path):
    run = make_run()
    np.save(tmp_path / "wrong.npy", np.zeros((10, 10)))
    result = call("predict", run, tmp_path / "wrong.npy", "--out", tmp_path / "out.csv")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    result = call("report", run, "--out", tmp_path / "compared")
    assert result.exit_code == 2
    assert "at least two" in result.stderr
    result = call("evaluate", tmp_path)
    assert result.exit_code == 2
    assert "not a run" in result.stderr


def test_options_of_predict_and_embed(call, make_run, tmp_path, lenses):
    run = make_run()
    images = np.zeros((64, 64), np.float32)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(images, name="VIS"), fits.ImageHDU(images, name="Y")]
    fits.HDUList(hdus).writeto(tmp_path / "bands.fits")
    words = ["predict", run, tmp_path / "bands.fits", "--out", tmp_path / "said.parquet"]
    result = call(*words)
    assert result.exit_code == 1
    assert "2 images: VIS, Y; choose one by --band" in result.stderr
    assert call(*words, "--hdu", "VIS").exit_code == 0
    result = call(*words, "--hdu", "VIS")
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert call(*words, "--hdu", "VIS", "--overwrite").exit_code == 0
    words = ["embed", run, "--data", lenses, "--out", tmp_path / "features.zarr"]
    assert call(*words, "--cache-dir", tmp_path / "cache").exit_code == 0
    assert call(*words).exit_code == 2
    assert call(*words, "--overwrite").exit_code == 0


def test_a_shell_pattern_after_out_destroys_no_observation(call, make_run, tmp_path):
    for name in ("a.fits", "b.fits"):
        fits.PrimaryHDU(np.ones((64, 64), np.float32)).writeto(tmp_path / name)
    before = (tmp_path / "a.fits").read_bytes()
    result = call("predict", make_run(), "--out", tmp_path / "a.fits", tmp_path / "b.fits")
    assert result.exit_code == 2
    assert ".csv or .parquet" in result.stderr
    assert (tmp_path / "a.fits").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "RUN", "lens.npy", "--out", ""],
        ["predict", "RUN", "", "--out", "said.csv"],
        ["predict", "", "lens.npy", "--out", "said.csv"],
        ["embed", "RUN", "--data", "", "--out", "features.zarr"],
        ["embed", "RUN", "--data", "B", "--out", ""],
        ["evaluate", "RUN", "--out", ""],
        ["evaluate", "RUN", "--data", ""],
        ["evaluate", "RUN", "--cache-dir", ""],
        ["train", "--data", "B", "--out", ""],
        ["finetune", "--from", "", "--out", "tuned"],
        ["report", "RUN", "RUN", "--out", ""],
    ],
)
def test_an_empty_path_is_refused(words, call, make_run, tmp_path, monkeypatch):
    run = make_run()
    monkeypatch.chdir(tmp_path)
    np.save("lens.npy", np.ones((64, 64), np.float32))
    result = call(*(run if word == "RUN" else word for word in words))
    assert result.exit_code == 2
    assert "it is empty" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["lens.npy"]


@pytest.mark.parametrize(
    "command", ["train", "pretrain", "finetune", "evaluate", "predict", "embed"]
)
def test_every_command_that_caches_takes_the_folder(command, call):
    assert "--cache-dir DIRECTORY" in " ".join(call(command, "--help").stdout.split())


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "split": ["train", "test"],
            "class": ["axion", "no_sub"],
            "sample": [0, 0],
            "label": [0, 2],
            "axion_mass": [1e-23, np.nan],
            "substructure_snr": [10.0, 0.0],
        }
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("column", ["class", "log10_mass"])
def test_predictions_are_recognised(suffix, column, tmp_path):
    written = pd.DataFrame({"source": ["a.npy"], "index": [0], column: ["cdm"], "warnings": [""]})
    write_predictions(tmp_path / f"out{suffix}", written)
    assert is_prediction(tmp_path / f"out{suffix}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"source,index\n",
        b"class,source,index\n",
        b"SIMPLE  =                    T" + 200_000 * b" ",
        b"\x00\x01" * 200_000,
    ],
)
def test_other_files_are_no_predictions(content, tmp_path):
    (tmp_path / "out.csv").write_bytes(content)
    assert not is_prediction(tmp_path / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    assert not is_prediction(tmp_path / "folder.csv")


@pytest.mark.parametrize("suffix", [".zarr", ".parquet"])
def test_embeddings_are_recognised(suffix, table, tmp_path):
    out = tmp_path / f"out{suffix}"
    write_embeddings(out, table, np.zeros((2, 3), np.float32))
    assert is_embedding(out)
    assert not is_prediction(out)


def test_predictions_are_no_embeddings(tmp_path):
    write_predictions(
        tmp_path / "out.parquet", pd.DataFrame({"source": [""], "index": [0], "class": ["cdm"]})
    )
    assert not is_embedding(tmp_path / "out.parquet")


def test_other_zarr_groups_are_no_embeddings(table, tmp_path):
    out = tmp_path / "out.zarr"
    write_embeddings(out, table, np.zeros((2, 3), np.float32))
    metadata = json.loads((out / "zarr.json").read_text())
    (out / "zarr.json").write_text(json.dumps(metadata | {"node_type": "array"}))
    assert not is_embedding(out)
    (out / "zarr.json").write_text("[]")
    assert not is_embedding(out)


def test_an_error_while_embeddings_are_written_leaves_the_earlier_ones(table, tmp_path):
    out = tmp_path / "out.zarr"
    write_embeddings(out, table, np.zeros((2, 3), np.float32))
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="conflicting sizes"):
        write_embeddings(out, table, np.zeros((5, 3), np.float32))
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    assert list(tmp_path.iterdir()) == [out]
