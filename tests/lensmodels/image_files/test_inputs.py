"""What an input is, and its content, wherever it is."""

import bz2
import gzip

import fsspec
import numpy as np
import pytest

from lensmodels.errors import DataError, UsageError
from lensmodels.image_files import InputKind, check_is_archive, classify_input, read_images
from lensmodels.image_files.inputs import read_bytes
from lenssim import errors


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("https://example.org/observed.fits", InputKind.FITS),
        ("https://example.org/observed.fits?sig=a/b.npy", InputKind.FITS),
        ("s3://bucket/OBSERVED.FITS.GZ", InputKind.FITS),
        ("https://example.org/observed.fits.bz2", InputKind.FITS),
        ("https://example.org/observed.fits.fz", InputKind.FITS),
        ("https://example.org/observed.fit", InputKind.FITS),
        ("memory://stack.npy", InputKind.NPY),
        ("memory://stack.npy.gz", InputKind.NPY),
        ("memory://stack.npz", InputKind.NPZ),
        ("https://example.org/archives/B/1.0.0", InputKind.ARCHIVE),
        ("hf://datasets/someone/lenses", InputKind.ARCHIVE),
    ],
)
def test_a_url_is_known_by_its_suffix(name, kind):
    source = classify_input(name)
    assert (source.name, source.kind, source.is_remote) == (name, kind, True)


@pytest.mark.parametrize("name", ["lens.fits", "lens.FITS.gz", "lens.npy", "lens.npz", "lens"])
def test_a_folder_is_an_archive_and_a_file_is_known_by_its_suffix(name, tmp_path):
    with pytest.raises(DataError, match=f"{name} does not exist"):
        classify_input(tmp_path / name)
    (tmp_path / name).mkdir()
    assert classify_input(tmp_path / name).kind is InputKind.ARCHIVE


@pytest.mark.parametrize(
    "name", ["lens.h5", "lens.png", "lens.tar.gz", "lens", "archive.json", "lens.fits.zip"]
)
def test_other_files_are_refused_with_what_is_read(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match=rf"{name} has a format that is not read: .*\.npz"):
        classify_input(tmp_path / name)


def test_other_files_are_refused_without_asking_a_server():
    with pytest.raises(UsageError, match="not read"):
        classify_input("https://example.org/lens.h5?download=1")


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(name):
    with pytest.raises(errors.UsageError, match="empty"):
        classify_input(name)


def test_a_command_that_takes_archives_says_so_of_files(tmp_path):
    check_is_archive(tmp_path)
    check_is_archive("https://example.org/archives/B")
    with pytest.raises(UsageError, match="is a FITS file: name the folder or URL of an archive"):
        check_is_archive("https://example.org/lens.fits")


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress)]
)
def test_an_array_is_read_compressed_or_not(image, tmp_path, suffix, compress):
    np.save(tmp_path / "plain.npy", image)
    file = tmp_path / f"lens.npy{suffix}"
    file.write_bytes(compress((tmp_path / "plain.npy").read_bytes()))
    np.testing.assert_array_equal(read_images(file, 64).images, image[None])


def test_a_compressed_file_that_is_cut_short_is_named(image, tmp_path):
    file = tmp_path / "lens.npy.gz"
    file.write_bytes(gzip.compress(image.tobytes())[:100])
    with pytest.raises(DataError, match=r"lens\.npy\.gz is damaged"):
        read_images(file, 64)


def test_a_remote_array_is_read(image, tmp_path):
    np.save(tmp_path / "lens.npy", image)
    content = (tmp_path / "lens.npy").read_bytes()
    with fsspec.open("memory://inputs/lens.npy", "wb") as file:
        file.write(content)
    np.testing.assert_array_equal(read_images("memory://inputs/lens.npy", 64).images, image[None])
    with pytest.raises(DataError, match=r"memory://inputs/other\.npy does not exist"):
        read_images("memory://inputs/other.npy", 64)


def test_a_file_of_a_web_server_is_read_with_its_query(web_folder):
    folder, address = web_folder
    (folder / "lens.fits").write_bytes(b"content")
    assert read_bytes(classify_input(f"{address}/lens.fits?sig=a/b")) == b"content"
    with pytest.raises(DataError, match=r"nowhere\.fits does not exist"):
        read_bytes(classify_input(f"{address}/nowhere.fits"))
