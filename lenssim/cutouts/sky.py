"""Pixel scale and orientation of an image, from the WCS of its header."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from lenssim.cutouts.settings import Centre
from lenssim.errors import ImportFileError

Matrix = NDArray[np.float64]

ANGLE_TOLERANCE = 1.0
"""Degrees between north and up that are accepted: tiles of a survey are not turned for each
object, and half a cutout of 64 pixels moves by half a pixel."""

_PLAIN = re.compile(r"[A-Z-]{4}-(TAN|SIN|ARC|STG|ZEA|CAR)")
"""Projections without further parameters; with a suffix such as -SIP there are distortions."""


@dataclass(frozen=True)
class Sky:
    """The WCS of an image.

    Attributes:
        wcs: celestial.
    """

    wcs: WCS

    @classmethod
    def of(cls, header: Header) -> Sky | None:
        """The WCS of a header; None if it has no celestial coordinates."""
        types = [str(header.get(f"CTYPE{axis}", "")).upper().strip() for axis in (1, 2)]
        if not all(types):
            return None
        try:
            wcs = _plain_wcs(header, types) or WCS(header, fix=False).celestial
            return cls(wcs) if wcs.has_celestial else None
        except Exception:  # wcslib has a dozen exceptions of its own
            return None

    def pixel_of(self, centre: Centre) -> tuple[float, float]:
        """Pixel of a position on the sky, x and y from 0 at the centre of the first pixel."""
        world = [centre.x, centre.y] if self._is_longitude_first else [centre.y, centre.x]
        x, y = self.wcs.all_world2pix([world], 0, quiet=True)[0]
        return float(x), float(y)

    def position_of(self, x: float, y: float) -> tuple[float, float]:
        """Right ascension and declination of a pixel, degrees, in the frame of the WCS."""
        (longitude,), (latitude,) = self._world(np.array([[x, y]]))
        return float(longitude), float(latitude)

    def jacobian(self, x: float, y: float) -> Matrix:
        """Arcsec to the east and to the north of a step of one pixel along x and along y.

        Args:
            x, y: where, pixels from 0.

        Returns:
            Shape (2, 2): rows are east and north, columns x and y.
        """
        around = np.array([[x, y], [x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]])
        longitude, latitude = self._world(around)
        east = (longitude - longitude[0] + 180) % 360 - 180
        east *= math.cos(math.radians(latitude[0]))
        steps = np.array([east, latitude - latitude[0]]) * 3600
        return np.stack([steps[:, 1] - steps[:, 2], steps[:, 3] - steps[:, 4]], axis=1) / 2

    @property
    def _is_longitude_first(self) -> bool:
        return self.wcs.wcs.lng == 0

    def _world(self, pixels: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        first, second = self.wcs.all_pix2world(pixels, 0).T
        return (first, second) if self._is_longitude_first else (second, first)


def _plain_wcs(header: Header, types: list[str]) -> WCS | None:
    """The WCS of a header without distortions; None if it has more than this reads.

    A hundred times as fast as astropy's reading of a whole header.
    """
    if not all(_PLAIN.fullmatch(name) for name in types) or header.get("NAXIS") != 2:
        return None
    units = [str(header.get(f"CUNIT{axis}", "deg")).strip().lower() for axis in (1, 2)]
    if any(unit not in ("", "deg") for unit in units) or "CROTA2" in header or "PV1_1" in header:
        return None
    if "LONPOLE" in header and float(header["LONPOLE"]) != 180:
        return None
    matrix = _matrix(header)
    if matrix is None or abs(np.linalg.det(matrix)) == 0:
        return None
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = types
    wcs.wcs.cunit = ["deg", "deg"]
    # the FITS standard's default is 0
    wcs.wcs.crpix = [float(header.get(f"CRPIX{axis}", 0.0)) for axis in (1, 2)]
    wcs.wcs.crval = [float(header.get(f"CRVAL{axis}", 0.0)) for axis in (1, 2)]
    wcs.wcs.cd = matrix
    wcs.wcs.set()
    return wcs


def _matrix(header: Any) -> Matrix | None:
    """From pixels to intermediate world coordinates, [world, pixel], in the units of the axes."""
    keys = [[f"{i}_{j}" for j in (1, 2)] for i in (1, 2)]
    if any(f"CD{key}" in header for row in keys for key in row):
        return np.array([[float(header.get(f"CD{key}", 0.0)) for key in row] for row in keys])
    if "CDELT1" not in header or "CDELT2" not in header:
        return None
    turn = np.array(
        [[float(header.get(f"PC{key}", key in ("1_1", "2_2"))) for key in row] for row in keys]
    )
    return np.array([[float(header["CDELT1"])], [float(header["CDELT2"])]]) * turn


def check_jacobian(place: str, jacobian: Matrix) -> Matrix:
    """The Jacobian of an image, if it is that of pixels on the sky.

    Raises:
        ImportFileError: if it is singular, or a pixel is larger than 10 arcsec.
    """
    scales = np.hypot(*jacobian)
    is_sound = np.isfinite(jacobian).all() and scales.min() > 0
    if not is_sound or abs(np.linalg.det(jacobian)) < 0.05 * scales.prod() or scales.max() > 10:
        raise ImportFileError(
            f"{place} has a WCS that does not tell its pixels: correct it, or remove it and give "
            "the --pixel-scale."
        )
    return jacobian
