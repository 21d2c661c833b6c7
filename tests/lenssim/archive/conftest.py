import shutil

import pytest

import lenssim
from lenssim.archive.documents import write_documents


@pytest.fixture(scope="session")
def described(tmp_path_factory):
    """A small archive of model B with its documents, which no test may change."""
    archive = lenssim.generate("B", train=12, test=5, out=tmp_path_factory.mktemp("B") / "B")
    write_documents(archive, b"\x89PNG, in place of a picture")
    return lenssim.open_archive(archive.location.url)


@pytest.fixture(scope="session")
def one_group(tmp_path_factory):
    """Folder of an archive of few files, which no test may change."""
    folder = tmp_path_factory.mktemp("one") / "B"
    lenssim.generate("B", ["no_sub"], train=2, test=0, out=folder)
    return folder


@pytest.fixture
def copied(described, tmp_path):
    """The same archive, to be changed."""
    shutil.copytree(described.location.url, tmp_path / "copy")
    return lenssim.open_archive(tmp_path / "copy")
