"""Reading archives behind URLs: few requests, patience with servers, and no wrong pixel."""

import numpy as np
import pytest
import xarray as xr

import lenssim
from lenssim.archive.integrity import file_problems, group_problems
from lenssim.errors import ArchiveError, ServerError
from lenssim.preview import draw_preview
from lenssim.reproduce import verify
from lenssim.storage import location
from lenssim.storage import stores as remote
from lenssim.storage.location import Location


def same_images(url, folder):
    far = lenssim.open_archive(url).dataset("test", "cdm")["image"].values
    near = lenssim.open_archive(folder).dataset("test", "cdm")["image"].values
    return np.array_equal(far, near)


def test_opening_a_group_takes_five_requests_and_its_first_chunk_two_more(web):
    url, count = web
    dataset = lenssim.open_archive(url).dataset("train", "cdm")
    opened = count()
    assert opened <= 5
    dataset["image"].isel(sample=slice(0, 16)).load()
    assert count() - opened <= 2


def test_a_web_server_gives_the_same_images(web, archive_folder):
    assert same_images(web[0], archive_folder)
    assert not verify(web[0], deep=2, workers=2).problems


def test_a_bucket_gives_the_same_images(bucket, archive_folder):
    url = lenssim.publish(archive_folder, bucket)
    assert url == f"{bucket}/2.0.0"
    assert same_images(url, archive_folder)
    assert not verify(url, deep=2).problems


def test_plain_xarray_reads_a_bucket(bucket, archive_folder, s3_server):
    url = lenssim.publish(archive_folder, bucket)
    far = xr.open_zarr(f"{url}/images.zarr", group="train/cdm")
    near = xr.open_zarr(archive_folder / "images.zarr", group="train/cdm")
    xr.testing.assert_identical(far.load(), near.load())


def test_an_archive_is_generated_into_a_bucket(bucket):
    first = lenssim.generate("B", ["cdm"], train=4, test=0, out=f"{bucket}/a", chunk_size=2,
                             shard_size=2)  # fmt: skip
    assert first.dataset("train", "cdm").sizes["sample"] == 4
    again = lenssim.generate("B", ["no_sub"], train=4, test=0, out=f"{bucket}/a")
    assert [group.name for group in again.manifest.groups] == ["train/cdm", "train/no_sub"]
    assert not verify(f"{bucket}/a", deep=1).problems


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(remote, "FIRST_DELAY", 0.01)


@pytest.mark.parametrize("fault", [{"busy": 3}, {"cut_short": 3}])
def test_a_server_that_fails_for_a_while_is_asked_again(fault, faulty_web, impatient,
                                                        archive_folder):  # fmt: skip
    url, faults = faulty_web
    for name, times in fault.items():
        setattr(faults, name, times)
    assert same_images(url, archive_folder)
    dataset = lenssim.open_archive(url).dataset("train", "cdm")
    for name, times in fault.items():
        setattr(faults, name, times)
    assert np.isfinite(dataset["image"].values).all()


@pytest.mark.parametrize("fault", ["busy", "cut_short"])
def test_a_server_that_keeps_failing_is_one_sentence(fault, faulty_web, impatient):
    url, faults = faulty_web
    dataset = lenssim.open_archive(url).dataset("train", "cdm")
    setattr(faults, fault, 10_000)
    with pytest.raises(ArchiveError, match=r"after 5 attempts") as caught:
        lenssim.open_archive(url)
    assert "\n" not in str(caught.value)
    with pytest.raises(ArchiveError, match=r"after 5 attempts"):
        dataset["image"].load()


def test_a_server_that_stalls_is_given_up(faulty_web, impatient, monkeypatch):
    monkeypatch.setattr(remote, "SILENCE", 0.2)
    url, faults = faulty_web
    faults.stall = 1.0
    with pytest.raises(ArchiveError, match=r"after 5 attempts"):
        lenssim.open_archive(url)


NO_RANGES = "the server does not send parts of files; copy the archive to a disk"


def test_a_server_without_ranges_is_named_where_parts_of_files_are_read(faulty_web, tmp_path):
    url, faults = faulty_web
    faults.no_ranges = True
    archive = lenssim.open_archive(url)
    with pytest.raises(ServerError, match=NO_RANGES):
        archive.dataset("train", "cdm")["image"].isel(sample=0).load()
    with pytest.raises(ServerError, match=NO_RANGES):
        draw_preview(url, tmp_path / "picture.png")


@pytest.mark.parametrize("block_size", [location.BLOCK_SIZE, 1000])
def test_verify_reads_whole_files_from_a_server_without_ranges(block_size, faulty_web,
                                                               monkeypatch):  # fmt: skip
    monkeypatch.setattr(location, "BLOCK_SIZE", block_size)
    url, faults = faulty_web
    faults.no_ranges = True
    assert verify(url, deep=1).problems == ()


def test_verify_tells_a_failing_server_from_a_damaged_archive(faulty_web, impatient):
    url, faults = faulty_web
    archive = lenssim.open_archive(url)
    faults.busy = 10_000
    with pytest.raises(ServerError, match=r"after 5 attempts its server still fails \(503"):
        file_problems(archive, workers=2)
    with pytest.raises(ServerError, match="after 5 attempts"):
        group_problems(archive, archive.record("train", "cdm"))


def test_a_file_cut_short_on_the_server_is_damaged(archive_copy, serve):
    path = archive_copy / "images.zarr/train/cdm/image/c/0/0/0"
    size = path.stat().st_size
    url, _ = serve(archive_copy)
    image = lenssim.open_archive(url).dataset("train", "cdm")["image"]
    # the index is at the beginning of the file
    path.write_bytes(path.read_bytes()[: size // 2])
    with pytest.raises(ArchiveError, match=r"is damaged: it ends [0-9]+ bytes too early"):
        image.isel(sample=31).load()
    problem = f"{path.relative_to(archive_copy)}: has {size // 2} instead of {size} bytes"
    assert problem in map(str, verify(url).problems)


def test_a_place_that_can_only_be_read_is_one_sentence(faulty_web):
    with pytest.raises(ArchiveError, match="can only be read"):
        lenssim.generate("B", ["cdm"], train=1, test=0, out=f"{faulty_web[0]}/new")


def test_publishing_to_a_web_server_is_refused_at_once(faulty_web, archive_folder):
    url, faults = faulty_web
    with pytest.raises(ArchiveError, match="web server, which can only be read: write to a folder"):
        lenssim.publish(archive_folder, url)
    assert faults.requests.total() == 0


def test_a_signed_url_is_read_and_its_signature_not_shown(faulty_web, archive_folder):
    url, faults = faulty_web
    faults.query = "se=2030-01-01T00%3A00%3A00Z&sig=a%2Bb%2F%3D%3D"
    signed = f"{url}/?{faults.query}"
    assert same_images(signed, archive_folder)
    assert not verify(signed, deep=1).problems
    archive = lenssim.open_archive(signed)
    assert lenssim.open_archive(archive.location.url).manifest == archive.manifest
    assert archive.location.below("train").url == f"{url}/train?{faults.query}"
    assert "sig" not in repr(archive)
    faults.query = "sig=another"
    with pytest.raises(ServerError, match=r"access is refused \(403 Forbidden\)") as caught:
        lenssim.open_archive(signed)
    assert "sig=" not in str(caught.value)


def test_a_web_page_in_place_of_the_manifest_is_named(serve, tmp_path):
    (tmp_path / "archive.json").write_text("\n<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(ArchiveError, match="is a web page, not a manifest: check the address"):
        lenssim.open_archive(serve(tmp_path)[0])


def test_a_bucket_whose_name_is_misspelt_is_not_created(bucket):
    with pytest.raises(ServerError, match="cannot be written: the bucket does not exist"):
        lenssim.generate("B", ["cdm"], train=1, test=0, out=f"{bucket}x/new")
    with pytest.raises(ServerError, match="cannot be read: the bucket does not exist"):
        Location(f"{bucket}x").sizes("")


def test_a_url_that_nothing_speaks_is_one_sentence():
    with pytest.raises(ArchiveError, match="cannot be opened"):
        lenssim.open_archive("nonsense://bucket/archive")
