"""Small archives: Zarr, and the same images as WebDataset shards."""

import shutil
from pathlib import Path

import pytest

import lenssim
from lenssim.archive.manifest import FileRecord, read_manifest, write_manifest
from lenssim.storage.location import Location

NUM_PIX = 16
TRAIN, TEST = 45, 7


def generate(out: Path, **options) -> Path:
    """Three classes of 45 train and 7 test images, in chunks of 8."""
    options |= {"train": TRAIN, "test": TEST, "overrides": [f"instrument.num_pix={NUM_PIX}"]}
    lenssim.generate("B", out=out, chunk_size=8, **options)
    return out


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """In Zarr, in files of 16."""
    return generate(tmp_path_factory.mktemp("archives") / "zarr", shard_size=16)


def record_file(root, name) -> None:
    """Puts a file's true size and checksum into the manifest."""
    location = Location(root)
    manifest = read_manifest(location)
    record = FileRecord.of((Path(root) / name).read_bytes())
    write_manifest(location, manifest.model_copy(update={"files": manifest.files | {name: record}}))


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """The same images in WebDataset shards, of 24."""
    folder = tmp_path_factory.mktemp("archives") / "shards"
    return generate(folder, shard_size=24, formats=["webdataset"])


@pytest.fixture(params=["zarr", "shards"])
def either(request, archive, shards) -> Path:
    """The same images in each of the two formats."""
    return {"zarr": archive, "shards": shards}[request.param]


@pytest.fixture
def damaged(either, tmp_path) -> Path:
    """A copy of an archive in either format, to be damaged."""
    return Path(shutil.copytree(either, tmp_path / "damaged"))
