"""Which extension is the image: never a noise map, weights, flags or a PSF in silence."""

import numpy as np
import pytest
from astropy.io import fits

from lenssim.cutouts.fits_file import Extension
from lenssim.cutouts.selection import choose_image, companion_extension, noise_kind
from lenssim.errors import ImportFileError, UsageError

from .conftest import cutout, sky_header


def extension(name, number=1, shape=(64, 64), version=1):
    return Extension(number, name, version, shape)


def extensions(*names):
    return [extension(name, number) for number, name in enumerate(names, 1)]


@pytest.mark.parametrize(
    "name",
    [
        "ERR", "ERROR", "VIS_RMS", "RMS", "NOISE_MAP", "NOISEMAP", "VAR_POISSON", "VARIANCE",
        "IVAR", "WHT", "WEIGHT", "WEIGHTS", "DQ", "FLG", "FLAGS", "MASK", "MSK", "SEGMENTATION",
        "DES_G_PSF", "PSF1", "CTX", "CON", "EXP", "BKG", "SCI_ERR", "MODEL",
    ],
)  # fmt: skip
def test_names_of_what_goes_with_an_image(name):
    assert extension(name).companion is not None
    assert not extension(name).is_science


@pytest.mark.parametrize("name", ["SCI", "VIS_BGSUB", "VIS", "F814W", "IMAGE", "", "NIR_Y"])
def test_names_of_images(name):
    assert extension(name).companion is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_sci_is_read_wherever_it_stands(order):
    names = ["FLG", "RMS", "SCI"]
    chosen = choose_image("a.fits", extensions(*(names[i] for i in order)))
    assert chosen.name == "SCI"


def test_sci_is_preferred_to_other_images():
    assert choose_image("a.fits", extensions("MODEL_A", "F814W")).name == "F814W"
    assert choose_image("a.fits", extensions("F814W", "SCI")).name == "SCI"


EUCLID = ("DES_G_BGSUB", "DES_G_PSF", "VIS_BGSUB", "VIS_PSF", "VIS_RMS", "NIR_Y_BGSUB")


def test_several_bands_are_listed_and_one_is_chosen():
    held = extensions(*EUCLID)
    with pytest.raises(
        ImportFileError, match=r"3 images: DES_G, VIS, NIR_Y; choose one by --band NAME"
    ):
        choose_image("a.fits", held)
    for band, number in (("VIS", 3), ("vis", 3), ("Y", 6), ("NIR_Y", 6), ("des-g", 1)):
        assert choose_image("a.fits", held, band=band).number == number
    for hdu in ("VIS_BGSUB", "vis_bgsub", 3, "3"):
        assert choose_image("a.fits", held, hdu=hdu).number == 3
    with pytest.raises(UsageError, match="no band F814W: it has DES_G, VIS, NIR_Y"):
        choose_image("a.fits", held, band="F814W")
    with pytest.raises(UsageError, match=r"no image SCI; it holds DES_G_BGSUB \(1\), "):
        choose_image("a.fits", held, hdu="SCI")
    assert choose_image("a.fits", held, hdu="VIS_RMS").number == 5


def test_a_band_is_known_by_the_filter_of_the_header_too():
    held = extensions("SCI", "ERR")
    assert choose_image("a.fits", held, band="F814W", filters={1: "F814W"}).number == 1
    with pytest.raises(UsageError, match="no band F606W: it has F814W"):
        choose_image("a.fits", held, band="F606W", filters={1: "F814W"})
    with pytest.raises(UsageError, match="does not say which bands"):
        choose_image("a.fits", held, band="F606W")


def test_two_of_one_name_are_told_apart_by_version():
    held = [extension("SCI", 1), extension("SCI", 4, version=2)]
    with pytest.raises(ImportFileError, match=r"SCI \(1\), SCI \(4\); choose one by --hdu NUMBER"):
        choose_image("a.fits", held)
    with pytest.raises(UsageError, match="choose one by its number"):
        choose_image("a.fits", held, hdu="SCI")
    assert choose_image("a.fits", held, hdu="SCI,2").number == 4


def test_an_error_map_is_read_only_if_it_is_asked_for():
    held = extensions("ERR", "WHT")
    with pytest.raises(ImportFileError, match=r"holds only ERR \(1\), WHT \(2\)"):
        choose_image("a.fits", held)
    assert choose_image("a.fits", held, hdu="ERR").number == 1


@pytest.mark.parametrize("name", ["lens_wht.fits", "lens_noise_map.fits", "lens_psf.fits.gz"])
def test_a_file_that_is_named_like_a_map_is_asked_about(name):
    with pytest.raises(ImportFileError, match="--hdu 0 if it is an image of the sky"):
        choose_image(name, [extension("", 0)])
    assert choose_image("psf_matched_lens.fits", [extension("", 0)]).number == 0


@pytest.mark.parametrize(
    ("image", "kind", "found"),
    [
        ("VIS_BGSUB", "noise", "VIS_RMS"),
        ("VIS_BGSUB", "psf", "VIS_PSF"),
        ("DES_G_BGSUB", "psf", "DES_G_PSF"),
        ("DES_G_BGSUB", "noise", None),
        ("VIS_BGSUB", "mask", None),
    ],
)
def test_the_companions_of_a_band_are_its_own(image, kind, found):
    held = extensions(*EUCLID)
    chosen = next(each for each in held if each.name == image)
    companion = companion_extension(chosen, held, kind)
    assert (companion and companion.name) == found


def test_the_companions_of_hubble_s_chips_have_their_version():
    held = [
        extension(name, number, version=version)
        for number, (name, version) in enumerate(
            [("SCI", 1), ("ERR", 1), ("DQ", 1), ("SCI", 2), ("ERR", 2), ("DQ", 2)], 1
        )
    ]
    assert companion_extension(held[3], held, "noise").number == 5
    assert companion_extension(held[0], held, "mask").number == 3


def test_the_map_that_needs_least_is_taken():
    held = extensions("SCI", "CON", "WHT", "VAR_POISSON", "VAR", "ERR")
    assert companion_extension(held[0], held, "noise").name == "ERR"
    assert companion_extension(held[0], held[:-1], "noise").name == "VAR"
    assert [noise_kind(name) for name in ("VIS_RMS", "IVAR", "WHT", "VARIANCE")] == [
        "rms",
        "inverse-variance",
        "weight",
        "variance",
    ]


def test_an_image_among_tables(image, tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=[1.0])])
    science = fits.ImageHDU(image, sky_header(MAGZERO=25.72))
    fits.HDUList([fits.PrimaryHDU(), table, science]).writeto(tmp_path / "a.fits")
    np.testing.assert_allclose(cutout(tmp_path / "a.fits").image, image[14:46, 14:46], rtol=1e-6)
