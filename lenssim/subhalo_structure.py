"""How concentrated a subhalo of a given mass is, and how large."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

CONCENTRATION_SCATTER = 0.2
"""Standard deviation of log10 of the concentration at fixed mass (pyHalo's default)."""

_ARCSEC = 180.0 * 3600.0 / math.pi


def dutton_maccio_concentration(m200: ArrayLike, z: ArrayLike, h0: float) -> FloatArray:
    """Median concentration c_200 of an NFW halo: Dutton & Maccio 2014, eq. 7, 10 and 11.

    log10 c = a + b log10(M_200 h / 1e12 Msun), a = 0.520 + 0.385 exp(-0.617 z^1.21),
    b = -0.101 + 0.026 z (MNRAS 441 3359, arXiv 1402.7073). The fit covers field halos of the
    Planck cosmology above 1e10 Msun / h and z < 5; for subhalos of 1e7 to 1e10 Msun the power law
    is extended: 15 at 1e8 Msun and z = 0.5.

    Args:
        m200: mass inside 200 times the critical density at z, solar masses.
        z: redshift of the halo.
        h0: Hubble constant, km/s/Mpc.

    Returns:
        Concentration r_200 / r_s, shape of the broadcast arguments.
    """
    redshift = np.asarray(z, dtype=np.float64)
    intercept = 0.520 + (0.905 - 0.520) * np.exp(-0.617 * redshift**1.21)
    slope = -0.101 + 0.026 * redshift
    return 10.0 ** (intercept + slope * np.log10(np.asarray(m200) * (h0 / 100.0) / 1e12))


def with_scatter(
    median: ArrayLike, deviates: ArrayLike, dex: float = CONCENTRATION_SCATTER
) -> FloatArray:
    """Concentrations scattered lognormally about their median.

    Args:
        median: median concentrations.
        deviates: standard normal draws, broadcast against them.
        dex: standard deviation of log10 of the concentration.
    """
    return np.asarray(median) * 10.0 ** (dex * np.asarray(deviates))


def scale_radius(
    m200: ArrayLike, concentration: ArrayLike, critical_density: ArrayLike, lens: ArrayLike
) -> FloatArray:
    """Scale radius r_200 / c on the sky, with M_200 = 200 rho_c 4 pi / 3 r_200^3.

    Args:
        m200: solar masses.
        concentration: r_200 / r_s.
        critical_density: at the redshift of the halo, solar masses per Mpc^3.
        lens: angular-diameter distance of the halo, Mpc.

    Returns:
        r_s in arcsec, shape of the broadcast arguments.
    """
    volume = np.asarray(m200) / (200.0 * np.asarray(critical_density))
    r200 = np.cbrt(3.0 * volume / (4.0 * math.pi))
    return r200 / np.asarray(concentration) / np.asarray(lens) * _ARCSEC
