"""Ownership: commands replace and remove only what this software wrote, and refuse otherwise."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

import lenssim
from lenssim.archive.ownership import read_own_manifest
from lenssim.build.importers.deeplense import import_deeplense
from lenssim.errors import ArchiveError, UsageError
from lenssim.storage.location import Location

pytestmark = pytest.mark.usefixtures("plain_pictures")

HEX = "0123456789abcdef" * 2
FOREIGN = ["film.mkv.partial", "thesis.pdf.partial", f"downloads/film.mkv.{HEX}.partial"]


def touch(folder, names):
    for name in names:
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def generate(out, **options):
    return lenssim.generate("B", ["no_sub"], **{"train": 2, "test": 0, "out": out, **options})


@pytest.fixture
def source(tmp_path):
    """A DeepLense-style folder."""
    folder = tmp_path / "source" / "no_sub"
    folder.mkdir(parents=True)
    for number in range(3):
        np.save(folder / f"{number}.npy", np.full((8, 8), 1.0 + number, np.float32))
    return folder.parent


@pytest.fixture
def into(source, archive_folder):
    """What writes an archive into a folder, by command."""
    return {
        "generate": generate,
        "import": lambda out: import_deeplense(source, out),
        "publish": lambda out: lenssim.publish(archive_folder, out),
    }


@pytest.mark.parametrize("command", ["generate", "import", "publish"])
def test_refused_command_removes_nothing(into, command, tmp_path):
    home = tmp_path / "home"
    touch(home, [*FOREIGN, "images.zarr/x", "2.0.0/precious", "2.0.0/notes.partial", ".progress/x"])
    before = contents(home)
    with pytest.raises((UsageError, ArchiveError), match=r"images\.zarr|something else"):
        into[command](home)
    assert contents(home) == before


@pytest.mark.parametrize("command", ["generate", "import", "publish"])
def test_completed_command_leaves_other_files_alone(into, command, tmp_path):
    home = tmp_path / "home"
    touch(home, FOREIGN)
    into[command](home)
    assert all((home / name).read_text() == "mine" for name in FOREIGN)


@pytest.mark.parametrize(
    "name",
    ["README.md", "preview.png", "croissant.json", "columns/a.csv", "shards/a", ".progress/a"],
)
@pytest.mark.parametrize("command", ["generate", "import"])
def test_folder_with_a_file_under_an_archive_s_name_is_refused(into, command, name, tmp_path):
    home = tmp_path / "home"
    touch(home, [name])
    with pytest.raises(UsageError, match=r"but no archive\.json"):
        into[command](home)
    assert list(contents(home)) == [home / name]


def test_export_clears_scratch_files_in_the_archive_s_folders_only(tmp_path):
    archive = tmp_path / "archive"
    generate(archive)
    left = [
        f"images.zarr/train/no_sub/label/c/0.{HEX}.partial",
        f".partial/README.md.{HEX}.partial",
    ]
    foreign = [*FOREIGN, "images.zarr/notes.partial"]
    touch(archive, left + foreign)
    lenssim.export(archive)
    assert not any((archive / name).exists() for name in left)
    assert not (archive / ".partial").exists()
    assert all((archive / name).read_text() == "mine" for name in foreign)


def test_scratch_files_stay_while_a_request_is_refused(tmp_path):
    generate(tmp_path)
    scratch = tmp_path / f"images.zarr/train/no_sub/label/c/0.{HEX}.partial"
    scratch.touch()
    with pytest.raises(UsageError, match="seed"):
        generate(tmp_path, seed=1)
    with Location(tmp_path).exclusive(), pytest.raises(ArchiveError, match="Another run"):
        generate(tmp_path)
    assert scratch.exists()
    generate(tmp_path)
    assert not scratch.exists()


def test_half_written_first_manifest_does_not_block_the_next_run(tmp_path):
    touch(tmp_path, [f".partial/archive.json.{HEX}.partial"])
    generate(tmp_path)
    assert not (tmp_path / ".partial").exists()


def test_scratch_files_of_top_level_files_lie_in_a_folder_of_their_own(tmp_path):
    seen = []

    def pieces():
        seen.extend(path.relative_to(tmp_path).parts for path in contents(tmp_path))
        yield b"content"

    Location(tmp_path).write_pieces("README.md", pieces())
    [(folder, name)] = seen
    assert folder == ".partial"
    assert name.startswith("README.md.")
    assert list(contents(tmp_path).values()) == [b"content"]
    assert not (tmp_path / folder).exists()


def test_publish_resumes_over_its_own_scratch_files(archive_folder, tmp_path):
    left = [
        tmp_path / f"2.0.0/shards/train/cdm-000000.tar.{HEX}.partial",
        tmp_path / f"2.0.0/.partial/README.md.{HEX}.partial",
    ]
    touch(tmp_path, left)
    lenssim.publish(archive_folder, tmp_path)
    assert not any(path.exists() for path in left)


def test_publish_refuses_to_replace_a_readme_of_another_project(archive_folder, tmp_path):
    touch(tmp_path, ["README.md"])
    with pytest.raises(UsageError, match=r"README\.md is not a data-set card of ours"):
        lenssim.publish(archive_folder, tmp_path)
    assert list(contents(tmp_path).values()) == [b"mine"]


def test_publish_refuses_an_archive_as_the_home_of_versions(archive_copy):
    before = contents(archive_copy)
    with pytest.raises(UsageError, match="is an archive"):
        lenssim.publish(archive_copy, archive_copy)
    assert contents(archive_copy) == before


def test_lock_file_of_another_program_stays(tmp_path):
    for content in (b"", b"pid 1"):
        (tmp_path / ".lock").write_bytes(content)
        with Location(tmp_path).exclusive():
            pass
        assert (tmp_path / ".lock").read_bytes() == content


def test_lock_file_of_a_killed_run_is_removed(tmp_path):
    (tmp_path / ".lock").write_text('{"host": "a", "process": 1}')
    with Location(tmp_path).exclusive():
        pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("command", ["generate", "import", "publish"])
def test_output_folder_that_is_a_file_or_a_broken_link_is_named(into, command, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, error, message in (
        ("file", UsageError, "is a file"),
        ("file/below", ArchiveError, "cannot be written: Not a directory"),
        ("link", UsageError, "link to .*nowhere"),
        ("link/below", UsageError, "link to .*nowhere"),
    ):
        with pytest.raises(error, match=message):
            into[command](tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("path", ["", " "])
def test_empty_path_is_not_the_root_folder(path):
    with pytest.raises(UsageError, match="empty"):
        Location(path)


@pytest.mark.parametrize("path", ["a::b", "dir::b", "s3://bucket/a::B2", "zip://a::b.zip"])
def test_path_that_would_be_taken_for_a_chain_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="contains '::'"):
        generate(path)
    assert not list(tmp_path.iterdir())


def test_url_behind_a_cache_can_be_read(archive_folder, tmp_path):
    manifest = read_own_manifest(Location(f"simplecache::{archive_folder}"))
    assert manifest == lenssim.open_archive(archive_folder).manifest


def test_files_have_the_permissions_that_the_umask_allows(tmp_path):
    umask = os.umask(0o027)
    try:
        generate(tmp_path / "archive", formats=("zarr", "webdataset"))
        lenssim.publish(tmp_path / "archive", tmp_path / "published")
        lenssim.draw_preview(tmp_path / "archive", tmp_path / "preview.png")
    finally:
        os.umask(umask)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in contents(tmp_path)}
    assert len(modes) > 20
    assert set(modes.values()) == {0o640}
