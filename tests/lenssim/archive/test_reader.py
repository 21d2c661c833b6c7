"""Opening archives: what is printed of one, and what is said of a place that is none."""

import re

import pytest

import lenssim
from lenssim.archive import Location, read_manifest
from lenssim.archive.content import first_images
from lenssim.errors import ArchiveError
from lenssim.preview import draw_preview


def test_an_archive_is_printed_in_a_few_lines(archive_folder):
    archive = lenssim.open_archive(archive_folder)
    lines = repr(archive).splitlines()
    assert lines[0] == f"Archive at {archive_folder}"
    assert "  train:     axion 70, cdm 70, no_sub 70" in lines
    assert "  test:      axion 20, cdm 20, no_sub 20" in lines
    assert "  images:    model B 2.0.0, 64 x 64 pixels of 0.101 arcsec" in lines
    assert "  stored as: zarr, webdataset" in lines
    assert f"  spec:      sha256 {archive.manifest.spec_sha256}" in lines
    assert len(lines) < 12
    assert str(archive.manifest).splitlines()[1:] == lines[1:]
    assert repr(archive.manifest) == str(archive.manifest)


def test_a_damaged_specification_is_printed_too(archive_folder):
    manifest = read_manifest(Location(archive_folder))
    damaged = manifest.model_copy(update={"spec": {"name": "B"}})
    assert "the specification is damaged" in repr(damaged)


def test_damaged_pixels_are_one_sentence(archive_copy, tmp_path):
    path = archive_copy / "images.zarr/train/cdm/image/c/0/0/0"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 8] + bytes(len(content) - len(content) // 8))
    archive = lenssim.open_archive(archive_copy)
    for call in (
        lambda: first_images(archive, archive.record("train", "cdm"), 3),
        lambda: draw_preview(archive, tmp_path / "picture.png"),
    ):
        with pytest.raises(ArchiveError, match=r"is damaged \(.*\); find where with") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_the_manifest_of_an_archive_is_no_archive(archive_folder):
    advice = f"open its folder, {archive_folder}."
    with pytest.raises(ArchiveError, match=f"not an archive but a file .*{re.escape(advice)}"):
        lenssim.open_archive(archive_folder / "archive.json")
