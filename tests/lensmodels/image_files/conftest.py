"""Images of a Gaussian spot, and the contract of a run on images like them."""

import numpy as np
import pytest
from astropy.io import fits

from lensmodels.data import ImageContract


@pytest.fixture
def contract():
    return ImageContract(
        unit="e-/s",
        pixel_scale=0.101,
        zero_point=25.72,
        psf_fwhm=0.16,
        sky_noise=0.011,
        ranges=dict.fromkeys(("noise", "sky", "flux", "peak"), (0.0, 1.0)),
    )


@pytest.fixture
def image():
    y, x = np.mgrid[:64, :64] - 31.5
    return np.exp(-0.5 * (x**2 + y**2) / 25).astype(np.float32)


@pytest.fixture
def celestial():
    """Makes a header with a pixel scale in arcsec, and what is said besides."""

    def make(scale=0.101, **cards):
        header = fits.Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CD1_1"], header["CD2_2"] = -scale / 3600, scale / 3600
        header.update(cards)
        return header

    return make


@pytest.fixture
def write(tmp_path):
    """Writes a FITS file of an empty primary and extensions, each an array, a name and a header."""

    def write(name, *extensions):
        hdus = [fits.PrimaryHDU()]
        hdus += [fits.ImageHDU(array, header, name=called) for array, called, header in extensions]
        fits.HDUList(hdus).writeto(tmp_path / name)
        return tmp_path / name

    return write
