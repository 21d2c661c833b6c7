"""WebDataset shards: what stock readers see, and the same bytes every time."""

import io
import json
import math
import tarfile

import numpy as np
import pytest

import lenssim
from lenssim.archive.manifest import GroupRecord
from lenssim.archive.schema import columns_of
from lenssim.archive.webdataset import encode_shard, key_prefix, parse_shard, pixels_of
from lenssim.errors import ArchiveError

RECORD = GroupRecord(split="train", substructure_class="cdm", count=2_000_000, shard_size=50)


def columns(samples, num_pix=8):
    generator = np.random.default_rng(0)
    made = {
        column.name: generator.random(len(samples)).astype(column.dtype)
        for column in columns_of("cdm")
        if column.is_scalar
    }
    made["axion_mass"][:] = np.nan
    made["image"] = generator.normal(size=(len(samples), num_pix, num_pix)).astype(np.float32)
    return made


@pytest.mark.parametrize("samples", [range(3), range(98, 103), range(1_999_990, 2_000_000)])
def test_python_s_own_tar_reader_finds_every_value(samples):
    made = columns(samples)
    content = encode_shard("B", RECORD, samples, made).tobytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [
            f"B-train-cdm-{index:08d}.{ending}"
            for index in samples
            for ending in ("image.npy", "json")
        ]
        for row in range(len(samples)):
            image, text = (
                tar.extractfile(member).read() for member in members[2 * row : 2 * row + 2]
            )
            np.testing.assert_array_equal(
                np.load(io.BytesIO(image), allow_pickle=False), made["image"][row]
            )
            values = json.loads(text)
            assert values["sample"] == samples[row]
            assert values["axion_mass"] is None
            assert values["source_x"] == made["source_x"][row]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
            (0, 0, 0, "", "", 0o644)
        }


def test_gnu_tar_agrees(tmp_path):
    import shutil
    import subprocess

    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    (tmp_path / "a.tar").write_bytes(encode_shard("B", RECORD, range(5), columns(range(5))))
    run = subprocess.run(["tar", "-tf", "a.tar"], cwd=tmp_path, capture_output=True, check=True)
    assert len(run.stdout.splitlines()) == 10
    assert not run.stderr


def test_decoding_gives_back_what_was_encoded():
    samples = range(98, 103)
    made = columns(samples)
    content = encode_shard("B", RECORD, samples, made).tobytes()
    parts = parse_shard(content, "B", RECORD, samples, 8)
    np.testing.assert_array_equal(pixels_of(content, parts, 5, 8), made["image"])
    assert [sample["sample"] for sample in parts.scalars] == list(samples)
    assert [sample["lens_e1"] for sample in parts.scalars] == made["lens_e1"].tolist()
    last = content[4 * parts.stride :]
    np.testing.assert_array_equal(pixels_of(last, parts, 1, 8), made["image"][4:])


def pickled_member():
    """A shard whose first member is a pickle under the name of an image."""
    content = encode_shard("B", RECORD, range(2), columns(range(2))).copy()
    content[512:520] = np.frombuffer(b"\x80\x04cos\nsy", dtype=np.uint8)
    return content.tobytes()


def foreign_member():
    """A shard whose first member is a pickle under its own name."""
    content = encode_shard("B", RECORD, range(2), columns(range(2))).tobytes()
    return content.replace(b"image.npy", b"image.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a tar file" * 200,
        encode_shard("B", RECORD, range(2), columns(range(2))).tobytes()[:-10_240],
        encode_shard("B", RECORD, range(1, 3), columns(range(2))).tobytes(),
        pickled_member(),
        foreign_member(),
    ],
)
def test_anything_else_is_refused(content):
    with pytest.raises(ArchiveError):
        parse_shard(content, "B", RECORD, range(2), 8)


def test_a_dot_in_a_model_s_name_does_not_end_the_key():
    assert key_prefix("wide.v2", RECORD) == "wide_v2-train-cdm-"


def test_stock_webdataset_reads_the_archive_s_images(archive_folder):
    import webdataset

    url = f"{archive_folder}/shards/train/axion-{{000000..000002}}.tar"
    dataset = webdataset.WebDataset(url, shardshuffle=False).decode().to_tuple("image.npy", "json")
    group = lenssim.open_archive(archive_folder).dataset("train", "axion").load()
    count = 0
    for image, values in dataset:
        row = group.isel(sample=values["sample"])
        np.testing.assert_array_equal(image, row["image"])
        assert math.isclose(values["axion_mass"], row["axion_mass"], rel_tol=0)
        count += 1
    assert count == 70


def file_hashes(folder, start=""):
    return {
        path: record.sha256
        for path, record in lenssim.open_archive(folder).manifest.files.items()
        if path.startswith(start)
    }


def test_exporting_gives_the_bytes_that_generating_both_gives(archive_folder, tmp_path):
    options = {"train": 0, "test": 20, "chunk_size": 16, "shard_size": 32}
    lenssim.generate("B", ["axion", "cdm", "no_sub"], out=tmp_path, **options)
    assert not file_hashes(tmp_path, "shards/")
    lenssim.export(tmp_path, workers=2)
    assert file_hashes(tmp_path, "shards/") == file_hashes(archive_folder, "shards/test/")
    assert not (tmp_path / ".progress").exists()


def test_shards_alone_hold_the_same_images(archive_folder, tmp_path):
    archive = lenssim.generate(
        "B", ["cdm"], train=70, test=0, out=tmp_path, formats=("webdataset",), shard_size=32,
        chunk_size=32,
    )  # fmt: skip
    assert file_hashes(tmp_path, "shards/") == file_hashes(archive_folder, "shards/train/cdm")
    assert not (tmp_path / "images.zarr").exists()
    with pytest.raises(ArchiveError, match="as WebDataset shards only"):
        archive.dataset("train", "cdm")
    assert not lenssim.verify(tmp_path, deep=3).problems


def test_a_zarr_archive_is_not_begun_again_for_its_shards(archive_folder, tmp_path):
    lenssim.generate("B", ["cdm"], train=4, test=0, out=tmp_path)
    with pytest.raises(lenssim.UsageError, match="lenssim export"):
        lenssim.generate("B", ["cdm"], train=4, test=0, out=tmp_path, formats=("webdataset",))


def test_samples_of_all_classes_have_the_same_keys(archive_folder):
    keys = {}
    for name in ("axion", "cdm", "no_sub"):
        archive = lenssim.open_archive(archive_folder)
        _, scalars = archive.read_shard(archive.record("train", name), 0)
        keys[name] = [list(sample) for sample in scalars]
        for column in columns_of("axion"):
            if column.is_scalar and name not in column.classes:
                assert all(sample[column.name] is None for sample in scalars)
    assert "vortex_length" in keys["no_sub"][0]
    assert keys["axion"] == keys["cdm"] == keys["no_sub"]


def test_shards_whose_samples_lack_other_classes_columns_are_read(monkeypatch):
    """Version 0.1.0 wrote the columns of the sample's own class only."""
    monkeypatch.setattr("lenssim.archive.webdataset.BASE_COLUMNS", columns_of("cdm"))
    content = encode_shard("B", RECORD, range(3), columns(range(3))).tobytes()
    monkeypatch.undo()
    parts = parse_shard(content, "B", RECORD, range(3), 8)
    assert "vortex_length" not in parts.scalars[0]
    assert [sample["sample"] for sample in parts.scalars] == [0, 1, 2]


def test_no_path_user_or_time_leaks_into_a_shard(archive_folder):
    import getpass

    for shard in archive_folder.glob("shards/*/*.tar"):
        content = shard.read_bytes()
        assert str(archive_folder).encode() not in content
        assert getpass.getuser().encode() not in content
