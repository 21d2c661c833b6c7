"""One class in few files: servers are asked for each of them."""

import pytest

import lenssim


@pytest.fixture(scope="session")
def archive_folder(tmp_path_factory):
    """An archive of one class in both formats; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("shared") / "B"
    sizes = {"train": 40, "test": 4, "chunk_size": 16, "shard_size": 32}
    lenssim.generate("B", ["cdm"], **sizes, out=folder, formats=("zarr", "webdataset"))
    return folder
