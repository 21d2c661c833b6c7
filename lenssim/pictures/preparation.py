"""A picture of a galaxy as a source: without what is not the galaxy, ready for interpolation.

1. The background is taken out, and the galaxy is found: the connected region around the middle that
   stands out of the noise.
2. What lies outside fades to zero over a few pixels, so that the noise of empty sky is not lensed,
   and nothing ends at the edge of the stamp. Noise and PSF inside the region stay.
3. The picture is sampled `OVERSAMPLING` times more finely by its Fourier transform, which is exact
   for a periodic band-limited function, and a cubic spline goes through these samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from lenssim.errors import SpecError

FloatArray = NDArray[np.float64]

OVERSAMPLING = 2
"""Samples of the spline along each side of a pixel of the picture."""

MARGIN = 3
"""Zeros around the coefficients of a picture: the spline ends within them."""

MIN_SIDE, MAX_SIDE = 8, 2048
"""Pixels along a side of a picture."""

DETECTION = 5.0
"""Brightness that belongs to the galaxy, in standard deviations of the smoothed picture's noise if
pixels were independent: 2.5 of that of drizzled pictures, where neighbours are correlated."""

_SMOOTHING = 2.0
"""Standard deviation in pixels of the Gaussian that smooths a picture to find the galaxy."""

_FAINTEST = 1e-3
"""Share of the smoothed peak below which nothing belongs to the galaxy, without noise too."""

_GROWTH = 4
"""Pixels that are added around what was found."""

_FADE = 4.0
"""Pixels over which the picture fades to zero, inside the edge of the region."""

MAX_LOST = 0.05
"""Share of the galaxy's light that may lie beyond the edge of the stamp, or fade at it."""

_DENSITY_B = 1.9992 - 0.3271
"""b_n of an exponential profile, as `lenssim.rendering.source.sersic_b` has it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A source of flux one, in arcsec on the sky of the picture.

    Attributes:
        coefficients: of the cubic spline of the brightness, one over arcsec^2, shape (n, m), axes
            (y, x), with zeros around.
        pixel_scale: of the picture as it was, arcsec.
        step: between the coefficients, arcsec.
        centre_x, centre_y: index of the galaxy's centroid among columns and rows.
        half_light_radius: of the circle about the centroid that holds half of the light, arcsec.
        bound_radius, bound_amplitude: an exponential profile that is nowhere fainter: its
            half-light radius in arcsec, and its brightness there.
    """

    coefficients: FloatArray
    pixel_scale: float
    step: float
    centre_x: float
    centre_y: float
    half_light_radius: float
    bound_radius: float
    bound_amplitude: float

    def samples(self) -> FloatArray:
        """Brightness at the positions of the coefficients, one over arcsec^2."""
        return ndimage.convolve(
            self.coefficients,
            np.outer([1.0, 4.0, 1.0], [1.0, 4.0, 1.0]) / 36.0,
            mode="constant",
        )


def prepare(
    pixels: FloatArray,
    pixel_scale: float,
    name: str,
    *,
    background: float = 0.0,
    noise_sigma: float | None = None,
) -> Picture:
    """The picture of a galaxy as a source.

    Args:
        pixels: as it is in the file, any unit, axes (y, x).
        pixel_scale: arcsec.
        name: of the picture, for messages.
        background: to be taken out, unit of the pixels.
        noise_sigma: standard deviation of the sky; measured at the edge of the stamp if not given.

    Raises:
        SpecError: if it is no image of a galaxy that fits its stamp.
    """
    _check(pixels, name)
    values = pixels - background
    region = _galaxy_region(values, _edge_noise(values) if noise_sigma is None else noise_sigma)
    weight = _weight(region)
    light = values * weight
    flux = float(light.sum())
    if not flux > 0:
        raise SpecError(
            f"The picture {name} has a flux of {flux:.3g} in its middle, which must be positive: "
            "replace it, or leave it out by source.images.exclude."
        )
    _check_edge(values, region, flux, name)
    rows, columns = (np.flatnonzero(weight.any(axis=axis)) for axis in (1, 0))
    cut = light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / (flux * pixel_scale**2)
    cut = np.pad(cut, [(2, _fast_odd(side + 4) - side - 2) for side in cut.shape])
    step = pixel_scale / OVERSAMPLING
    samples = upsampled(cut, OVERSAMPLING)
    coefficients = ndimage.spline_filter(samples, order=3, mode="grid-wrap")
    coefficients = np.ascontiguousarray(np.pad(coefficients, MARGIN))
    samples = np.pad(samples, MARGIN)
    x, y = np.arange(samples.shape[1]), np.arange(samples.shape[0])
    total = samples.sum()
    centre_x = float(samples.sum(axis=0) @ x / total)
    centre_y = float(samples.sum(axis=1) @ y / total)
    radii = step * np.hypot(x - centre_x, (y - centre_y)[:, np.newaxis])
    half_light_radius = _half_light_radius(samples, radii, step)
    bound_radius, bound_amplitude = _bound(
        samples[MARGIN::OVERSAMPLING, MARGIN::OVERSAMPLING],
        radii[MARGIN::OVERSAMPLING, MARGIN::OVERSAMPLING],
        half_light_radius,
    )
    return Picture(
        coefficients,
        pixel_scale,
        step,
        centre_x,
        centre_y,
        half_light_radius,
        bound_radius,
        bound_amplitude,
    )


def upsampled(values: FloatArray, factor: int) -> FloatArray:
    """Samples of the periodic band-limited function through values, `factor` times as dense.

    Args:
        values: shape (n, m), both odd.
        factor: samples for each value along an axis.

    Returns:
        Shape (factor n, factor m), whose every `factor`-th value is one of `values`.
    """
    rows, columns = values.shape
    spectrum = fft.fftshift(fft.fft2(values))
    padded = np.zeros((factor * rows, factor * columns), dtype=np.complex128)
    first = [size // 2 - side // 2 for size, side in zip(padded.shape, values.shape, strict=True)]
    padded[first[0] : first[0] + rows, first[1] : first[1] + columns] = spectrum
    return np.asarray(fft.ifft2(fft.ifftshift(padded)).real * factor**2, dtype=np.float64)


def _fast_odd(least: int) -> int:
    """The least odd number from `least` on that has no prime factor above 7: its FFT is fast."""
    number = least + 1 - least % 2
    while _without_factors(number, (3, 5, 7)) > 1:
        number += 2
    return number


def _without_factors(number: int, primes: tuple[int, ...]) -> int:
    for prime in primes:
        while number % prime == 0:
            number //= prime
    return number


def _check(pixels: FloatArray, name: str) -> None:
    """Refuses what is no picture."""
    if pixels.ndim != 2:
        raise SpecError(
            f"The picture {name} has the shape {pixels.shape}: one image, of two dimensions, is "
            "needed."
        )
    if not MIN_SIDE <= min(pixels.shape) <= max(pixels.shape) <= MAX_SIDE:
        raise SpecError(
            f"The picture {name} has the shape {pixels.shape}: each side must have between "
            f"{MIN_SIDE} and {MAX_SIDE} pixels."
        )
    count = int(np.count_nonzero(~np.isfinite(pixels)))
    if count:
        raise SpecError(
            f"The picture {name} has {count} pixels that are not finite: replace them, or leave it "
            "out by source.images.exclude."
        )


def _edge_noise(values: FloatArray) -> float:
    """Standard deviation of the two outermost rows and columns, by their median deviation."""
    edge = np.concatenate(
        [values[:2].ravel(), values[-2:].ravel(), values[:, :2].ravel(), values[:, -2:].ravel()]
    )
    return float(1.4826 * np.median(np.abs(edge - np.median(edge))))


def _galaxy_region(values: FloatArray, noise_sigma: float) -> NDArray[np.bool_]:
    """The connected region of the galaxy: where the smoothed picture stands out, and a rim."""
    smooth = ndimage.gaussian_filter(values, _SMOOTHING, mode="constant")
    rows, columns = values.shape
    middle = smooth[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    peak = float(middle.max())
    # noise of independent pixels after a Gaussian of this width
    smooth_sigma = noise_sigma / (2.0 * math.sqrt(math.pi) * _SMOOTHING)
    threshold = max(DETECTION * smooth_sigma, _FAINTEST * peak)
    labels, _ = ndimage.label(smooth > threshold)
    row, column = np.unravel_index(int(np.argmax(middle)), middle.shape)
    own = labels[row + rows // 4, column + columns // 4]
    region = (labels == own) if own else np.zeros(values.shape, dtype=bool)
    grown = ndimage.binary_dilation(region, iterations=_GROWTH)
    return np.asarray(ndimage.binary_fill_holes(grown), dtype=bool)


def _weight(region: NDArray[np.bool_]) -> FloatArray:
    """One inside a region, zero outside and at the edge of the stamp, and a smooth fall between."""
    # of the outermost pixel of the region, and at the edge of the stamp, the distance is one
    distance = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip((distance - 1.0) / _FADE, 0.0, 1.0)))


def _check_edge(values: FloatArray, region: NDArray[np.bool_], flux: float, name: str) -> None:
    """Refuses a galaxy whose light reaches beyond its stamp.

    As much as lies in the two outermost pixels would lie in the two beyond them, or more.
    """
    edge = np.ones(values.shape, dtype=bool)
    edge[2:-2, 2:-2] = False
    lost = float(values[edge & region].sum()) / flux
    if lost > MAX_LOST:
        raise SpecError(
            f"The picture {name} is smaller than its galaxy: {lost:.0%} of the light lies in the "
            f"two outermost pixels, where at most {MAX_LOST:.0%} are allowed; cut out a larger "
            "stamp, or leave it out by source.images.exclude."
        )


def _half_light_radius(samples: FloatArray, radii: FloatArray, step: float) -> float:
    """Radius of the circle that holds half of the light, by its growth with the radius."""
    width = 0.5 * step
    rings = np.bincount((radii / width).astype(np.int64).ravel(), weights=samples.ravel())
    growth = np.cumsum(rings) / rings.sum()
    first = int(np.argmax(growth >= 0.5))
    before = growth[first - 1] if first else 0.0
    return float(width * (first + (0.5 - before) / (growth[first] - before)))


def _bound(samples: FloatArray, radii: FloatArray, half_light_radius: float) -> tuple[float, float]:
    """Half-light radius and amplitude of the faintest exponential profile that is above samples."""
    best = (half_light_radius, math.inf)
    for factor in (0.7, 1.0, 1.4, 2.0, 2.8, 4.0):
        radius = factor * half_light_radius
        amplitude = float((samples * np.exp(_DENSITY_B * (radii / radius - 1.0))).max())
        if amplitude * radius**2 < best[1] * best[0] ** 2:
            best = (radius, amplitude)
    return best[0], 1.05 * best[1]  # the spline swings a little above its samples
