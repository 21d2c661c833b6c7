"""A source that one Sersic ellipse does not describe: shapelets beside it, solved linearly.

Cartesian shapelets (Refregier 2003, MNRAS 338, 35) in the source plane, Hermite polynomials times
a Gaussian, are added to the Sersic ellipse. The image is linear in their amplitudes, so that these
are solved for in the same step as the parameters of lens and Sersic source (Warren & Dye 2003, ApJ
590, 673; Birrer et al. 2015, ApJ 813, 102). Centre and scale stay where the Sersic fit has left the
source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenssim import observation
from lenssim.lens_fit.map_convolution import convolve_maps
from lenssim.population import LensSystem
from lenssim.rendering.fast import ray_tracer
from lenssim.rendering.optics import point_spreads
from lenssim.rendering.point_spread import PointSpread
from lenssim.rendering.psf_convolution import reach
from lenssim.rendering.ray_tracing import lens_field, surface_brightness
from lenssim.spec import Specification

FloatArray = NDArray[np.float64]

SCALE = 0.7
"""Of the shapelets, in half-light radii of the Sersic source: of order 8 they reach from a quarter
of it to twice it."""

CELLS = 2
"""Rays along each side of a pixel."""


@dataclass(frozen=True)
class Shapelets:
    """Where the shapelets of a source are, and how many.

    Attributes:
        order: largest sum of the orders along x and y.
        x, y: centre in the source plane, arcsec.
        scale: standard deviation of the Gaussian, arcsec.
    """

    order: int
    x: float
    y: float
    scale: float

    @property
    def count(self) -> int:
        """Number of shapelets."""
        return (self.order + 1) * (self.order + 2) // 2

    def brightness(self, beta_x: FloatArray, beta_y: FloatArray) -> FloatArray:
        """Of each shapelet at source-plane positions, of unit norm, (count, ...), by rising order.

        Args:
            beta_x, beta_y: source-plane positions, arcsec.
        """
        along_x = self._functions((beta_x - self.x) / self.scale)
        along_y = self._functions((beta_y - self.y) / self.scale)
        return np.stack(
            [
                along_x[total - second] * along_y[second]
                for total in range(self.order + 1)
                for second in range(total + 1)
            ]
        )

    def summed(self, amplitudes: FloatArray, beta_x: FloatArray, beta_y: FloatArray) -> FloatArray:
        """Brightness of all together at source-plane positions, of their shape.

        Args:
            amplitudes: of the shapelets, (count,).
            beta_x, beta_y: source-plane positions, arcsec.
        """
        along_x = self._functions((beta_x - self.x) / self.scale)
        along_y = self._functions((beta_y - self.y) / self.scale)
        total = np.zeros_like(beta_x)
        for first, function in enumerate(along_x):
            along = np.zeros_like(beta_x)
            for second in range(self.order + 1 - first):
                both = first + second
                along += amplitudes[both * (both + 1) // 2 + second] * along_y[second]
            total += function * along
        return total

    def _functions(self, u: FloatArray) -> list[FloatArray]:
        """Hermite functions of orders 0 to `order`, by their recurrence."""
        found = [np.exp(-0.5 * u * u) / (math.pi**0.25 * math.sqrt(self.scale))]
        for n in range(self.order):
            following = math.sqrt(2.0 / (n + 1)) * u * found[n]
            if n:
                following = following - math.sqrt(n / (n + 1)) * found[n - 1]
            found.append(following)
        return found


def shapelet_images(
    shapelets: Shapelets,
    system: LensSystem,
    spec: Specification,
    psf: PointSpread | None = None,
    amplitudes: FloatArray | None = None,
) -> FloatArray:
    """Images of the shapelets of a source behind a smooth lens.

    Args:
        shapelets: which.
        system: the lens; its source is not used.
        spec: the instrument and flux factor.
        psf: of the image; that of the instrument if not given.
        amplitudes: of the shapelets, whose one image is wanted, (count,).

    Returns:
        e-/s for each unit of an amplitude, (count, num_pix, num_pix), or (1, num_pix, num_pix).
    """
    instrument = spec.instrument
    num_pix, pixel_scale = instrument.num_pix, instrument.pixel_scale
    if psf is None:
        own = point_spreads(instrument, [system])
        psf = None if own is None else own[0]
    border = 0 if psf is None else reach(psf, pixel_scale)
    beta_x, beta_y = source_plane(system, spec, border)
    if amplitudes is None:
        maps = shapelets.brightness(beta_x, beta_y)
    else:
        maps = shapelets.summed(amplitudes, beta_x, beta_y)[np.newaxis]
    maps *= (pixel_scale / CELLS) ** 2
    if psf is None:
        images = observation.convolve(maps.sum(axis=(1, 2)), observation.psf_kernel(instrument))
    else:
        images = convolve_maps(np.ascontiguousarray(maps), psf, num_pix, pixel_scale)
    return spec.observation.flux_factor * images


def source_plane(
    system: LensSystem, spec: Specification, border: int
) -> tuple[FloatArray, FloatArray]:
    """Where rays through the sub-cells of an image come from, arcsec.

    Args:
        system: the lens.
        spec: pixels.
        border: pixels around the image.

    Returns:
        x and y, each of shape (s, s, n, n), axes (sub-row, sub-column, row, column).
    """
    pixel_scale = spec.instrument.pixel_scale
    side = spec.instrument.num_pix + 2 * border
    centres = (np.arange(side * CELLS) + 0.5 - 0.5 * side * CELLS) * pixel_scale / CELLS
    by_cell = centres.reshape(side, CELLS).T
    shape = (CELLS, CELLS, side, side)
    x = np.ascontiguousarray(np.broadcast_to(by_cell[None, :, None, :], shape)).ravel()
    y = np.ascontiguousarray(np.broadcast_to(by_cell[:, None, :, None], shape)).ravel()
    tracer = ray_tracer(system, spec)
    field = lens_field(tracer, spec.instrument.num_pix, pixel_scale, border)
    beta_x, beta_y, light = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    surface_brightness(x, y, tracer, field, beta_x, beta_y, light)
    # a ray on the centre of the lens has no origin: it is dark far away
    return (
        np.nan_to_num(beta_x, nan=1e3).reshape(shape),
        np.nan_to_num(beta_y, nan=1e3).reshape(shape),
    )


def joint_step(
    image: FloatArray,
    model: FloatArray,
    variance: FloatArray,
    rows: FloatArray,
    precision: FloatArray,
    offset: FloatArray,
    damping: float,
) -> tuple[FloatArray, float, FloatArray]:
    """A damped step in all parameters, and the decrease of chi-square that it promises.

    Args:
        image, model, variance: e-/s and its square, (n,).
        rows: derivatives of the model, (p, n).
        precision: inverse variances of the priors, (p,).
        offset: of the parameters from the middle of their priors, (p,).
        damping: of Levenberg and Marquardt.

    Returns:
        Step, (p,); decrease expected of an undamped step; and its covariance, (p, p).
    """
    weighted = rows / variance
    matrix = weighted @ rows.T + np.diag(precision)
    gradient = weighted @ (image - model) - precision * offset
    lengths = np.sqrt(np.maximum(np.diagonal(matrix), np.finfo(float).tiny))
    scaled = matrix / np.outer(lengths, lengths)
    inverse = np.linalg.pinv(scaled, rcond=1e-10, hermitian=True)
    expected = float(gradient / lengths @ inverse @ (gradient / lengths))
    damped = scaled + damping * np.eye(len(scaled))
    step = np.linalg.solve(damped, gradient / lengths) / lengths
    return step, expected, inverse / np.outer(lengths, lengths)
