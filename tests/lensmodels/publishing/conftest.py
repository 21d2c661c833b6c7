"""A hub without a network: repositories are folders, and each upload is one commit."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import _registry


class Hub(DirFileSystem):
    """The file system `hf://`, and the client that it has for commits."""

    protocol = "hf"
    cachable = False
    folder: Path
    commits: list

    def __init__(self, **_):
        super().__init__(path=str(self.folder), fs=LocalFileSystem(auto_mkdir=False))
        self._api = self

    def resolve_path(self, path):
        return SimpleNamespace(repo_id=path, repo_type="model", revision="main", path_in_repo="")

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, **_):
        (self.folder / repo_id).mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            shutil.copyfile(Path(folder_path) / name, self.folder / repo_id / name)
        self.commits.append(sorted(allow_patterns))

    def pipe_file(self, path, *_, **__):
        raise AssertionError(f"{path} would be a commit of its own")

    put_file = pipe_file


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's class, whose `folder` holds the repositories and `commits` the files of each."""
    kind = type("Hub", (Hub,), {"folder": tmp_path / "hub", "commits": []})
    monkeypatch.setitem(_registry, "hf", kind)
    return kind


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder for copies of published models."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lensmodels" / "models"
