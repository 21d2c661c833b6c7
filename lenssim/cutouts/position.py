"""Where a cutout lies in its file: centre, pixels about it, and the sky at it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy.nddata import Cutout2D, NoOverlapError
from numpy.typing import NDArray

from lenssim.cutouts.pixels import without_data
from lenssim.cutouts.settings import Centre, CutoutSettings, Target
from lenssim.cutouts.sky import Matrix, Sky, check_jacobian
from lenssim.cutouts.stored_image import StoredImage
from lenssim.errors import ImportFileError, UsageError

MAX_FIELDS = 8
"""Sides of a cutout that an image may have, for its middle to be the lens without being asked."""


def centre_of(
    found: StoredImage, sky: Sky | None, centre: Centre, target: Target
) -> tuple[float, float]:
    """Pixel (x, y) of the centre of the cutout in the file, from 0 at the centre of the first.

    Args:
        found: the image.
        sky: its WCS, if it has one.
        centre: what was asked for.
        target: pixels of the cutout.

    Raises:
        ImportFileError: if it is outside of the image, or the image does not tell where it is.
    """
    height, width = found.data.shape
    if centre.kind == "pixel":
        x, y = centre.x, centre.y
    elif centre.kind == "sky":
        if sky is None:
            raise ImportFileError(
                f"{found.place} has no WCS to find {centre} by: give pixel:X,Y as --centre."
            )
        x, y = sky.pixel_of(centre)
    elif centre.kind == "brightest":
        return _brightest(found)
    else:
        if max(height, width) > MAX_FIELDS * target.num_pix:
            raise ImportFileError(
                f"{found.place} has {width} x {height} pixels: say where the lens is by --centre "
                "RA,DEC or pixel:X,Y, brightest, or a table of --positions."
            )
        return 0.5 * (width - 1), 0.5 * (height - 1)
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise ImportFileError(
            f"{centre} is outside of {found.place}, which has {width} x {height} pixels."
        )
    return x, y


def _brightest(found: StoredImage) -> tuple[float, float]:
    """The brightest pixel of the image, smoothed so that it is not a hot one."""
    from scipy.ndimage import gaussian_filter

    image = found.data.astype(np.float64)
    bad = without_data(image)
    check_any(found.place, bad)
    smooth = gaussian_filter(np.where(bad, 0.0, image), 2.0, mode="constant")
    y, x = np.unravel_index(int(np.argmax(np.where(bad, -np.inf, smooth))), image.shape)
    return float(x), float(y)


def check_any(place: str, bad: NDArray[np.bool_]) -> None:
    """Refuse an image of which every pixel is bad.

    Raises:
        ImportFileError: naming the place.
    """
    if bad.all():
        raise ImportFileError(f"{place} has no data: every pixel is NaN, a sentinel or masked.")


def jacobian_at(
    found: StoredImage,
    sky: Sky | None,
    position: tuple[float, float],
    settings: CutoutSettings,
    target: Target,
) -> tuple[Matrix | None, bool]:
    """Arcsec on the sky of steps along x and y, and whether they are known rather than assumed.

    Up is taken as north if the file does not tell.

    Args:
        found: the image.
        sky: its WCS, if it has one.
        position: pixel (x, y) of the cutout's centre.
        settings: --pixel-scale, and whether that of the target may be assumed.
        target: pixels of the cutout.

    Returns:
        Shape (2, 2); None if the pixels stay as they are, whatever their size.

    Raises:
        ImportFileError: if the file states no pixel scale, and none is given.
        UsageError: if the one that is given contradicts the WCS.
    """
    given, place = settings.pixel_scale, found.place
    if sky is not None:
        jacobian = check_jacobian(place, sky.jacobian(*position))
        scale = math.sqrt(abs(float(np.linalg.det(jacobian))))
        if given is not None and abs(given - scale) > 0.03 * scale:
            raise UsageError(
                f"{place} has pixels of {scale:.4g} arcsec by its WCS, not of --pixel-scale "
                f"{given:g}: leave it out."
            )
        return jacobian, True
    is_known = given is not None
    if given is None:
        if target.pixel_scale is None:
            return None, True
        if not settings.assumed or found.data.shape != (target.num_pix, target.num_pix):
            raise ImportFileError(
                f"{place} does not state its pixel scale (no celestial WCS): give the "
                "--pixel-scale in arcsec."
            )
        given = target.pixel_scale
    return given * np.array([[-1.0, 0.0], [0.0, 1.0]]), is_known


def window_about(
    place: str, data: NDArray[Any], position: tuple[float, float], side: int
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The pixels about a position that the image has, and where it is among them.

    Args:
        place: name of the image, for messages.
        data: of the image, shape (y, x).
        position: pixel (x, y).
        side: of the window, pixels; less of it at the edge of the image.

    Raises:
        ImportFileError: if the image does not reach there.
    """
    try:
        cut = Cutout2D(data, position, side, mode="trim")
    except NoOverlapError:
        raise ImportFileError(f"{place} does not reach to where the lens is.") from None
    x, y = cut.to_cutout_position(position)
    return np.asarray(cut.data, dtype=np.float64), (float(x), float(y))


def middle_of(
    masked: NDArray[np.bool_],
    centre: tuple[float, float],
    target: Target,
    jacobian: Matrix | None,
) -> NDArray[np.bool_]:
    """The pixels of a window that the cutout will cover, about.

    Args:
        masked: of the window, shape (y, x).
        centre: pixel (x, y) of the cutout in it.
        target: pixels of the cutout.
        jacobian: from `jacobian_at`.
    """
    ratio = 1.0
    if jacobian is not None and target.pixel_scale is not None:
        ratio = target.pixel_scale / float(np.hypot(*jacobian).max())
    half = max(0.5 * target.num_pix * ratio, 2)
    rows, columns = (
        slice(max(math.floor(middle - half), 0), math.ceil(middle + half))
        for middle in (centre[1], centre[0])
    )
    return masked[rows, columns] if masked[rows, columns].size else masked
