"""Images of files: what is wrong with them is said in one sentence."""

import bz2
import gzip
import os
from pathlib import Path

import fsspec
import numpy as np
import pytest
from astropy.io import fits

from lensmodels.errors import DataError, LensmodelsError
from lensmodels.image_files import read_images
from lenssim.cutouts.settings import CutoutSettings

REAL = Path(os.environ.get("LENSSIM_REAL_IMAGES", Path(__file__).parents[4] / "shared" / "real"))
"""Public files of telescopes, which are not part of the project."""

EUCLID = "euclid_q1/102018665_NEG570040238507752998.fits"


@pytest.mark.parametrize("compress", [None, gzip.compress, bz2.compress])
def test_a_cube_in_fits_compressed_or_not(image, tmp_path, compress):
    cube = np.stack([image, 2 * image])
    fits.PrimaryHDU(cube).writeto(tmp_path / "cube.fits")
    file = (
        tmp_path
        / {None: "cube.fits", gzip.compress: "c.fits.gz", bz2.compress: "c.fits.bz2"}[compress]
    )
    if compress is not None:
        file.write_bytes(compress((tmp_path / "cube.fits").read_bytes()))
    found = read_images(file, 64).images
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, cube)


def test_tile_compressed_fits(image, tmp_path):
    file = tmp_path / "lens.fits.fz"
    compressed = fits.CompImageHDU(image, name="SCI", quantize_level=0, compression_type="GZIP_2")
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(file)
    np.testing.assert_array_equal(read_images(file, 64).images, image[None])


def test_big_endian_scaled_integers(tmp_path):
    hdu = fits.PrimaryHDU(np.arange(64 * 64, dtype=">i2").reshape(64, 64))
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 1.0
    hdu.writeto(tmp_path / "lens.fits")
    with fits.open(tmp_path / "lens.fits") as file:
        expected = file[0].data
    np.testing.assert_allclose(read_images(tmp_path / "lens.fits", 64).images[0], expected)


def test_remote_fits(image, write, contract, celestial):
    content = write("lens.fits", (image, "SCI", celestial(BUNIT="electron/s"))).read_bytes()
    with fsspec.open("memory://inputs/lens.fits.gz", "wb") as file:
        file.write(gzip.compress(content))
    found = read_images("memory://inputs/lens.fits.gz", 64, contract)
    np.testing.assert_array_equal(found.images, image[None])
    assert found.notes == ()


def test_a_header_that_keeps_the_contract_is_taken(image, write, contract, celestial):
    header = celestial(BUNIT="ELECTRONS/S", MAGZERO=25.72)
    assert read_images(write("lens.fits", (image, "SCI", header)), 64, contract).notes == ()
    # a run of version 0.1.0 keeps no contract: nothing is converted
    other = write("other.fits", (image, "SCI", celestial(0.05, BUNIT="ADU")))
    assert read_images(other, 64).notes == ()


def test_what_is_assumed_is_noted(image, write, contract, celestial):
    def notes(name, header):
        return read_images(write(name, (image, "SCI", header)), 64, contract).notes

    assert notes("a.fits", celestial(MAGZERO=25.72)) == ()
    assert notes("b.fits", celestial()) == ("the header has no unit: taken as e-/s",)
    assert notes("c.fits", None) == (
        "the header has no unit and no pixel scale: taken as e-/s and 0.101 arcsec",
    )


def test_another_image_is_converted_to_the_contract(image, write, contract, celestial):
    header = celestial(0.05, BUNIT="ADU", MAGZERO=24.6)
    file = write("lens.fits", (np.pad(image, 68), "SCI", header))
    found = read_images(file, 64, contract)
    # the spot keeps its flux: 2 pi 25 pixels
    factor = 10 ** (0.4 * (25.72 - 24.6))
    assert found.images.sum() == pytest.approx(factor * 2 * np.pi * 25, rel=1e-3)
    assert [note.split(" ")[0:3] for note in found.notes] == [
        ["64", "x", "64"],
        ["pixels", "are", "multiplied"],
        ["pixels", "of", "0.05"],
    ]


def test_arrays_are_converted_by_the_same_options(image, tmp_path, contract):
    np.save(tmp_path / "large.npy", np.stack([np.pad(image, 20), np.pad(2 * image, 20)]))
    with pytest.raises(DataError, match="104 x 104 pixels where the model takes 64 x 64"):
        read_images(tmp_path / "large.npy", 64, contract)
    settings = CutoutSettings(pixel_scale=0.101, zero_point=25.72)
    found = read_images(tmp_path / "large.npy", 64, contract, settings=settings)
    np.testing.assert_allclose(found.images, np.stack([image, 2 * image]), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (np.zeros((32, 32)), "it has 32 x 32 pixels where the model takes 64 x 64: give its"),
        (np.zeros((2, 3, 64, 64)), r"float64 of shape \(2, 3, 64, 64\); the model takes"),
        (np.zeros((0, 64, 64)), "of shape"),
        (np.zeros((64, 64), complex), "complex128"),
        (np.zeros((64, 64), bool), "bool"),
        (np.array(["64"]), "of shape"),
    ],
)
def test_an_array_of_the_wrong_shape_or_kind(content, sentence, tmp_path):
    np.save(tmp_path / "wrong.npy", content)
    with pytest.raises(DataError, match=sentence):
        read_images(tmp_path / "wrong.npy", 64)


def test_a_fits_of_more_dimensions(tmp_path):
    fits.PrimaryHDU(np.zeros((2, 3, 64, 64))).writeto(tmp_path / "hyper.fits")
    with pytest.raises(DataError, match=r"has 4 axes \(64 x 64 x 3 x 2\)"):
        read_images(tmp_path / "hyper.fits", 64)


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not an array of numbers.*numpy\.save") as raised:
        read_images(tmp_path / "objects.npy", 64)
    assert "allow_pickle" not in str(raised.value)  # numpy's advice


def test_npz_of_one_array_is_read_and_of_several_refused(image, tmp_path):
    np.savez(tmp_path / "one.npz", images=image)
    np.testing.assert_array_equal(read_images(tmp_path / "one.npz", 64).images, image[None])
    np.savez(tmp_path / "two.npz", images=image, masks=image)
    with pytest.raises(DataError, match=r"holds 2 arrays \(images, masks\) where one is read"):
        read_images(tmp_path / "two.npz", 64)
    (tmp_path / "broken.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:200])
    with pytest.raises(DataError, match=r"broken\.npz is not an array"):
        read_images(tmp_path / "broken.npz", 64)


def test_a_file_name_in_capitals(image, tmp_path):
    with (tmp_path / "STACK.NPY").open("wb") as file:
        np.save(file, image)
    np.testing.assert_array_equal(read_images(tmp_path / "STACK.NPY", 64).images, image[None])


def test_a_fits_without_an_image(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    with pytest.raises(DataError, match="holds no image"):
        read_images(tmp_path / "none.fits", 64)


@pytest.mark.parametrize("name", ["broken.fits", "broken.npy"])
def test_a_damaged_file(name, tmp_path):
    (tmp_path / name).write_bytes(b"not what it says it is" * 200)
    with pytest.raises(DataError, match=name):
        read_images(tmp_path / name, 64)


@pytest.mark.parametrize("size", [100, 3000, 9000, 20000])
def test_a_fits_that_is_cut_short(size, image, write):
    file = write("lens.fits", (image, "SCI", None))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DataError, match=r"lens\.fits"):
        read_images(file, 64)


def test_pixels_that_are_no_numbers(image, tmp_path):
    broken = np.stack(5 * [image])
    broken[3, 5, 5] = np.nan
    broken[3, 6, 5] = np.inf
    np.save(tmp_path / "nan.npy", broken)
    with pytest.raises(DataError, match="image 3 has 2 pixels that are NaN or infinite"):
        read_images(tmp_path / "nan.npy", 64)
    np.save(tmp_path / "large.npy", image.astype(np.float64) * 1e300)
    with pytest.raises(DataError, match="NaN or infinite"):
        read_images(tmp_path / "large.npy", 64)


@pytest.mark.skipif(not REAL.is_dir(), reason="the public files of telescopes are not here")
@pytest.mark.parametrize(
    ("name", "hdu", "sentences"),
    [
        (EUCLID, None, ["8 images: DES_G, DES_R, VIS", "--band"]),
        (EUCLID, "NIR_H", ["no image NIR_H", "NIR_H_BGSUB (22)"]),
        ("hst_slacs/slacs2303+1422_image.fits", None, ["pixel scale", "--pixel-scale"]),
        ("hst_slacs/slacs2303+1422_noise_map.fits", None, ["named like a noise map"]),
        ("hst_slacs/slacs2303+1422_psf.fits", None, ["or a PSF"]),
        ("cosmos/test_galaxy_images_23.5.fits", None, ["2 images"]),
        ("cosmos/real_galaxy_catalog_23.5.fits", None, ["holds no image"]),
    ],
)
def test_public_files_are_refused_for_the_right_reason(name, hdu, sentences, contract):
    with pytest.raises(LensmodelsError) as caught:
        read_images(REAL / name, 64, contract, settings=CutoutSettings(hdu=hdu))
    for sentence in sentences:
        assert sentence in str(caught.value)


@pytest.mark.skipif(not REAL.is_dir(), reason="the public files of telescopes are not here")
def test_public_files_are_converted(contract):
    found = read_images(REAL / EUCLID, 64, contract, settings=CutoutSettings(band="VIS"))
    own = fits.getdata(REAL / EUCLID, "VIS_BGSUB")
    np.testing.assert_allclose(found.images[0], 2.8054 * own[18:82, 18:82], rtol=1e-4)
    settings = CutoutSettings(pixel_scale=0.05, unit="e-/s")
    found = read_images(
        REAL / "hst_slacs/slacs2303+1422_image.fits", 64, contract, settings=settings
    )
    assert found.images.shape == (1, 64, 64)
    assert read_images(REAL / "deeplense/cdm.npy", 64, contract).images.max() == 1.0
