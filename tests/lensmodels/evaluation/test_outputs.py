"""Outputs are recognised by what they hold, whatever else is at their place."""

import json

import numpy as np
import pandas as pd
import pytest

from lensmodels.evaluation.outputs import (
    is_embedding,
    is_prediction,
    write_embeddings,
    write_predictions,
)


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
