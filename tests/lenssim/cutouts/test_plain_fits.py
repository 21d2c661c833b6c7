"""Files of plain images are read as astropy reads them; all others are left to it."""

import io

import numpy as np
import pytest
from astropy.io import fits

from lenssim.cutouts.fits_file import image_extensions, opened_fits
from lenssim.cutouts.plain_fits import PlainFits, find_units

IMAGE = np.arange(42, dtype=np.float32).reshape(6, 7)


def content(*hdus):
    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


def scaled_integers():
    hdu = fits.ImageHDU(np.arange(42, dtype=np.int16).reshape(6, 7), name="SCI")
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 3.0, 7
    return hdu


PLAIN = {
    "an image alone": [fits.PrimaryHDU(IMAGE)],
    "a named primary": [fits.PrimaryHDU(IMAGE, fits.Header({"EXTNAME": "Sci"}))],
    "extensions": [
        fits.PrimaryHDU(),
        fits.ImageHDU(IMAGE, name="vis_bgsub"),
        fits.ImageHDU(np.stack([IMAGE] * 2), name="CUBE", ver=2),
        fits.ImageHDU(),
        fits.ImageHDU(IMAGE.astype(np.float64)),
    ],
    "scaled integers": [fits.PrimaryHDU(), scaled_integers()],
    "many cards": [
        fits.PrimaryHDU(IMAGE, fits.Header([(f"KEY{n}", n, "'' / NAXIS = 3") for n in range(99)]))
    ],
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_images_are_those_of_astropy(kind):
    held = content(*PLAIN[kind])
    with fits.open(io.BytesIO(held)) as expected, opened_fits("a.fits", held) as file:
        assert isinstance(file, PlainFits)
        assert len(file) == len(expected)
        assert image_extensions(file) == image_extensions(expected)
        for number, hdu in enumerate(expected):
            assert file[number].header == hdu.header
            if hdu.data is not None:
                np.testing.assert_array_equal(file[number].data, hdu.data)
                assert file[number].data.dtype == hdu.data.dtype


TABLE = fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=[1.0])])
WHOLE = content(fits.PrimaryHDU(), fits.ImageHDU(IMAGE, name="SCI"))
OTHERS = {
    "a table": content(fits.PrimaryHDU(), TABLE),
    "a compressed image": content(fits.PrimaryHDU(), fits.CompImageHDU(IMAGE)),
    "a quote in a name": content(fits.PrimaryHDU(), fits.ImageHDU(IMAGE, name="IT'S")),
    "cut short": WHOLE[:-100],
    "something behind": WHOLE + b"\n" * 2880,
    "not a FITS file": b"<html>not found</html>" * 500,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_everything_else_is_left_to_astropy(kind):
    assert find_units(OTHERS[kind]) is None
