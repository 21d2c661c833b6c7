"""Which sub-folder of a DeepLense-style folder is which class, and which split.

Copies of an image are never in both splits of an import.
"""

import hashlib
import re

import numpy as np
import pytest
from click.testing import CliRunner

from lenssim.archive.reader import open_archive
from lenssim.build.importers.deeplense import import_deeplense
from lenssim.build.importers.folder import ALIASES, find_source, parse_class_folder
from lenssim.cli import main
from lenssim.errors import ImportFileError, UsageError
from lenssim.spec import CLASSES


def fill(root, *folders, count=2):
    for place, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            np.save(root / folder / f"{index}.npy", np.full((8, 8), 10.0 * place + index))
    return root


def test_the_names_of_the_classes_need_nothing(tmp_path):
    source = find_source(fill(tmp_path, "no_sub", "axion", "cdm"))
    assert list(source.files) == list(CLASSES)
    assert source.files["cdm"] == ("cdm/0.npy", "cdm/1.npy")
    assert source.class_folders == {name: name for name in CLASSES}
    assert source.test_folder is None


@pytest.mark.parametrize(
    "folders",
    [("vort", "sphere", "no"), ("Vortex", "Subhalo", "No-Substructure"), ("axion", "cdm", "no")],
)
def test_known_names_of_the_classes_are_understood(tmp_path, folders):
    source = find_source(fill(tmp_path, *folders))
    assert source.class_folders == dict(zip(folders, CLASSES, strict=True))
    for folder, name in zip(folders, CLASSES, strict=True):
        assert source.files[name] == (f"{folder}/0.npy", f"{folder}/1.npy")


def test_no_name_is_of_two_classes():
    names = [*CLASSES, *(name for names in ALIASES.values() for name in names)]
    assert len(set(names)) == len(names)


def test_the_own_name_of_a_class_comes_before_others(tmp_path):
    source = find_source(fill(tmp_path, "no_sub", "no"))
    assert source.files == {"no_sub": ("no_sub/0.npy", "no_sub/1.npy")}
    assert source.others == ("no/",)


def test_two_folders_for_one_class_are_a_question(tmp_path):
    fill(tmp_path, "vort", "vortex", "no")
    with pytest.raises(UsageError, match="--class-folder vort=axion --class-folder vortex=axion"):
        find_source(tmp_path)
    both = find_source(tmp_path, {"vort": "axion", "vortex": "axion"})
    assert len(both.files["axion"]) == 4
    assert list(both.files) == ["axion", "no_sub"]


def test_folders_with_names_of_their_own_are_said(tmp_path):
    fill(tmp_path, "strings", "clumps", "cdm")
    assert find_source(tmp_path).class_folders == {"cdm": "cdm"}
    source = find_source(tmp_path, {"strings": "axion", "clumps": "cdm"})
    assert source.files["axion"] == ("strings/0.npy", "strings/1.npy")
    assert source.files["cdm"] == ("clumps/0.npy", "clumps/1.npy")
    assert source.others == ("cdm/",)
    with pytest.raises(UsageError, match="has no folder lumps"):
        find_source(tmp_path, {"lumps": "cdm"})


@pytest.mark.parametrize("text", ["no", "no=nothing", "=no_sub", "no_sub="])
def test_a_class_folder_is_written_as_folder_and_class(text):
    with pytest.raises(UsageError, match=r"FOLDER=CLASS.*axion, cdm, no_sub"):
        parse_class_folder(text)
    assert parse_class_folder("a=b=cdm") == ("a=b", "cdm")


@pytest.mark.parametrize("tested", ["test", "val"])
def test_a_folder_with_splits_of_its_own_keeps_them(tmp_path, tested):
    fill(tmp_path, "train/no", "train/vort", f"{tested}/no", f"{tested}/vort")
    (tmp_path / "train" / "notes.txt").write_text("x")
    source = find_source(tmp_path)
    assert source.test_folder == tested
    assert source.files["no_sub"] == tuple(
        sorted(f"{part}/no/{index}.npy" for part in ("train", tested) for index in range(2))
    )
    assert source.split_of("train/no/0.npy") == "train"
    assert source.split_of(f"{tested}/no/0.npy") == "test"
    assert source.others == ("train/notes.txt",)


def test_validation_images_beside_test_images_are_left_out(tmp_path):
    fill(tmp_path, "train/no", "test/no", "val/no")
    source = find_source(tmp_path)
    assert (source.test_folder, source.others) == ("test", ("val/",))


def test_other_folders_are_named(tmp_path):
    fill(tmp_path, *CLASSES)
    for name in ("vort", "sphere", "strings"):
        (tmp_path / name).mkdir()
    (tmp_path / "cdm" / "notes.txt").write_text("x")
    assert find_source(tmp_path).others == ("cdm/notes.txt", "sphere/", "strings/", "vort/")


def test_a_folder_without_classes_says_what_is_there(tmp_path):
    (tmp_path / "vort").mkdir()
    (tmp_path / "strings").mkdir()
    with pytest.raises(UsageError, match=r"it holds strings/, vort/.*--class-folder"):
        find_source(tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        find_source(tmp_path / "nothing")


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
        save(root, f"{tested}/{folder}", [content + len(folder) for content in test_contents])
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
