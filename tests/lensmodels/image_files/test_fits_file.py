"""Which extension is the image: never a noise map, weights, flags or a PSF in silence."""

import numpy as np
import pytest
from astropy.io import fits

from lensmodels.errors import DataError, UsageError
from lensmodels.image_files import read_images
from lensmodels.image_files.fits_file import Extension


def extension(name, number=1, shape=(64, 64)):
    return Extension(number, name, 1, shape)


@pytest.mark.parametrize(
    "name",
    [
        "ERR", "ERROR", "VIS_RMS", "RMS", "NOISE_MAP", "NOISEMAP", "VAR_POISSON", "VARIANCE",
        "IVAR", "WHT", "WEIGHT", "WEIGHTS", "DQ", "FLG", "FLAGS", "MASK", "MSK", "SEGMENTATION",
        "DES_G_PSF", "PSF1", "CTX", "CON", "EXP", "BKG", "SCI_ERR", "MODEL",
    ],
)  # fmt: skip
def test_names_of_what_goes_with_an_image(name):
    assert extension(name).is_ancillary
    assert not extension(name).is_science


@pytest.mark.parametrize("name", ["SCI", "VIS_BGSUB", "VIS", "F814W", "IMAGE", "", "NIR_Y"])
def test_names_of_images(name):
    assert not extension(name).is_ancillary


def pixels(file, **how):
    return read_images(file, 64, **how).images


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_sci_is_read_wherever_it_stands(image, write, order):
    extensions = [
        (np.zeros((64, 64), np.uint8), "FLG", None),
        (np.full((64, 64), 0.01), "RMS", None),
        (image, "SCI", None),
    ]
    file = read_images(write("lens.fits", *(extensions[i] for i in order)), 64)
    np.testing.assert_array_equal(file.images, image[None])
    number = order.index(2) + 1
    assert file.notes == (f"extension SCI ({number}) is read, of 3 that hold images",)


def test_sci_is_preferred_to_other_images(image, write):
    file = write("lens.fits", (2 * image, "MODEL_A", None), (3 * image, "F814W", None))
    np.testing.assert_array_equal(pixels(file), 3 * image[None])
    file = write("both.fits", (3 * image, "F814W", None), (image, "SCI", None))
    np.testing.assert_array_equal(pixels(file), image[None])


def test_sci_of_another_size_is_not_replaced_by_what_fits(image, write):
    file = write("lens.fits", (np.pad(image, 18), "SCI", None), (image, "OTHER", None))
    with pytest.raises(DataError, match=r"lens\.fits\[SCI\]: it has 100 x 100 pixels"):
        read_images(file, 64)


def test_several_bands_are_listed_and_one_is_chosen(image, write):
    file = write(
        "bands.fits",
        (image, "DES_G", None),
        (image, "DES_G_PSF", None),
        (2 * image, "VIS", None),
    )
    with pytest.raises(DataError, match=r"2 images of 64 x 64 pixels: DES_G \(1\), VIS \(3\); .*"):
        read_images(file, 64)
    for hdu in ("VIS", "vis", 3, "3"):
        np.testing.assert_array_equal(pixels(file, hdu=hdu), 2 * image[None])
    with pytest.raises(UsageError, match=r"no image SCI; it holds DES_G \(1\), .*VIS \(3\)"):
        read_images(file, 64, hdu="SCI")
    with pytest.raises(UsageError, match="no image 0"):
        read_images(file, 64, hdu=0)


def test_two_of_one_name_are_told_apart_by_version(image, write):
    file = write(
        "chips.fits", (image, "SCI", None), (2 * image, "SCI", fits.Header([("EXTVER", 2)]))
    )
    with pytest.raises(DataError, match=r"SCI \(1\), SCI \(2\)"):
        read_images(file, 64)
    with pytest.raises(UsageError, match="choose one by its number"):
        read_images(file, 64, hdu="SCI")
    np.testing.assert_array_equal(pixels(file, hdu="SCI,2"), 2 * image[None])


def test_an_error_map_is_read_only_where_it_is_asked_for(image, write):
    file = write("maps.fits", (image, "ERR", None), (2 * image, "WHT", None))
    with pytest.raises(DataError, match=r"holds only ERR \(1\), WHT \(2\)"):
        read_images(file, 64)
    np.testing.assert_array_equal(pixels(file, hdu="ERR"), image[None])


@pytest.mark.parametrize("name", ["lens_wht.fits", "lens_noise_map.fits", "lens_psf.fits.gz"])
def test_a_file_that_is_named_like_a_map_is_asked_about(image, tmp_path, name):
    fits.PrimaryHDU(image).writeto(tmp_path / name)
    with pytest.raises(DataError, match="--hdu 0 if it is an image of the sky"):
        read_images(tmp_path / name, 64)
    np.testing.assert_array_equal(pixels(tmp_path / name, hdu=0), image[None])


def test_a_file_whose_name_only_mentions_a_psf_is_read(image, tmp_path):
    fits.PrimaryHDU(image).writeto(tmp_path / "psf_matched_lens.fits")
    np.testing.assert_array_equal(pixels(tmp_path / "psf_matched_lens.fits"), image[None])


def test_bands_of_another_size_are_listed_with_what_to_do(image, write, contract):
    large = np.pad(image, 18)
    file = write(
        "bands.fits", (large, "VIS", None), (image[:32, :32], "PSF", None), (large, "Y", None)
    )
    with pytest.raises(DataError, match=r"none of 64 x 64 pixels: VIS \(1\), Y \(3\); .*0\.101"):
        read_images(file, 64, contract)


def test_an_image_among_tables_and_images_of_other_sizes(image, tmp_path):
    file = tmp_path / "lens.fits"
    table = fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=[1.0])])
    images = [fits.ImageHDU(np.zeros((10, 12))), fits.ImageHDU(image.astype(">f8"))]
    fits.HDUList([fits.PrimaryHDU(), images[0], table, images[1]]).writeto(file)
    np.testing.assert_array_equal(pixels(file), image[None])
