"""How concentrated a subhalo of a given mass is, and how large."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

ConcentrationRelation = Literal["dutton_maccio_2014", "ludlow_2016"]

CRITICAL_OVERDENSITY = 1.686
"""Linear overdensity of a sphere that collapses, of which the peak height is in units."""

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


def ludlow_concentration(m200: ArrayLike, z: ArrayLike, h0: float, om0: float) -> FloatArray:
    """Median concentration c_200 of an NFW halo: Ludlow et al. 2016, appendix C.

    A double power law in the peak height nu = 1.686 / sigma(M, z), whose coefficients depend on z
    (MNRAS 460 1214, arXiv 1601.02624). The fit is to their model in the Planck cosmology, for 1e-8
    to 10^16.5 Msun / h and z < 9; sigma(M, z) is its fit of that power spectrum, with the growth of
    a flat universe of the given matter density. Within 2.5% of colossus's ludlow16 from 1e6 to 1e12
    Msun and z <= 1: 13.3 at 1e8 Msun and z = 0.5.

    Args:
        m200: mass inside 200 times the critical density at z, solar masses.
        z: redshift of the halo.
        h0: Hubble constant, km/s/Mpc.
        om0: matter density today over the critical one.

    Returns:
        Concentration r_200 / r_s, shape of the broadcast arguments.
    """
    stretch = 1.0 + np.asarray(z, dtype=np.float64)
    growth = _linear_growth(stretch, om0)
    height = CRITICAL_OVERDENSITY / (growth * _mass_variance(np.asarray(m200) * (h0 / 100.0)))
    bend = 4.135 - 0.564 * stretch - 0.210 * stretch**2 + 0.0557 * stretch**3 - 0.00348 * stretch**4
    relative = height * growth / bend
    amplitude = 3.395 * stretch**-0.215
    width = 0.307 * stretch**0.540
    low, high = 0.628 * stretch**-0.047, 0.317 * stretch**-0.893
    result = (
        amplitude * relative**-low * (1.0 + relative ** (1.0 / width)) ** (width * (low - high))
    )
    return np.asarray(result)


def _linear_growth(stretch: FloatArray, om0: float) -> FloatArray:
    """Growth of linear structure at 1 + z over that today, in flat space (Carroll et al. 1992)."""

    def suppression(matter: FloatArray) -> FloatArray:
        vacuum = 1.0 - matter
        return matter ** (4.0 / 7.0) - vacuum + (1.0 + 0.5 * matter) * (1.0 + vacuum / 70.0)

    matter = om0 * stretch**3 / (om0 * stretch**3 + 1.0 - om0)
    today = np.asarray(om0)
    return matter / today * suppression(today) / suppression(matter) / stretch


def _mass_variance(mass: FloatArray) -> FloatArray:
    """Root of the variance of today's linear density in spheres of a mass in Msun / h."""
    inverse = 1e10 / mass
    return np.asarray(
        22.26 * inverse**0.292 / (1.0 + 1.53 * inverse**0.275 + 3.36 * inverse**0.198)
    )


def median_concentration(
    relation: ConcentrationRelation, m200: ArrayLike, z: ArrayLike, h0: float, om0: float
) -> FloatArray:
    """Median concentration c_200 of halos by a named relation.

    Args:
        relation: "dutton_maccio_2014" or "ludlow_2016".
        m200: mass inside 200 times the critical density, Msun.
        z: redshift.
        h0: Hubble constant, km/s/Mpc.
        om0: matter density; only Ludlow et al. need it.

    Returns:
        c_200, in the common shape of `m200` and `z`.
    """
    if relation == "ludlow_2016":
        return ludlow_concentration(m200, z, h0, om0)
    return dutton_maccio_concentration(m200, z, h0)


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
