"""Images of two sources of known flux, with headers as telescopes write them."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from lenssim.cutouts.reading import Request, read_cutout
from lenssim.cutouts.settings import CutoutSettings, Target

REAL = Path(os.environ.get("LENSSIM_REAL_IMAGES", Path(__file__).parents[4] / "shared" / "real"))
"""Public files of telescopes, which are not part of the project."""

TARGET = Target(num_pix=32, pixel_scale=0.1, zero_point=25.72)


@pytest.fixture
def target():
    return TARGET


@pytest.fixture
def image():
    """A bright source right of the middle and a faint one above it, with sky noise."""
    y, x = np.mgrid[:60, :60] - 29.5
    bright = 5 * np.exp(-0.5 * ((x - 6) ** 2 + (y + 1) ** 2) / 2.0**2)
    faint = 2 * np.exp(-0.5 * ((x - 1) ** 2 + (y - 9) ** 2) / 1.5**2)
    return bright + faint + np.random.default_rng(0).normal(0, 0.01, x.shape)


def sky_header(scale=0.1, angle=0.0, size=60, *, is_mirrored=False, **cards):
    """A header whose north is turned by `angle` degrees from up, with the object in the middle."""
    turn = np.radians(angle)
    east = 1 if is_mirrored else -1
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.diag([east, 1]) * scale / 3600
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"] = header["CRPIX2"] = 0.5 * (size + 1)
    header["CRVAL1"], header["CRVAL2"] = 57.0, -50.8
    for i in (0, 1):
        for j in (0, 1):
            header[f"CD{i + 1}_{j + 1}"] = matrix[i, j]
    header.update(cards)
    return header


@pytest.fixture
def write(tmp_path):
    """Writes a FITS file of (array, name, header) extensions behind an empty primary."""

    def write(name, *extensions, primary=None):
        hdus = [fits.PrimaryHDU(header=primary)]
        hdus += [fits.ImageHDU(array, header, name=called) for array, called, header in extensions]
        fits.HDUList(hdus).writeto(tmp_path / name, overwrite=True)
        return tmp_path / name

    return write


def cutout(file, target=TARGET, **settings):
    return read_cutout(Request(str(file)), CutoutSettings(**settings), target)
