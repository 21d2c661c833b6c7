from pathlib import Path

import pytest

from lenssim.storage.atomic import replacing


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
