"""Images of two sources of known flux, with headers as telescopes write them."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from photutils.aperture import CircularAperture, aperture_photometry

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


def flux_at(image, x, y, radius):
    """Flux in an aperture, by photutils."""
    return float(aperture_photometry(image, CircularAperture((x, y), radius))["aperture_sum"][0])


def dihedral_copies(image, header):
    """The image in each of the 8 orientations, with a WCS that matches."""
    height, width = image.shape
    size = np.array([width, height])
    linear = np.array([[header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    reference = np.array([header["CRPIX1"], header["CRPIX2"]]) - 1
    for turns in range(4):
        for is_transposed in (False, True):
            pixels, matrix, place, shape = image, linear, reference, size
            if is_transposed:
                pixels, matrix = pixels.T, matrix[:, ::-1]
                place, shape = place[::-1], shape[::-1]
            for _ in range(turns):
                # rot90: new x is old y, new y is the width less old x
                pixels = np.rot90(pixels)
                place = np.array([place[1], shape[0] - 1 - place[0]])
                matrix = np.stack([matrix[:, 1], -matrix[:, 0]], axis=1)
                shape = shape[::-1]
            copy = header.copy()
            copy["CRPIX1"], copy["CRPIX2"] = place + 1
            for i in (1, 2):
                for j in (1, 2):
                    copy[f"CD{i}_{j}"] = matrix[i - 1, j - 1]
            yield np.ascontiguousarray(pixels), copy
