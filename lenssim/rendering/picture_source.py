"""Surface brightness of a source that is a picture: a cubic spline.

The spline is that of `lenssim.pictures.preparation`; the position of a ray in it is a turn, a
scaling and a shift of its source-plane position.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel
from lenssim.pictures import Picture

FloatArray = NDArray[np.float64]

MAX_COVERED = 1.5
"""Pixels of a picture between the centres of two pixels of the image, up to which these resolve it:
a picture's PSF is about twice as wide."""


class PictureSource(NamedTuple):
    """A picture in the source plane.

    Attributes:
        along_x, along_y: index of a column for each arcsec along x and y; of a row they are
            -along_y and along_x.
        column, row: index at the position of the source.
        brightness: of a coefficient, e-/s/arcsec^2.
        resolved: distance between samples, arcsec, up to which they and their differences tell all.
        coefficients: of the spline; of shape (0, 0) where the source is none.
    """

    along_x: float
    along_y: float
    column: float
    row: float
    brightness: float
    resolved: float
    coefficients: FloatArray


NO_PICTURE = PictureSource(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.empty((0, 0)))


def picture_source(picture: Picture, flux: float, scale: float, angle: float) -> PictureSource:
    """A picture as a source.

    Args:
        picture: prepared.
        flux: of the source, e-/s.
        scale: size in the source plane over that of the picture.
        angle: by which it is turned, radians.
    """
    per_arcsec = 1.0 / (scale * picture.step)
    return PictureSource(
        per_arcsec * math.cos(angle),
        per_arcsec * math.sin(angle),
        picture.centre_x,
        picture.centre_y,
        flux / scale**2,
        MAX_COVERED * scale * picture.pixel_scale,
        picture.coefficients,
    )


@inlined
def _weights(t):
    """Weights of the cubic B-spline at four samples; t, in [0, 1), is measured from the second."""
    s = 1.0 - t
    return (
        s * s * s / 6.0,
        (4.0 - 3.0 * t * t * (2.0 - t)) / 6.0,
        (4.0 - 3.0 * s * s * (2.0 - s)) / 6.0,
        t * t * t / 6.0,
    )


@inlined
def _slopes(t):
    """Derivatives of `_weights` by t."""
    s = 1.0 - t
    return -0.5 * s * s, t * (1.5 * t - 2.0), s * (2.0 - 1.5 * s), 0.5 * t * t


@inlined
def _place(x, y, picture):
    """Column and row, as fractions, of a position relative to the source, and whether four samples
    are around it in each direction.
    """
    column = picture.column + picture.along_x * x + picture.along_y * y
    row = picture.row - picture.along_y * x + picture.along_x * y
    rows, columns = picture.coefficients.shape
    return column, row, 1.0 <= column < columns - 2.0 and 1.0 <= row < rows - 2.0


@kernel
def picture_brightness(x, y, picture, out):
    """Surface brightness at positions relative to the source.

    Args:
        x, y: arcsec, shape (n,).
        picture: a `PictureSource`.
        out: receives the brightness, e-/s/arcsec^2, shape (n,); zero outside of the picture, and
            where a position is NaN.
    """
    coefficients = picture.coefficients
    for i in range(out.shape[0]):
        column, row, is_inside = _place(x[i], y[i], picture)
        out[i] = 0.0
        if not is_inside:
            continue
        j = int(column)
        k = int(row)
        a_0, a_1, a_2, a_3 = _weights(column - j)
        b_0, b_1, b_2, b_3 = _weights(row - k)
        total = 0.0
        for m in range(4):
            c = coefficients[k - 1 + m]
            b = b_0 if m == 0 else b_1 if m == 1 else b_2 if m == 2 else b_3
            total += b * (a_0 * c[j - 1] + a_1 * c[j] + a_2 * c[j + 1] + a_3 * c[j + 2])
        out[i] = picture.brightness * total


@kernel
def picture_derivatives(x, y, picture, out, by_x, by_y):
    """Surface brightness at positions relative to the source, and its gradient.

    Args:
        x, y, picture, out: as of `picture_brightness`.
        by_x, by_y: receive the derivatives by the position, e-/s/arcsec^3, shape (n,).
    """
    coefficients = picture.coefficients
    along_x, along_y = picture.along_x, picture.along_y
    for i in range(out.shape[0]):
        column, row, is_inside = _place(x[i], y[i], picture)
        out[i] = 0.0
        by_x[i] = 0.0
        by_y[i] = 0.0
        if not is_inside:
            continue
        j = int(column)
        k = int(row)
        a_0, a_1, a_2, a_3 = _weights(column - j)
        d_0, d_1, d_2, d_3 = _slopes(column - j)
        b_0, b_1, b_2, b_3 = _weights(row - k)
        e_0, e_1, e_2, e_3 = _slopes(row - k)
        total = 0.0
        by_column = 0.0
        by_row = 0.0
        for m in range(4):
            c = coefficients[k - 1 + m]
            b = b_0 if m == 0 else b_1 if m == 1 else b_2 if m == 2 else b_3
            e = e_0 if m == 0 else e_1 if m == 1 else e_2 if m == 2 else e_3
            value = a_0 * c[j - 1] + a_1 * c[j] + a_2 * c[j + 1] + a_3 * c[j + 2]
            total += b * value
            by_row += e * value
            by_column += b * (d_0 * c[j - 1] + d_1 * c[j] + d_2 * c[j + 1] + d_3 * c[j + 2])
        out[i] = picture.brightness * total
        by_x[i] = picture.brightness * (by_column * along_x - by_row * along_y)
        by_y[i] = picture.brightness * (by_column * along_y + by_row * along_x)


@kernel
def mark_texture(marked, tracer, beta_x, beta_y, area, allowed):
    """Marks pixels that cover more of the picture than their samples resolve.

    Args:
        marked: shape (num_pix, num_pix), changed.
        tracer: a `RayTracer`, whose source is a picture.
        beta_x, beta_y: source-plane positions of the pixel centres, arcsec, with a border around,
            shape (side, side).
        area: of a pixel, arcsec^2.
        allowed: error allowed in each pixel, e-/s, flat.
    """
    num_pix = marked.shape[0]
    border = (beta_x.shape[0] - num_pix) // 2
    resolved = tracer.picture.resolved
    for row in range(num_pix):
        i = row + border
        for column in range(num_pix):
            j = column + border
            x, y = beta_x[i, j], beta_y[i, j]
            extent = 0.0
            for step in (-1, 1):
                extent = max(extent, math.hypot(beta_x[i, j + step] - x, beta_y[i, j + step] - y))
                extent = max(extent, math.hypot(beta_x[i + step, j] - x, beta_y[i + step, j] - y))
            if extent <= resolved:
                continue
            radius = math.hypot(x - tracer.source_x, y - tracer.source_y)
            nearest = max(radius - extent, 0.0)
            bound = tracer.amplitude * math.exp(tracer.b * (1.0 - nearest / tracer.r_sersic))
            if bound * area > allowed[row * num_pix + column]:
                marked[row, column] = True
