"""Point-spread functions: how the light of a point falls on the focal plane, pixels left out.

Each is given by its Fourier transform ("transfer"), by samples, and by how far it reaches. To add
one:

1. write a frozen class with the members of `PointSpread`;
2. build it in `lenssim.rendering.optics`;
3. test its transfer against a sum over its samples.

The Gaussian has a faster path of its own through `psf_convolution`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import j0

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))

GAUSSIAN_TRUNCATION = 5.0
"""Standard deviations beyond which a Gaussian is taken to be dark: it holds 4e-6 of its light."""

MOFFAT_ENCLOSED = 0.999
"""Share of the light of an endless Moffat profile inside the radius where it is cut."""

RADIAL_STEP = 1e-3
_RADIAL_MAX = 60.0
"""Grid of the tabulated transform of a Moffat profile, in units of one over its core radius."""


class PointSpread(Protocol):
    """Light of a point source, of unit flux and with its centroid at the origin."""

    def __hash__(self) -> int:
        """Equal PSFs share the tables that are made of them."""
        ...

    @property
    def fwhm(self) -> float:
        """Full width at half maximum, arcsec."""
        ...

    @property
    def radius(self) -> float:
        """Distance in arcsec, along either axis, beyond which there is no light."""
        ...

    @property
    def bandwidth(self) -> float:
        """Wave number in radians per arcsec above which the transfer is negligible."""
        ...

    def transfer(self, k_x: FloatArray, k_y: FloatArray) -> ComplexArray:
        """Fourier transform, integral of PSF exp(-i k x).

        Args:
            k_x, k_y: wave numbers along the axes, radians per arcsec, shapes (a,) and (b,).

        Returns:
            Dimensionless, one at zero, shape (b, a).
        """
        ...

    def samples(self, step: float) -> FloatArray:
        """The PSF on a square grid with a sample at the origin, normalised to a sum of one.

        Args:
            step: of the grid, arcsec.

        Returns:
            Shape (m, m), m odd, axes (y, x).
        """
        ...


def _centred_axis(radius: float, step: float) -> FloatArray:
    half = math.ceil(radius / step)
    return np.asarray(np.arange(-half, half + 1) * step, dtype=np.float64)


@dataclass(frozen=True)
class Gaussian:
    """A round Gaussian; `fwhm` in arcsec."""

    fwhm: float

    @property
    def sigma(self) -> float:
        """Standard deviation along an axis, arcsec."""
        return self.fwhm / FWHM_PER_SIGMA

    @property
    def radius(self) -> float:
        """See `PointSpread`."""
        return GAUSSIAN_TRUNCATION * self.sigma

    @property
    def bandwidth(self) -> float:
        """See `PointSpread`."""
        return 6.0 / self.sigma

    def transfer(self, k_x: FloatArray, k_y: FloatArray) -> ComplexArray:
        """See `PointSpread`."""
        along_x, along_y = (np.exp(-0.5 * (k * self.sigma) ** 2) for k in (k_x, k_y))
        return np.outer(along_y, along_x).astype(np.complex128)

    def samples(self, step: float) -> FloatArray:
        """See `PointSpread`."""
        along = np.exp(-0.5 * (_centred_axis(self.radius, step) / self.sigma) ** 2)
        values = np.outer(along, along)
        return values / values.sum()


@dataclass(frozen=True)
class Moffat:
    """I ~ (1 + r^2 / a^2)^-beta (Moffat 1969), cut where it encloses `MOFFAT_ENCLOSED`.

    The fwhm, 2 a sqrt(2^(1 / beta) - 1), is in arcsec; beta is above one.
    """

    fwhm: float
    beta: float

    @property
    def core_radius(self) -> float:
        """The radius a, arcsec."""
        return 0.5 * self.fwhm / math.sqrt(2.0 ** (1.0 / self.beta) - 1.0)

    @property
    def radius(self) -> float:
        """See `PointSpread`."""
        return self.core_radius * _moffat_cut(self.beta)

    @property
    def bandwidth(self) -> float:
        """See `PointSpread`."""
        return 20.0 / self.core_radius

    def transfer(self, k_x: FloatArray, k_y: FloatArray) -> ComplexArray:
        """See `PointSpread`."""
        reduced = self.core_radius * np.hypot(k_x[np.newaxis, :], k_y[:, np.newaxis])
        table = moffat_transform(self.beta)
        values = np.interp(reduced, np.arange(table.size) * RADIAL_STEP, table)
        return values.astype(np.complex128)

    def samples(self, step: float) -> FloatArray:
        """See `PointSpread`."""
        axis = _centred_axis(self.radius, step)
        squared = axis**2 + axis[:, np.newaxis] ** 2
        values = (1.0 + squared / self.core_radius**2) ** -self.beta
        values[squared > self.radius**2] = 0.0
        return values / values.sum()


def _moffat_cut(beta: float) -> float:
    """Radius, in core radii, that encloses `MOFFAT_ENCLOSED`: 1 - (1 + u^2)^(1 - beta)."""
    return math.sqrt((1.0 - MOFFAT_ENCLOSED) ** (1.0 / (1.0 - beta)) - 1.0)


@lru_cache(maxsize=64)
def moffat_transform(beta: float) -> FloatArray:
    """Fourier transform of a cut Moffat profile of core radius one, on the radial grid.

    Its Hankel transform, as an integral over the enclosed light.
    """
    node, weight = leggauss(600)
    shares = 0.5 * (node + 1.0) * MOFFAT_ENCLOSED
    radii = np.sqrt((1.0 - shares) ** (1.0 / (1.0 - beta)) - 1.0)
    coarse = np.arange(0.0, _RADIAL_MAX + 0.05, 0.05)
    values = j0(np.outer(coarse, radii)) @ (0.5 * weight)
    fine = np.arange(round(_RADIAL_MAX / RADIAL_STEP)) * RADIAL_STEP
    return np.asarray(CubicSpline(coarse, values)(fine), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Kernel:
    """A PSF sampled on a grid, interpolated without adding frequencies.

    `values` has shape (m, n), axes (y, x), odd or even, sums to one; its step is in arcsec. The
    centroid, wherever it falls on the grid, is the origin.
    """

    values: FloatArray
    step: float

    @property
    def fwhm(self) -> float:
        """Diameter of the disc that has the area above half of the maximum."""
        above = np.count_nonzero(self.values >= 0.5 * self.values.max())
        return 2.0 * math.sqrt(above / math.pi) * self.step

    @property
    def radius(self) -> float:
        """See `PointSpread`."""
        return float(max(np.abs(axis).max() for axis in self._axes()))

    @property
    def bandwidth(self) -> float:
        """See `PointSpread`."""
        return math.pi / self.step

    def _axes(self) -> tuple[FloatArray, FloatArray]:
        """Coordinates of the columns and of the rows from the centroid, arcsec."""
        rows, columns = self.values.shape
        x, y = np.arange(columns) * self.step, np.arange(rows) * self.step
        return x - self.values.sum(axis=0) @ x, y - self.values.sum(axis=1) @ y

    def transfer(self, k_x: FloatArray, k_y: FloatArray) -> ComplexArray:
        """See `PointSpread`."""
        x, y = self._axes()
        along_x = np.exp(-1j * np.outer(x, k_x)) * (np.abs(k_x) < self.bandwidth)
        along_y = np.exp(-1j * np.outer(k_y, y)) * (np.abs(k_y) < self.bandwidth)[:, np.newaxis]
        return along_y @ self.values @ along_x

    def samples(self, step: float) -> FloatArray:
        """See `PointSpread`."""
        axis = _centred_axis(self.radius, step)
        # the inverse transform over the band, sampled finely enough for the extent of the kernel
        count = 4 * max(self.values.shape)
        k = (np.arange(count) + 0.5 - 0.5 * count) / count * 2.0 * self.bandwidth
        along = np.exp(1j * np.outer(axis, k))
        values = (along @ self.transfer(k, k) @ along.T).real
        return np.asarray(values / values.sum(), dtype=np.float64)
