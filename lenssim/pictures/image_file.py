"""One image of a FITS or .npy file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.storage.npy import UnsafeFileError, read_npy

FloatArray = NDArray[np.float64]

UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, UnsafeFileError)
"""What the functions of this module raise where a file is not what it should be."""

_SCALE_KEYS = ("PIXSCALE", "PIXELSCL", "SCALE")
"""Keys of a FITS header that hold the size of a pixel in arcsec."""


@contextmanager
def open_fits(path: Path) -> Iterator[Any]:
    """An open FITS file; what is odd in its header is not reported."""
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as units:
            yield units


def read_image(path: Path) -> FloatArray:
    """The array of a .npy file, or the first image of a FITS file, of any shape."""
    if path.suffix == ".npy":
        return np.asarray(read_npy(path.read_bytes()), dtype=np.float64)
    with open_fits(path) as units:
        return np.asarray(_first_image(units).data, dtype=np.float64)


def pixel_scale_of(path: Path) -> float | None:
    """Arcsec that a side of a pixel measures, by the header of a FITS file; None if it is not said.

    From the first image: a key such as PIXSCALE, or its celestial coordinates.
    """
    if path.suffix == ".npy":
        return None
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    with open_fits(path) as units:
        header = _first_image(units).header
        for key in _SCALE_KEYS:
            if key in header:
                return float(header[key])
        coordinates = WCS(header)
        if not coordinates.has_celestial:
            return None
        return float(np.mean(proj_plane_pixel_scales(coordinates.celestial)) * 3600.0)


def _first_image(units: Any) -> Any:
    for unit in units:
        if unit.is_image and unit.data is not None:
            return unit
    raise ValueError("it holds no image")
