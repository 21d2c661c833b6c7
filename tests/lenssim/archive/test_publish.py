"""Publishing: whole versions or none, never changed, and resumed where it was cut short."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest

import lenssim
from lenssim.archive import publish as module
from lenssim.errors import ArchiveError, UsageError
from lenssim.storage.location import Location


def test_a_version_is_published_listed_and_the_same(archive_folder, tmp_path):
    url = lenssim.publish(archive_folder, tmp_path / "data")
    assert url == f"{tmp_path}/data/2.0.0"
    published = lenssim.open_archive(url)
    assert published.manifest == lenssim.open_archive(archive_folder).manifest
    assert not lenssim.verify(url, deep=1).problems
    [entry] = json.loads((tmp_path / "data/versions.json").read_text())["versions"]
    assert entry["version"] == "2.0.0"
    assert entry["images"] == 270


def test_a_version_never_changes(archive_folder, tmp_path):
    lenssim.publish(archive_folder, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="published already"):
        lenssim.publish(archive_folder, tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_versions_are_listed_in_their_order(archive_folder, tmp_path):
    for version in ("1.10.0", "1.2.0"):
        lenssim.publish(archive_folder, tmp_path, version=version)
    listed = module.published_versions(Location(tmp_path))
    assert [entry["version"] for entry in listed] == ["1.2.0", "1.10.0"]


def test_the_folder_of_all_versions_names_the_newest(archive_folder, tmp_path):
    for version in ("1.10.0", "1.2.0"):
        lenssim.publish(archive_folder, tmp_path, version=version)
    newest = f"open the newest, {tmp_path}/1.10.0"
    with pytest.raises(ArchiveError, match=f"not an archive but holds .* {re.escape(newest)}"):
        lenssim.open_archive(tmp_path)


@pytest.mark.parametrize("version", ["1.0", "latest", "../1.0.0", "1.0.0/x"])
def test_a_version_is_three_numbers(archive_folder, tmp_path, version):
    with pytest.raises(UsageError, match="three numbers"):
        lenssim.publish(archive_folder, tmp_path, version=version)


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_a_half_published_version_is_no_archive_and_is_resumed(
    place, one_group, tmp_path, monkeypatch, request
):
    home = request.getfixturevalue("bucket") if place == "bucket" else str(tmp_path / "data")
    upload, seen = Location.upload, []

    def dies(self, source, relative):
        if len(seen) == 10:
            raise KeyboardInterrupt
        seen.append(relative)
        upload(self, source, relative)

    monkeypatch.setattr(Location, "upload", dies)
    with pytest.raises(KeyboardInterrupt):
        lenssim.publish(one_group, home)
    with pytest.raises(ArchiveError, match="not an archive"):
        lenssim.open_archive(f"{home}/2.0.0")
    assert module.published_versions(Location(home)) == []
    again = []

    def counts(self, source, relative):
        again.append(relative)
        upload(self, source, relative)

    monkeypatch.setattr(Location, "upload", counts)
    lenssim.publish(one_group, home)
    files = lenssim.open_archive(one_group).manifest.files
    assert len(again) <= len(files) - 10
    assert not lenssim.verify(f"{home}/2.0.0").problems


def test_what_an_earlier_run_left_damaged_is_uploaded_again(archive_folder, tmp_path):
    path = "shards/train/cdm-000000.tar"
    torn = tmp_path / "2.0.0" / path
    torn.parent.mkdir(parents=True)
    torn.write_bytes(bytes((archive_folder / path).stat().st_size))
    lenssim.publish(archive_folder, tmp_path)
    assert torn.read_bytes() == (archive_folder / path).read_bytes()


def test_files_of_something_else_are_left_alone(archive_folder, tmp_path):
    precious = tmp_path / "2.0.0" / "precious"
    precious.parent.mkdir()
    precious.write_text("data")
    with pytest.raises(ArchiveError, match="something else, such as precious"):
        lenssim.publish(archive_folder, tmp_path)
    assert precious.read_text() == "data"


def test_a_damaged_archive_is_not_published(archive_copy, tmp_path):
    shard = archive_copy / "shards/train/cdm-000000.tar"
    content = bytearray(shard.read_bytes())
    content[2000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"cdm-000000.tar is damaged"):
        lenssim.publish(archive_copy, tmp_path / "data")
    assert not (tmp_path / "data/2.0.0/archive.json").exists()


def test_publishing_ends_though_only_the_index_was_missing(archive_folder, tmp_path):
    shutil.copytree(archive_folder, tmp_path / "2.0.0")
    lenssim.publish(archive_folder, tmp_path)
    assert len(module.published_versions(Location(tmp_path))) == 1


def test_a_bucket_refuses_to_replace_a_file_that_is_created(bucket):
    location = Location(f"{bucket}/folder")
    location.create("file", b"first")
    with pytest.raises(FileExistsError):
        location.create("file", b"second")
    assert location.read("file") == b"first"


def test_the_newest_version_s_card_stands_at_the_top(archive_folder, tmp_path):
    for version in ("1.1.0", "1.0.0"):
        lenssim.publish(archive_folder, tmp_path, version=version)
    card = (tmp_path / "README.md").read_text()
    assert "path: 1.1.0/shards/train/*.tar" in card
    assert "](1.1.0/preview.png)" in card
    assert "path: shards/train/*.tar" in (tmp_path / "1.1.0/README.md").read_text()


class Hub:
    """Stands for the hub's client: keeps what is committed, in one commit a call."""

    def __init__(self):
        self.commits = []

    def upload_folder(self, *, repo_id, repo_type, folder_path, path_in_repo, allow_patterns, **_):
        for path in allow_patterns:
            assert (folder_path / path).is_file()
        self.commits.append((repo_type, repo_id, path_in_repo, sorted(allow_patterns)))


def test_files_reach_the_hub_in_one_commit(archive_folder, monkeypatch):
    hub = Hub()
    target = Location("hf://datasets/someone/lenses").below("1.0.0")
    resolved = SimpleNamespace(
        repo_id="someone/lenses", repo_type="dataset", revision="main", path_in_repo="1.0.0"
    )
    monkeypatch.setattr(target.hub, "_api", hub)
    monkeypatch.setattr(target.hub, "resolve_path", lambda *_, **__: resolved)
    archive = lenssim.open_archive(archive_folder)
    paths = sorted(archive.manifest.files)
    module._upload_files(archive, paths, target, None)
    assert hub.commits == [("dataset", "someone/lenses", "1.0.0", paths)]
