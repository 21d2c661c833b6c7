"""An archive that the code of specification 1.0.0 wrote is read, verified and rendered again."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

import lenssim

HERE = Path(__file__).parent
SPECIFICATIONS = HERE.parent / "specifications_1_0_0"
HASHES = {
    "A": "9c4182b738037fd2a60fd27124690e2f72b2530494cc1b5a2632dd35283eafb2",
    "B": "c5e81e8429bc22aa5a4ba6c824034f2a798f71a9c93e7cea1722cf36e8951d45",
    "A-deeplense": "287991ea05890a3705a7d5324c1d7f8836a28b58608049c8ef05c491c3511850",
    "B-deeplense": "87ab1d0df01933c720bf53bf9e6c2109ebc766ce4b87282dcf4a2bc054868f9a",
}
"""Canonical hashes as version 0.1.0 of the software computed them."""


@pytest.fixture
def old_archive(tmp_path):
    with tarfile.open(HERE / "archive_1_0_0.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "B-1.0.0"


@pytest.mark.parametrize("name", HASHES)
def test_hashes_of_specifications_1_0_0_are_what_they_were(name):
    assert lenssim.load_spec(SPECIFICATIONS / f"{name}.yaml").sha256 == HASHES[name]


@pytest.mark.parametrize("name", ["A-deeplense", "B-deeplense"])
def test_deeplense_specifications_are_unchanged(name):
    assert lenssim.load_spec(name).sha256 == HASHES[name]


def test_an_archive_of_1_0_0_verifies_and_renders_again(old_archive):
    verification = lenssim.verify(old_archive, deep=3, seed=0)
    assert verification.problems == ()
    assert verification.images == 15


def test_an_archive_of_1_0_0_has_the_columns_it_had(old_archive):
    archive = lenssim.open_archive(old_archive)
    assert archive.manifest.specification().version == "1.0.0"
    dataset = archive.dataset("train", "axion").load()
    assert "ring_radius" not in dataset
    assert np.all(dataset["einstein_mass"] + dataset["substructure_mass"] == 1e12)


def test_its_images_are_not_mixed_with_those_of_2_0_0(old_archive):
    with pytest.raises(lenssim.UsageError, match=r"version is 1\.0\.0 there and 2\.0\.0 here"):
        lenssim.generate("B", ["cdm"], train=3, test=0, out=old_archive)
