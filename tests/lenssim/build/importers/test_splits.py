"""Copies of an image are never in both splits of an import."""

import hashlib
import re

import numpy as np
import pytest
from click.testing import CliRunner

from lenssim.archive.reader import open_archive
from lenssim.build.importers.deeplense import import_deeplense
from lenssim.cli import main
from lenssim.errors import ImportFileError, UsageError


def save(root, folder, contents):
    """One file an entry; files of the same entry are copies."""
    (root / folder).mkdir(parents=True)
    for index, content in enumerate(contents):
        np.save(root / folder / f"{index}.npy", np.random.default_rng(content).random((8, 8)))
    return root


def images(archive, part, name):
    group = archive.manifest.group(f"{part}/{name}")
    if group is None:
        return []
    return [image.tobytes() for image in archive.dataset(part, name)["image"].values]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_copies_of_an_image_stay_in_one_split(tmp_path, share, seed):
    contents = [0, 1, 2, *[3] * 5, *[4] * 2, 5]
    save(tmp_path / "source", "no_sub", contents)
    archive = import_deeplense(tmp_path / "source", tmp_path / "out", split=share, seed=seed)
    train, test = (images(archive, part, "no_sub") for part in ("train", "test"))
    assert not set(train) & set(test)
    assert len(train) + len(test) == len(contents)
    assert len(test) <= round(share * len(contents))


def test_copies_of_two_classes_stay_in_one_split(tmp_path):
    save(tmp_path / "source", "cdm", range(20))
    save(tmp_path / "source", "no_sub", [*range(100, 130), *range(5)])
    archive = import_deeplense(tmp_path / "source", tmp_path / "out", split=0.4)
    for one, other in (("cdm", "no_sub"), ("no_sub", "cdm"), ("cdm", "cdm")):
        assert not set(images(archive, "train", one)) & set(images(archive, "test", other))


def test_without_copies_the_test_images_are_the_first_of_their_order(tmp_path):
    """The order is the SHA-256 of seed and checksum, as in 0.1.0."""
    save(tmp_path / "source", "cdm", range(10))
    archive = import_deeplense(tmp_path / "source", tmp_path / "out", split=0.3, seed=7)

    def place(path):
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        return hashlib.sha256(f"7 {checksum}".encode()).digest()

    order = sorted((tmp_path / "source" / "cdm").iterdir(), key=place)
    expected = [np.load(path).astype(np.float32).tobytes() for path in sorted(order[:3])]
    assert images(archive, "test", "cdm") == expected


def test_counts_that_copies_make_impossible_are_refused(tmp_path):
    save(tmp_path / "source", "cdm", [0, *[1] * 7])
    with pytest.raises(UsageError, match="1 test images of class cdm are possible, not 3"):
        import_deeplense(tmp_path / "source", tmp_path / "out", train=5, test=3)
    archive = import_deeplense(tmp_path / "source", tmp_path / "out", train=5, test=1)
    assert [group.count for group in archive.manifest.groups] == [5, 1]


def test_the_command_says_what_copies_did(tmp_path):
    save(tmp_path / "source", "cdm", [0, *[1] * 7])
    save(tmp_path / "source", "no_sub", [0, *range(10, 17)])
    words = ["import-deeplense", str(tmp_path / "source"), "--split", "0.5"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "2 files have the same content as a file of another class." in result.stderr
    assert re.search("cdm has [01] test images instead of 4", result.stderr)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Files that are the same to the last byte are in one split." in card


def own_splits(root, tested="val", test_contents=(10, 11)):
    for folder, contents in (("no", (0, 1, 2)), ("vort", (3, 4, 5, 5))):
        save(root, f"train/{folder}", contents)
        save(root, f"{tested}/{folder}", [each + len(folder) for each in test_contents])
    return root


def test_splits_of_the_source_are_kept(tmp_path):
    source = own_splits(tmp_path / "source")
    words = ["import-deeplense", str(source), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    archive = open_archive(tmp_path / "out")
    counts = {group.name: group.count for group in archive.manifest.groups}
    assert counts == {"train/axion": 4, "train/no_sub": 3, "test/axion": 2, "test/no_sub": 2}
    expected = [
        np.load(path).astype(np.float32).tobytes() for path in sorted(source.glob("val/no/*"))
    ]
    assert images(archive, "test", "no_sub") == expected
    card = (tmp_path / "out" / "README.md").read_text()
    assert "The splits are the source's own." in card
    assert "find train/no train/vort val/no val/vort -maxdepth 1" in card
    assert not CliRunner().invoke(main, ["verify", str(tmp_path / "out")]).exit_code


def test_an_image_in_both_splits_of_the_source_is_refused(tmp_path):
    source = own_splits(tmp_path / "source", test_contents=(-1, 20))
    with pytest.raises(ImportFileError, match=r"train/no/1.npy and .*val/no/0.npy .*same content"):
        import_deeplense(source, tmp_path / "out")
    assert not (tmp_path / "out" / "archive.json").exists()


@pytest.mark.parametrize("option", [{"split": 0.1}, {"train": 1}, {"test": 1}])
def test_splits_of_the_source_and_splits_that_are_asked_for_contradict(tmp_path, option):
    source = own_splits(tmp_path / "source")
    with pytest.raises(UsageError, match=r"has splits of its own, train/ and val/"):
        import_deeplense(source, tmp_path / "out", **option)
