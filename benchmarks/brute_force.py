"""Pixel fluxes of a lensed Sersic source to about 1e-6 of the noise, in plain numpy.

The independent check of the fast engine: it shares no code with lenssim. Every pixel is cut into
cells until the cell's image in the source plane is small beside its distance from the source's
centre, and two Gauss rules agree on the cell. The formulas are written apart, too: the isothermal
ellipsoid is the series of Tessore & Metcalf 2015 (eq. 23-29), where the engine has the closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma

from lenssim.population import LensSystem

FLAT_RADIUS = 1e-4
"""Radius in arcsec inside which the profile is flat, as in lenstronomy's SERSIC_ELLIPSE."""

CHUNK = 20_000
"""Cells that are traced together."""

MAX_DEPTH = 24

_SERIES_TERMS = 60


@dataclass(frozen=True)
class BruteForce:
    """A lens and its source; lengths in arcsec, fluxes in e-/s."""

    system: LensSystem
    zero_point: float
    rays: list[int] = field(default_factory=list)

    def source_position(self, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Lens equation, beta = z - alpha(z), in complex notation."""
        lens = self.system
        beta = z - self._halo(z - complex(lens.lens_x, lens.lens_y))
        beta = beta - (lens.lens_gamma1 + 1j * lens.lens_gamma2) * np.conj(z)
        for x, y, theta_e in zip(lens.subhalo_x, lens.subhalo_y, lens.subhalo_theta_e, strict=True):
            beta -= theta_e**2 / np.conj(z - complex(x, y))
        if lens.vortex_theta_e > 0:
            half = 0.5 * lens.vortex_length * np.exp(1j * lens.vortex_angle)
            offset = z - complex(lens.vortex_x, lens.vortex_y)
            # integral of theta_V^2 / (offset - t half) over the line, t uniform in [-1, 1]
            integral = np.log((offset + half) / (offset - half)) / (2 * half)
            beta -= np.conj(lens.vortex_theta_e**2 * integral)
        return beta

    def _halo(self, z: NDArray[np.complex128]) -> NDArray[np.complex128]:
        lens = self.system
        ellipticity = complex(lens.lens_e1, lens.lens_e2)
        f = abs(ellipticity)
        direction = np.exp(0.5j * np.angle(ellipticity)) if f else 1.0
        q = (1 - f) / (1 + f)
        turned = z / direction
        angle = q * turned.real + 1j * turned.imag
        with np.errstate(invalid="ignore"):
            term = angle / np.abs(angle)
        squared = term * term
        total = term.copy()
        for n in range(1, _SERIES_TERMS if f else 1):
            term = term * (-f * (2 * n - 1) / (2 * n + 1)) * squared
            total += term
        return direction * lens.lens_theta_e * np.sqrt(q) * 2 / (1 + q) * total

    def radius(self, beta: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Elliptical radius of a vector from the source's centre: a norm."""
        lens = self.system
        ellipticity = complex(lens.source_e1, lens.source_e2)
        stretched = beta - ellipticity * np.conj(beta)
        return np.abs(stretched) / np.sqrt(1 - abs(ellipticity) ** 2)

    def brightness(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sersic profile in e-/s/arcsec^2."""
        n, size = self.system.source_n_sersic, self.system.source_r_sersic
        b = 1.9992 * n - 0.3271
        flux = 10 ** (0.4 * (self.zero_point - self.system.source_magnitude))
        central = flux * b ** (2 * n) / (2 * np.pi * n * size**2 * gamma(2 * n))
        with np.errstate(under="ignore"):
            return central * np.exp(-b * (np.maximum(radius, FLAT_RADIUS) / size) ** (1 / n))

    def log_slope(self, radius: NDArray[np.float64]) -> NDArray[np.float64]:
        """|d ln I / d R| in 1/arcsec; it falls with R for n > 1, and rises for n < 1."""
        n, size = self.system.source_n_sersic, self.system.source_r_sersic
        b = 1.9992 * n - 0.3271
        return b / (n * size) * (np.maximum(radius, FLAT_RADIUS) / size) ** (1 / n - 1)

    def pixel_fluxes(
        self, num_pix: int, pixel_scale: float, negligible: float
    ) -> NDArray[np.float64]:
        """Fluxes in e-/s, shape (num_pix, num_pix), axes (y, x).

        Args:
            num_pix: pixels on a side.
            pixel_scale: arcsec.
            negligible: flux in e-/s of a cell that is not worth to be cut.
        """
        fluxes = np.zeros(num_pix * num_pix)
        places = (np.arange(num_pix) - 0.5 * (num_pix - 1)) * pixel_scale
        centres = (places[None, :] + 1j * places[:, None]).ravel()
        stack = [(np.full(centres.size, 0.5 * pixel_scale), centres, np.arange(centres.size))]
        smallest = 0.5 * pixel_scale / 2**MAX_DEPTH
        while stack:
            half, z, pixel = stack.pop()
            if z.size > CHUNK:
                stack += [(half[i::2], z[i::2], pixel[i::2]) for i in range(2)]
                continue
            middle, is_dark, is_smooth = self._judge(z, half, negligible)
            area = 4 * half**2
            np.add.at(fluxes, pixel[is_dark], (middle * area)[is_dark])
            fine = self._gauss(z[is_smooth], half[is_smooth], 5)
            coarse = self._gauss(z[is_smooth], half[is_smooth], 4)
            agrees = np.zeros(z.size, dtype=bool)
            agrees[is_smooth] = np.abs(fine - coarse) * area[is_smooth] <= negligible
            np.add.at(fluxes, pixel[agrees], fine[agrees[is_smooth]] * area[agrees])
            left = ~(is_dark | agrees) & (half > smallest)
            if left.any():
                quarter = 0.5 * half[left]
                corners = np.array([-1 - 1j, 1 - 1j, -1 + 1j, 1 + 1j])
                stack.append(
                    (
                        np.repeat(quarter, 4),
                        (z[left, None] + quarter[:, None] * corners).ravel(),
                        np.repeat(pixel[left], 4),
                    )
                )
        return fluxes.reshape(num_pix, num_pix)

    def _judge(self, z, half, negligible):
        """Brightness in the middle of cells, which are dark all over, and where it is smooth."""
        lens = self.system
        around = np.array([a + 1j * b for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b])
        with np.errstate(divide="ignore", invalid="ignore"):
            beta = self.source_position(z)
            edge = self.source_position(z[:, None] + half[:, None] * around)
        self.rays.append(9 * z.size)
        extent = 1.2 * np.nanmax(self.radius(edge - beta[:, None]), axis=1)
        distance = self.radius(beta - complex(lens.source_x, lens.source_y))
        is_singular = np.abs(z - complex(lens.lens_x, lens.lens_y)) < 2 * half
        has_mass = np.zeros(z.size, dtype=bool)
        for x, y, theta_e in zip(lens.subhalo_x, lens.subhalo_y, lens.subhalo_theta_e, strict=True):
            has_mass |= (np.abs(z - complex(x, y)) < 3 * half) & (half > 0.004 * theta_e)
        jumps = np.zeros(z.size, dtype=bool)
        if lens.vortex_theta_e > 0:
            along = np.exp(1j * lens.vortex_angle)
            offset = (z - complex(lens.vortex_x, lens.vortex_y)) / along
            beyond = np.maximum(np.abs(offset.real) - 0.5 * lens.vortex_length, 0)
            is_singular |= np.hypot(beyond, offset.imag) < 1.5 * half
            jumps = is_singular
            jump = 2 * np.pi * lens.vortex_theta_e**2 / lens.vortex_length
            extent = extent + np.where(
                jumps, jump / (1 - abs(complex(lens.source_e1, lens.source_e2))), 0
            )
        nearest = np.maximum(distance - extent, 0)
        nearest[~np.isfinite(nearest)] = 0
        bound = self.brightness(nearest) * 4 * half**2
        # a cell that the line crosses keeps a part of its flux as error, of a random sign
        is_dark = (bound <= np.where(jumps, 20, 1) * negligible) & ~has_mass
        slope = np.maximum(self.log_slope(nearest), self.log_slope(distance + extent))
        is_flat = distance + extent < FLAT_RADIUS
        is_smooth = (extent < 0.35 * nearest) & (extent * slope < 0.6)
        is_smooth |= is_flat
        middle = np.nan_to_num(self.brightness(distance))
        return middle, is_dark, ~(is_dark | is_singular | has_mass) & is_smooth

    def _gauss(self, z, half, nodes):
        """Mean brightness over cells, by a product Gauss-Legendre rule."""
        lens = self.system
        place, weight = np.polynomial.legendre.leggauss(nodes)
        offsets = (place[None, :] + 1j * place[:, None]).ravel()
        weights = (weight[None, :] * weight[:, None]).ravel() / 4
        beta = self.source_position(z[:, None] + half[:, None] * offsets)
        self.rays.append(beta.size)
        return self.brightness(self.radius(beta - complex(lens.source_x, lens.source_y))) @ weights
