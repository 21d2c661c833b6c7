"""Verifying: every damage is found and named, readers raise, and nothing hostile is executed."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

import lenssim
from lenssim.archive.manifest import FileRecord, read_manifest, write_manifest
from lenssim.errors import ArchiveError, UsageError
from lenssim.reproduce import verify
from lenssim.storage.location import Location

IMAGE = "images.zarr/train/cdm/image/c/0/0/0"
SHARD = "shards/train/cdm-000001.tar"


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def reseal(folder, changed=(), **updates):
    """Rewrites the manifest as a forger would: with fitting checksums."""
    location = Location(folder)
    manifest = read_manifest(location)
    files = dict(manifest.files)
    for path in changed:
        files[path] = FileRecord.of((folder / path).read_bytes())
    write_manifest(location, manifest.model_copy(update={"files": files, **updates}))


def problems(folder, **options):
    return [str(problem) for problem in verify(folder, workers=2, **options).problems]


def test_a_sound_archive_has_no_problems(archive_folder):
    found = verify(archive_folder, deep=4)
    assert found.problems == ()
    assert found.images == 6 * 4
    assert found.is_same_platform
    assert found.files == sum(1 for p in archive_folder.rglob("*") if p.is_file()) - 1


@pytest.mark.parametrize("place", [700, 5000, -3])
def test_a_flipped_byte_in_a_chunk_is_found_and_never_read(archive_copy, place):
    flip(archive_copy / IMAGE, place)
    [problem] = problems(archive_copy)
    assert problem.startswith(f"{IMAGE}: is damaged")
    dataset = lenssim.open_archive(archive_copy).dataset("train", "cdm")
    with pytest.raises((ValueError, ArchiveError)):
        dataset["image"].isel(sample=slice(0, 32)).load()
    plain = xr.open_zarr(archive_copy / "images.zarr", group="train/cdm", chunks=None)
    with pytest.raises(ValueError, match="checksum"):
        plain["image"].isel(sample=slice(0, 32)).load()


@pytest.mark.parametrize("path", [SHARD, "images.zarr/train/cdm/source_x/c/0"])
def test_a_flipped_byte_in_another_file_is_found(archive_copy, path):
    flip(archive_copy / path, 1000 if path == SHARD else 30)
    [problem] = problems(archive_copy)
    assert problem.startswith(f"{path}: is damaged")


def test_a_flipped_byte_in_metadata_is_found_and_the_group_not_opened(archive_copy):
    path = "images.zarr/train/cdm/zarr.json"
    flip(archive_copy / path, 100)
    assert problems(archive_copy)[0].startswith(f"{path}: is damaged")
    with pytest.raises(ArchiveError, match=r"cdm/zarr.json"):
        lenssim.open_archive(archive_copy).dataset("train", "cdm")


def test_any_flipped_byte_in_the_manifest_is_found(archive_copy):
    path = archive_copy / "archive.json"
    sound = path.read_bytes()
    for place in np.linspace(0, len(sound) - 1, 60).astype(int):
        flip(path, place)
        with pytest.raises(ArchiveError, match=r"archive.json"):
            lenssim.open_archive(archive_copy)
        path.write_bytes(sound)
    lenssim.open_archive(archive_copy)


def test_a_truncated_shard_and_missing_and_unlisted_files_are_named(archive_copy):
    shard = archive_copy / SHARD
    shard.write_bytes(shard.read_bytes()[:-512])
    (archive_copy / IMAGE).unlink()
    (archive_copy / "images.zarr/train/cdm/extra").write_text("")
    first, second, third = problems(archive_copy)
    assert first.startswith("images.zarr/train/cdm/extra: is not listed")
    assert second == f"{IMAGE}: is missing"
    assert third.startswith(f"{SHARD}: has ")


def test_a_missing_chunk_raises_instead_of_reading_as_nothing(archive_copy):
    (archive_copy / IMAGE).unlink()
    dataset = lenssim.open_archive(archive_copy).dataset("train", "cdm")
    with pytest.raises(ArchiveError, match="is missing"):
        dataset["image"].isel(sample=0).load()


def forge(folder, name, change):
    """Changes a column of train/cdm, and every checksum with it."""
    path = f"images.zarr/train/cdm/{name}"
    array = zarr.open_array(folder / path, mode="r+")
    values = array[:]
    change(values)
    array[:] = values
    changed = [str(p.relative_to(folder)) for p in (folder / path).rglob("*") if p.is_file()]
    reseal(folder, changed)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("label", lambda values: values.__setitem__(5, 2)),
        ("axion_mass", lambda values: values.__setitem__(5, 1e-23)),
        ("substructure_mass", lambda values: values.__setitem__(5, -1.0)),
        ("source_e1", lambda values: values.__setitem__(5, 3.0)),
        ("lens_theta_e", lambda values: values.__setitem__(5, np.nan)),
        ("subhalo_mass", lambda values: values.__setitem__((5, 2), np.nan)),
        ("sample", lambda values: values.__setitem__(5, 7)),
    ],
)
def test_values_that_cannot_be_are_found_though_every_checksum_fits(archive_copy, name, change):
    forge(archive_copy, name, change)
    assert any(f"train/cdm/{name}" in problem for problem in problems(archive_copy))


def test_images_that_were_not_made_from_the_specification_are_found(archive_copy):
    forge(archive_copy, "image", lambda values: values.__setitem__((5, 30, 30), 1.0))
    assert problems(archive_copy) == []
    [problem] = problems(archive_copy, deep=70)
    assert problem == (
        "zarr of train/cdm, sample 5: its image differs from the one rendered again in 1 pixels"
    )


def test_columns_that_were_not_drawn_are_found(archive_copy):
    forge(archive_copy, "source_x", lambda values: values.__setitem__(9, 0.1))
    [problem] = problems(archive_copy, deep=70)
    assert problem == "zarr of train/cdm, sample 9: its source_x is not the one that was drawn"


def brighten(images, by):
    """Changes one pixel of one image, e-/s."""
    images[5, 30, 30] += by


def test_another_platform_is_allowed_a_tolerance_and_no_more(archive_copy):
    reseal(archive_copy, platform="another machine")
    # a hundredth of the noise is a little more than 1e-4 e-/s
    forge(archive_copy, "image", lambda values: brighten(values, 1e-4))
    found = verify(archive_copy, deep=70)
    assert not found.is_same_platform
    assert found.problems == ()
    forge(archive_copy, "image", lambda values: brighten(values, 1e-2))
    [problem] = problems(archive_copy, deep=70)
    assert "sample 5: its image differs from the one rendered again by more" in problem


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", "a//b", "a\\b"])
def test_a_manifest_whose_paths_leave_the_archive_is_refused(archive_copy, path):
    manifest = json.loads((archive_copy / "archive.json").read_text())
    manifest["files"][path] = {"size": 1, "sha256": "0" * 64}
    (archive_copy / "archive.json").write_text(json.dumps(manifest))
    with pytest.raises(ArchiveError, match="leaves the archive"):
        lenssim.open_archive(archive_copy)


def test_a_link_out_of_the_archive_is_not_followed(archive_copy, tmp_path):
    secret = tmp_path / "secret"
    shutil.move(archive_copy / IMAGE, secret)
    (archive_copy / IMAGE).symlink_to(secret)
    [problem] = problems(archive_copy)
    assert problem == f"{IMAGE}: is a link that leaves the archive"


def test_an_absurd_number_of_images_is_refused(archive_copy):
    manifest = json.loads((archive_copy / "archive.json").read_text())
    manifest["groups"][0]["count"] = 10**12
    (archive_copy / "archive.json").write_text(json.dumps(manifest))
    with pytest.raises(ArchiveError, match="count"):
        lenssim.open_archive(archive_copy)


def change_metadata(folder, change):
    path = "images.zarr/train/cdm/zarr.json"
    metadata = json.loads((folder / path).read_text())
    change(metadata["consolidated_metadata"]["metadata"])
    (folder / path).write_text(json.dumps(metadata))
    reseal(folder, [path])


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays["sample"].update(shape=[10**12]),
        lambda arrays: arrays["image"].update(shape=[10**12, 64, 64]),
        lambda arrays: arrays["subhalo_x"].update(shape=[70, 10**12]),
        lambda arrays: arrays["label"].update(data_type="object"),
        lambda arrays: arrays["source_x"].update(codecs=[{"name": "numcodecs.pickle"}]),
        lambda arrays: arrays["image"]["codecs"][0]["configuration"].update(
            codecs=[{"name": "numcodecs.pickle", "configuration": {}}]
        ),
        lambda arrays: arrays.pop("image"),
        lambda arrays: arrays["image"].pop("shape"),
    ],
)
def test_hostile_metadata_is_refused_before_anything_is_decoded(archive_copy, change):
    change_metadata(archive_copy, change)
    with pytest.raises(ArchiveError, match=r"cdm/zarr.json"):
        lenssim.open_archive(archive_copy).dataset("train", "cdm")
    assert problems(archive_copy)


def test_a_shard_with_a_pickle_in_it_is_found(archive_copy):
    shard = archive_copy / SHARD
    shard.write_bytes(shard.read_bytes().replace(b"00000040.image.npy", b"00000040.image.pkl"))
    reseal(archive_copy, [SHARD])
    found = problems(archive_copy, deep=70)
    assert any(SHARD in problem for problem in found)


def test_only_simulated_images_can_be_rendered_again(archive_folder):
    with pytest.raises(UsageError, match="negative"):
        verify(archive_folder, deep=-1)
