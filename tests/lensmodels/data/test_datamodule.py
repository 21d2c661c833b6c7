"""The data module: which images each part holds, and what is refused."""

import shutil
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

import lenssim
from lensmodels.data import CLASSES, DataSettings, LensDataModule
from lensmodels.data.archives import how_to_add
from lensmodels.errors import DataError
from lenssim.archive.manifest import read_manifest, write_manifest
from lenssim.storage.location import Location

TRAIN, TEST = 45, 7


def opened(url, **options):
    settings = {"batch_size": 16, "num_pix": 16, "workers": 0, **options}
    module = LensDataModule(DataSettings(url=str(url), **settings))
    module.setup()
    return module


def images(module, part):
    return [
        (module.groups[group], sample)
        for batch in module.stream(part, shuffle=False)
        for group, sample in zip(batch["group"].tolist(), batch["sample"].tolist(), strict=True)
    ]


def test_parts_are_apart_and_the_test_split_is_only_tested(either):
    module = opened(either, validation_fraction=0.2)
    found = {part: images(module, part) for part in ("train", "validation", "test")}
    assert found["train"] == [(f"train/{name}", i) for name in CLASSES for i in range(36)]
    assert found["validation"] == [(f"train/{name}", i) for name in CLASSES for i in range(36, 45)]
    assert found["test"] == [(f"test/{name}", i) for name in CLASSES for i in range(TEST)]
    assert module.sizes == {"train": 108, "labelled": 108, "validation": 27, "test": 21}
    assert (module.num_pix, module.pixel_scale) == (16, 0.101)


@pytest.mark.parametrize("labels", [0.01, 0.1, 0.5])
def test_labelled_images_are_train_images_and_as_many_of_every_class(archive, labels):
    module = opened(archive, labels=labels)
    chosen = images(module, "labelled")
    counts = Counter(group for group, _ in chosen)
    assert set(counts.values()) == {max(1, round(43 * labels))}
    assert len(counts) == 3
    assert set(chosen) <= set(images(module, "train"))


def measured_on(module):
    """Images that the scaling is measured on."""
    return [
        (module.groups[block.group], sample)
        for block in module._scaling_ranges()
        for sample in range(block.start, block.stop)
    ]


def test_the_scaling_is_measured_on_the_images_that_are_named(archive):
    found = {
        kind: measured_on(opened(archive, labels=0.3, scaling_images=kind))
        for kind in ("labelled", "unlabelled", "all")
    }
    module = opened(archive, labels=0.3)
    assert sorted(found["labelled"]) == sorted(images(module, "labelled"))
    assert sorted(found["all"]) == sorted(images(module, "train"))
    assert sorted(found["labelled"] + found["unlabelled"]) == sorted(found["all"])


def test_the_scaling_of_labelled_images_sees_no_other(archive):
    few, all_of_them = (
        opened(archive, labels=0.3, scaling="asinh", scaling_images=kind)
        for kind in ("labelled", "all")
    )
    stream = few.stream("labelled", shuffle=False)
    pixels = np.concatenate([batch["image"].numpy() for batch in stream])
    stretched = np.arcsinh(pixels.astype(np.float64) / few.scaling.softening)
    assert few.scaling.mean == pytest.approx(stretched.mean(), rel=1e-6)
    assert few.scaling.mean != all_of_them.scaling.mean
    assert few.scaled_on == "39 labelled images of axion, cdm and no_sub"
    assert all_of_them.scaled_on == "129 train images of axion, cdm and no_sub"


def test_there_must_be_unlabelled_images_to_measure(archive):
    with pytest.raises(DataError, match="no unlabelled images"):
        opened(archive, scaling_images="unlabelled").scaling  # noqa: B018


def test_a_smaller_train_size_takes_the_first_images(archive):
    module = opened(archive, train_size=20, validation_fraction=0.1, classes=("cdm",))
    taken = images(module, "train") + images(module, "validation")
    assert taken == [("train/cdm", i) for i in range(20)]
    assert module.sizes["test"] == TEST


def test_scaling_depends_on_the_data_alone(archive):
    scalings = [
        opened(archive, **options).scaling.to_dict()
        for options in ({}, {"seed": 3, "batch_size": 4, "labels": 0.1, "workers": 2})
    ]
    assert scalings[0] == scalings[1]
    assert scalings[0]["sky_noise"] > 0


def test_an_archive_without_a_test_split_can_be_trained_on(tmp_path):
    options = {"train": 8, "test": 0, "overrides": ["instrument.num_pix=16"]}
    lenssim.generate("B", ["cdm"], out=tmp_path, **options)
    module = opened(tmp_path, classes=("cdm",), validation_fraction=0)
    assert len(images(module, "train")) == 8
    with pytest.raises(DataError, match="has no test images; add them with"):
        module.test_dataloader()
    with pytest.raises(DataError, match="has no train images of class axion and no_sub"):
        opened(tmp_path)
    with pytest.raises(DataError, match="holds train/cdm, and nothing of class axion"):
        opened(tmp_path, classes=("axion",))


def test_what_is_no_such_archive_is_refused(tmp_path, archive, shards):
    with pytest.raises(DataError, match=r"is not an archive: it has no archive\.json"):
        opened(tmp_path)
    with pytest.raises(DataError, match="is not an archive: there is no such folder"):
        opened(tmp_path / "nothing")
    with pytest.raises(DataError, match="images of 16 pixels a side, where 64 are expected"):
        opened(archive, num_pix=64)
    with pytest.raises(DataError, match="not in the format shards"):
        opened(archive, format="shards")
    with pytest.raises(DataError, match="not in the format zarr"):
        opened(shards, format="zarr")


def read_all(url, workers=1):
    for _ in opened(url, workers=workers, validation_fraction=0, cache="none").train_dataloader():
        pass


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def image_file(root, group="train/cdm", number=1):
    """The second file of a group's images, in either format."""
    in_zarr = root / f"images.zarr/{group}/image/c/{number}/0/0"
    return in_zarr if in_zarr.exists() else root / f"shards/{group}-{number:06d}.tar"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", [1000, -1])
def test_a_flipped_byte_is_found_and_its_file_named(damaged, workers, place):
    file = image_file(damaged)
    flip(file, place)
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_all(damaged, workers)
    assert str(file.relative_to(damaged)) in str(caught.value)
    assert "train/cdm" in str(caught.value)
    assert "lenssim verify" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_found(damaged):
    file = image_file(damaged)
    file.write_bytes(file.read_bytes()[:-700])
    with pytest.raises(DataError, match="cannot be read"):
        read_all(damaged)


def test_a_missing_file_is_found(damaged):
    image_file(damaged).unlink()
    with pytest.raises(DataError, match=r"train/cdm|shards of"):
        read_all(damaged)


def edit(root, name, group="train/axion", value=np.nan, index=20):
    zarr.open_group(root / "images.zarr", path=group, mode="r+")[name][index] = value


@pytest.fixture
def writable(archive, tmp_path):
    return shutil.copytree(archive, tmp_path / "archive")


def test_nan_pixels_are_refused(writable):
    edit(writable, "image")
    with pytest.raises(DataError, match=r"images 16 to 23 of train/axion .* not finite"):
        read_all(writable)


def test_labels_of_another_class_are_refused(writable):
    edit(writable, "label", value=2)
    with pytest.raises(DataError, match="labels of another class"):
        read_all(writable)


def test_images_of_another_shape_than_the_manifest_says_are_refused(writable):
    location = Location(writable)
    manifest = read_manifest(location)
    groups = [group.model_copy(update={"count": group.count - 1}) for group in manifest.groups]
    write_manifest(location, manifest.model_copy(update={"groups": groups}))
    with pytest.raises(DataError, match=r"holds images of shape \(45, 16, 16\) where"):
        read_all(writable)


def test_advice_on_missing_images_is_that_of_the_archive():
    """Images that were imported cannot be generated."""
    generated, imported = (
        SimpleNamespace(imported=None),
        SimpleNamespace(imported=SimpleNamespace(cutouts=None)),
    )
    assert how_to_add(generated, "test") == "add them with `lenssim generate --test N`"
    assert "import the set again with a --split" in how_to_add(imported, "test")
    assert "of class cdm" in how_to_add(imported, "train", "cdm")
    telescope = SimpleNamespace(imported=SimpleNamespace(cutouts=object()))
    assert how_to_add(telescope, "test").startswith("telescope images have no labels")


def test_weak_images_are_left_out_of_the_training_alone(tmp_path):
    archive = lenssim.generate(
        "B",
        out=tmp_path / "B",
        train=20,
        test=5,
        overrides=["instrument.num_pix=16", "observation.refit_snr=all"],
    )
    snr = archive.dataset("train", "cdm").substructure_snr_refit.to_numpy()
    least = float(np.median(snr))
    options = {"classes": ("cdm",), "validation_fraction": 0.25}
    module = opened(tmp_path / "B", min_refit_snr=least, **options)
    found = {part: images(module, part) for part in ("train", "validation", "test")}
    strong = np.flatnonzero(snr > least)
    assert found["train"] == [("train/cdm", i) for i in strong if i < 15]
    assert found["validation"] == [("train/cdm", i) for i in strong if i >= 15]
    assert len(found["test"]) == 5
    with pytest.raises(DataError, match=r"No train image has a refit S/N above 1e\+06"):
        opened(tmp_path / "B", min_refit_snr=1e6, **options)
    with pytest.raises(DataError, match="one class"):
        opened(tmp_path / "B", min_refit_snr=1.0)


def test_a_choice_by_an_unknown_refit_snr_is_refused(archive):
    with pytest.raises(DataError, match="refit-snr all"):
        opened(archive, min_refit_snr=5, classes=("cdm",))
