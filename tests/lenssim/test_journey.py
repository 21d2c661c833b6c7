"""The whole way by the commands of the README: from a specification to another computer."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from lenssim.cli import main

ELSEWHERE = """
import sys

sys.modules["lenssim"] = None  # as where this project is not installed: importing it raises
url, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

import fsspec, numpy, webdataset, xarray

tree = xarray.open_datatree(f"{url}/images.zarr", engine="zarr")
assert {name for name in tree} == {"train", "test"}
bucket = fsspec.filesystem("s3")
for label, name in enumerate(("axion", "cdm", "no_sub")):
    group = xarray.open_zarr(f"{url}/images.zarr", group=f"train/{name}").load()
    assert group.sizes["sample"] == count
    assert set(group.label.values) == {label}
    bucket.get(f"{url}/shards/train/{name}-000000.tar", folder)
    shard = f"{folder}/{name}-000000.tar"
    samples = list(webdataset.WebDataset(shard, shardshuffle=False).decode())
    assert len(samples) == count
    for sample in samples:
        row = group.isel(sample=sample["json"]["sample"])
        numpy.testing.assert_array_equal(sample["image.npy"], row.image)
        assert sample["json"]["source_x"] == row.source_x
assert sys.modules["lenssim"] is None
"""


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("model", [pytest.param("A", marks=pytest.mark.slow), "B"])
def test_an_archive_goes_all_the_way(model, bucket, tmp_path):
    out = tmp_path / model
    run("generate", "--model", model, "--train", 5, "--test", 2, "--out", out)
    assert "the same bit for bit" in run("verify", out, "--deep", 3)
    run("export", out, "--to", "webdataset")
    url, _, contents = run("publish", out, f"{bucket}/lenses").strip().partition(": ")
    assert contents.startswith("21 images")
    assert url == f"{bucket}/lenses/2.0.0"
    assert "the same bit for bit" in run("verify", url, "--deep", 2)
    assert "train" in run("info", url)
    run("preview", url, "--out", tmp_path / "preview.png")
    command = [sys.executable, "-c", ELSEWHERE, url, str(tmp_path), "5"]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=False)
    assert elsewhere.returncode == 0, elsewhere.stderr
