"""Output paths: nothing that a command did not write itself is ever replaced."""

from pathlib import Path

import pytest

from lenssim.errors import UsageError
from lenssim.storage.atomic import replacing
from lenssim.storage.output_paths import check_output, check_output_folder

SUFFIXES = (".csv", ".parquet")


def is_table(path: Path) -> bool:
    return path.read_text().startswith("source,index")


def check(path, *, overwrite=False):
    return check_output(path, SUFFIXES, is_table, overwrite)


def test_new_path_is_allowed_with_or_without_overwrite(tmp_path):
    for path in (tmp_path / "new.csv", tmp_path / "not" / "there" / "new.PARQUET"):
        assert check(path) == check(path, overwrite=True) == path
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_file_is_refused_and_left_alone(tmp_path, overwrite):
    notes = tmp_path / "notes.csv"
    notes.write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.csv exists and is not an earlier output"):
        check(notes, overwrite=overwrite)
    assert notes.read_text() == "mine"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_path_that_cannot_be_judged_is_refused(tmp_path, content):
    path = tmp_path / "a.csv"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UsageError, match="not an earlier output"):
        check(path, overwrite=True)
    assert path.exists()


def test_earlier_output_needs_overwrite(tmp_path):
    earlier = tmp_path / "out.csv"
    earlier.write_text("source,index\n")
    with pytest.raises(UsageError, match="--overwrite"):
        check(earlier)
    assert check(earlier, overwrite=True) == earlier


@pytest.mark.parametrize("name", ["a.fits", "csv", "a.csv.gz"])
def test_other_suffix_is_refused_naming_those_allowed(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        check(tmp_path / name)


@pytest.mark.parametrize("path", ["", "  "])
def test_empty_path_is_refused(path):
    with pytest.raises(UsageError, match="path is empty"):
        check(path)


def test_broken_link_and_file_above_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="file is a file"):
        check(tmp_path / "file" / "out.csv")
    for path in ("link/out.csv", "link.csv"):
        with pytest.raises(UsageError, match=r"link to .*nowhere"):
            check(tmp_path / path)


def test_path_that_cannot_be_looked_at_is_refused(tmp_path):
    with pytest.raises(UsageError, match="name too long"):
        check(tmp_path / f"{'x' * 300}.csv")


def test_output_folder_may_exist_and_is_no_file_or_broken_link(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    check_output_folder(tmp_path)
    check_output_folder(tmp_path / "new" / "folder")
    for name, message in (
        ("file", "file is a file: name a folder"),
        ("file/below", "file is a file, so"),
        ("link/below", r"link to .*nowhere"),
        ("x" * 300, "name too long"),
    ):
        with pytest.raises(UsageError, match=message):
            check_output_folder(tmp_path / name)


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
def test_the_scratch_folder_may_vanish_while_it_is_made(tmp_path, monkeypatch, error):
    """Another writer, which was the last to use the folder, removes it at that moment."""
    make, refused = Path.mkdir, []

    def mkdir(folder, *args, **options):
        if folder.name == ".partial" and not refused:
            refused.append(folder)
            raise error
        make(folder, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with replacing(tmp_path / "file", tmp_path / ".partial") as scratch:
        scratch.write_text("new")
    assert refused and (tmp_path / "file").read_text() == "new"


def test_a_file_in_the_place_of_the_scratch_folder_is_an_error(tmp_path):
    (tmp_path / ".partial").write_text("mine")
    with pytest.raises(FileExistsError), replacing(tmp_path / "file", tmp_path / ".partial"):
        pass
    assert (tmp_path / ".partial").read_text() == "mine"
