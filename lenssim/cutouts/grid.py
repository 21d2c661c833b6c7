"""North up, east left, at the pixel scale of the target.

Frames that are mirrored or turned by a multiple of 90 degrees are brought there by flips and
quarter turns, which change no pixel. Others, and those of another pixel scale, are resampled by
`drizzle`, the library of the Hubble and Webb pipelines (Fruchter & Hook 2002, PASP 114, 144): a
pixel's flux is shared among the pixels that its square overlaps, so that flux is conserved. The
noise of neighbouring pixels is then correlated: the scatter of one pixel is smaller than that of
a wide aperture would suggest.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lenssim.cutouts.settings import PIXEL_SCALE_TOLERANCE, Resampling, Target
from lenssim.cutouts.sky import ANGLE_TOLERANCE, Matrix
from lenssim.errors import ImportFileError, UsageError

Image = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIN_COVERED = 0.5
"""Share of a resampled pixel that must have data."""


_BORDER = 2
"""Pixels about a resampled image."""

_ROUNDING = 1e-4
"""Pixels by which a position from a WCS may be off: a centre between two choices is rounded up."""


@dataclass(frozen=True)
class Planes:
    """An image with what is known of its pixels, all of shape (y, x).

    Attributes:
        image: flux per pixel.
        variance: of the noise, in the square of that unit; None if it is not known.
        masked: pixels without data.
    """

    image: Image
    variance: Image | None
    masked: Mask


@dataclass(frozen=True)
class Placement:
    """How a cutout lies on the sky, and what was done to bring it there.

    Attributes:
        pixel_scale: of the cutout, arcsec; NaN if it is not known.
        file_pixel_scale: of the file, arcsec; NaN if it is not known.
        flip: of the 8 symmetries, by which the file was flipped and turned: k % 4 quarter turns
            as in numpy.rot90, after a transpose if k >= 4; -1 if the orientation is not known.
        angle: of north from up, towards the east (left), degrees, in the cutout; NaN if not known.
        resampled: whether pixels were resampled.
    """

    pixel_scale: float
    file_pixel_scale: float
    flip: int
    angle: float
    resampled: bool


def window_size(num_pix: int, jacobian: Matrix | None, target: Target) -> int:
    """Side of the window of a file that holds all that a cutout needs, pixels.

    Args:
        num_pix: of the cutout, on a side.
        jacobian: of the file, arcsec; None if it is not known.
        target: of the cutout.
    """
    if jacobian is None or target.pixel_scale is None:
        return num_pix + 4
    ratio = target.pixel_scale / float(np.hypot(*jacobian).min())
    return math.ceil(num_pix * max(ratio, 1.0) * math.sqrt(2)) + 6


def place(
    name: str,
    planes: Planes,
    centre: tuple[float, float],
    jacobian: Matrix | None,
    target: Target,
    resampling: Resampling,
    *,
    is_oriented: bool,
) -> tuple[Planes, Placement]:
    """A cutout on the grid of the target.

    Args:
        name: of the file, for messages.
        planes: of a window of the file.
        centre: of the cutout in the window, pixels x and y from 0.
        jacobian: arcsec to the east and north of a step along x and y, as `Sky.jacobian`; None if
            the pixel scale is not known.
        target: of the cutout.
        resampling: "never" to refuse what only resampling brings to the target.
        is_oriented: whether the Jacobian knows north, rather than the pixel scale alone.

    Returns:
        Planes of shape (num_pix, num_pix), and how they lie.

    Raises:
        ImportFileError: if the image would have to be resampled and may not be.
    """
    if jacobian is None:
        cut = _cut(planes, centre, target.num_pix)
        return cut, Placement(math.nan, math.nan, -1, math.nan, False)
    own_scale = math.sqrt(abs(float(np.linalg.det(jacobian))))
    scale = target.pixel_scale or own_scale
    step = np.linalg.inv(scale * np.array([[-1.0, 0.0], [0.0, 1.0]])) @ jacobian
    flip = nearest_flip(step)
    upright = Planes(
        _flipped(planes.image, flip),
        None if planes.variance is None else _flipped(planes.variance, flip),
        _flipped(planes.masked, flip),
    )
    height, width = planes.image.shape
    x, y = _flipped_position(centre, (width, height), flip)
    rest = step @ np.linalg.inv(_FLIPS[flip])
    angle = math.degrees(math.atan2(rest[1, 0] - rest[0, 1], rest[0, 0] + rest[1, 1]))
    is_same = (
        np.abs(np.hypot(*rest) - 1).max() <= PIXEL_SCALE_TOLERANCE and abs(angle) <= ANGLE_TOLERANCE
    )
    number = flip if is_oriented else -1
    if is_same:
        # north of the file is turned by `angle` in the target; it stays so
        stays = -angle if is_oriented else math.nan
        cut = _cut(upright, (x, y), target.num_pix)
        return cut, Placement(own_scale, own_scale, number, stays, False)
    if resampling == "never":
        turned = f", turned by {angle:.1f} degrees," if abs(angle) > ANGLE_TOLERANCE else ""
        raise ImportFileError(
            f"{name} has pixels of {own_scale:.4g} arcsec{turned} where {scale:.4g} are asked for: "
            "let it be resampled (--resample auto)."
        )
    cut = _drizzled(upright, (x, y), rest, target.num_pix)
    return cut, Placement(scale, own_scale, number, 0.0 if is_oriented else math.nan, True)


def _flip_matrices() -> list[Matrix]:
    """What each of the 8 symmetries makes of steps along x and y; see `Placement.flip`."""
    transpose = np.array([[0.0, 1.0], [1.0, 0.0]])
    # numpy.rot90 of an array whose rows go up turns clockwise: x to -y, y to x
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return [
        np.linalg.matrix_power(turn, k) @ (transpose if is_transposed else np.eye(2))
        for is_transposed, k in product((False, True), range(4))
    ]


_FLIPS = _flip_matrices()


def nearest_flip(step: Matrix) -> int:
    """The symmetry that comes nearest to a linear map of pixels; see `Placement.flip`."""
    return int(np.argmax([np.sum(flip * step) for flip in _FLIPS]))


def _flipped(array: NDArray, flip: int) -> NDArray:
    return np.rot90(array.T if flip >= 4 else array, flip % 4)


def flipped(array: NDArray, flip: int) -> NDArray:
    """An array (y, x) under one of the 8 symmetries; unchanged if `flip` is -1."""
    return array if flip < 0 else _flipped(array, flip)


def _flipped_position(
    position: tuple[float, float], size: tuple[int, int], flip: int
) -> tuple[float, float]:
    """Where a pixel (x, y) of an array of some size (x, y) is after a symmetry."""
    middle = 0.5 * (np.array(size) - 1)
    swapped = middle if _FLIPS[flip][0, 0] else middle[::-1]
    x, y = _FLIPS[flip] @ (np.array(position) - middle) + swapped
    return float(x), float(y)


def _cut(planes: Planes, centre: tuple[float, float], num_pix: int) -> Planes:
    """The pixels nearest to a square about a centre, padded by masked pixels."""
    x, y = (math.floor(place - 0.5 * (num_pix - 1) + 0.5 + _ROUNDING) for place in centre)
    pad = num_pix
    rows, columns = (slice(start + pad, start + pad + num_pix) for start in (y, x))
    image = np.pad(planes.image, pad)[rows, columns]
    masked = np.pad(planes.masked, pad, constant_values=True)[rows, columns]
    variance = None if planes.variance is None else np.pad(planes.variance, pad)[rows, columns]
    return Planes(image, variance, masked)


def _drizzled(planes: Planes, centre: tuple[float, float], step: Matrix, num_pix: int) -> Planes:
    """Planes resampled about a centre.

    Args:
        planes: of a window.
        centre: of the cutout in the window, pixels.
        step: from steps of its pixels to steps of the cutout's, shape (2, 2).
        num_pix: of the cutout, on a side.
    """
    try:
        from drizzle.resample import Drizzle
    except ModuleNotFoundError:
        raise UsageError(
            "Resampling needs the package drizzle: install it with `pip install lenssim[images]`, "
            "or refuse such images by --resample never."
        ) from None

    y, x = np.indices(planes.image.shape, dtype=np.float64)
    offsets = np.stack([x - centre[0], y - centre[1]])
    # drizzle leaves out pixels that reach over the edge: a border is cut off again
    side = num_pix + 2 * _BORDER
    pixmap = np.tensordot(step, offsets, axes=1) + 0.5 * (side - 1)
    area = abs(float(np.linalg.det(step)))  # of a pixel of the file, in pixels of the cutout
    good = (~planes.masked).astype(np.float32)
    scale = float(np.abs(planes.image[~planes.masked]).max(initial=0)) or 1.0
    resampler = Drizzle(kernel="square", out_shape=(side, side), fillval=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resampler.add_image(
            (np.where(planes.masked, 0.0, planes.image) / scale).astype(np.float32),
            exptime=1.0,
            pixmap=np.ascontiguousarray(np.moveaxis(pixmap, 0, -1)),
            data2=None
            if planes.variance is None
            else (np.where(planes.masked, 0.0, planes.variance) / scale**2).astype(np.float32),
            weight_map=good,
            # the value of a pixel is an average of those that it overlaps: to flux by the area
            iscale=1 / area,
            pixel_scale_ratio=1 / math.sqrt(area),
        )
    inner = slice(_BORDER, _BORDER + num_pix), slice(_BORDER, _BORDER + num_pix)
    masked = resampler.out_wht[inner] < MIN_COVERED * _full_weight(area)
    image = np.where(masked, 0.0, resampler.out_img[inner].astype(np.float64) * scale)
    variance = None
    if planes.variance is not None:
        squared = resampler.out_img2
        plane = squared[0] if isinstance(squared, list) else squared
        variance = np.where(masked, 0.0, plane[inner].astype(np.float64) * scale**2)
    return Planes(image, variance, masked)


def _full_weight(area: float) -> float:
    """Weight of a pixel that is covered by pixels of weight 1, as drizzle counts it."""
    return 1 / area
