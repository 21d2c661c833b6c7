"""Which sub-folder of a DeepLense-style folder is which class, and which split."""

import numpy as np
import pytest

from lenssim.build.importers.folder import ALIASES, find_source, parse_class_folder
from lenssim.errors import UsageError
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


def test_no_name_stands_for_two_classes():
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
