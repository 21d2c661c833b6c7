"""Truncated NFW subhalo: Baltz, Marshall & Oguri 2009 (JCAP 01 015, arXiv 0705.0682), n = 1.

    rho(r) = rho_s / (r / r_s (1 + r / r_s)^2) r_t^2 / (r^2 + r_t^2),   tau = r_t / r_s.

It is lenstronomy's TNFW. Masses here are in units of 4 pi rho_s r_s^3 and radii in units of r_s.
The projected mass inside x = R / r_s (eq. A.11) is written with y = x / tau,
S = sqrt(1 + y^2) and F(x) = arctan(sqrt(x^2 - 1)) / sqrt(x^2 - 1) as

    m(x) = x^2 tau^2 / (tau^2 + 1)^2
           ((tau^2 - 1) (P(x) - Q(y) / tau^2) + 2 F(x) - pi / (tau (1 + S)))
    P(x) = (F(x) + ln(x / 2)) / x^2
    Q(y) = (ln((1 + S) / 2) + (S - 1) arcsinh(1 / y)) / y^2

in which nothing cancels towards the centre, and which is smooth through x = 1. Relative error
1e-15 for x < 10, growing in proportion to x beyond.

A subhalo is given by its scale radius, its truncation tau and the Einstein radius that its total
mass would have as a point; its deflection tends to theta_E^2 / r far outside.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import inlined, kernel

_SMALL_X = 0.2
"""x below which P comes from its series."""

_NEAR_ONE = 0.1
"""|1 - x^2| below which F and its difference quotient come from their series."""

_TERMS = 14
"""Terms of both series, for 1e-14."""

_SMALLEST = 1e-150
"""Scaled radius that stands in for zero."""


@inlined
def nfw_f(x):
    """F(x) = arctan(sqrt(x^2 - 1)) / sqrt(x^2 - 1), real and smooth for all x > 0 (eq. A.5)."""
    u = 1.0 - x * x
    if abs(u) < _NEAR_ONE:
        value = 0.0
        for k in range(_TERMS, -1, -1):
            value = value * u + 1.0 / (2.0 * k + 1.0)
        return value
    if x < 1.0:
        root = math.sqrt(u)
        return math.log((1.0 + root) / x) / root
    root = math.sqrt(-u)
    return math.atan(root) / root


@inlined
def scale_part(x):
    """P(x) = (F(x) + ln(x / 2)) / x^2."""
    if x > _SMALL_X:
        return (nfw_f(x) + math.log(0.5 * x)) / (x * x)
    # with c_n = (2n)! / (4^n n!^2), F = (ln(2 / x) - sum c_n x^2n / 2n) sum c_n x^2n
    squared = x * x
    logarithm = math.log(2.0 / x)
    coefficient = 1.0
    power = 1.0
    roots = 0.0
    logs = 0.0
    for n in range(1, _TERMS):
        coefficient *= (2.0 * n - 1.0) / (2.0 * n)
        roots += coefficient * power
        logs += coefficient * power / (2.0 * n)
        power *= squared
    return logarithm * roots - logs * (1.0 + squared * roots)


@inlined
def truncation_part(y):
    """Q(y) = (ln((1 + S) / 2) + (S - 1) arcsinh(1 / y)) / y^2, S = sqrt(1 + y^2)."""
    per_sum = 1.0 / (1.0 + math.sqrt(1.0 + y * y))
    z = 0.5 * y * y * per_sum
    quotient = 0.5 * per_sum
    if z > 1e-16:
        quotient *= math.log1p(z) / z
    return quotient + math.asinh(1.0 / y) * per_sum


@inlined
def tnfw_mass(x, tau):
    """Projected mass inside a radius, in units of 4 pi rho_s r_s^3.

    Args:
        x: radius in units of r_s.
        tau: truncation radius in units of r_s.
    """
    x = max(x, _SMALLEST)
    y = x / tau
    tau_squared = tau * tau
    shape = (tau_squared - 1.0) * (scale_part(x) - truncation_part(y) / tau_squared) + 2.0 * nfw_f(
        x
    )
    shape -= math.pi / (tau * (1.0 + math.sqrt(1.0 + y * y)))
    return x * x * tau_squared / ((tau_squared + 1.0) * (tau_squared + 1.0)) * shape


def tnfw_total_mass(tau):
    """Total mass, in units of 4 pi rho_s r_s^3 (eq. A.4).

    Args:
        tau: truncation radius in units of r_s, any shape.
    """
    squared = tau * tau
    shape = (squared - 1.0) * np.log(tau) + math.pi * tau - (squared + 1.0)
    return squared / (squared + 1.0) ** 2 * shape


def nfw_mass(concentration):
    """Mass of an untruncated NFW halo inside c r_s, in units of 4 pi rho_s r_s^3.

    ln(1 + c) - c / (1 + c), Navarro, Frenk & White 1997, eq. 2; at c = r_200 / r_s it is M_200.

    Args:
        concentration: c, any shape.
    """
    return np.log1p(concentration) - concentration / (1.0 + concentration)


def total_over_m200(concentration, tau):
    """Total mass of a truncated halo over the M_200 of the NFW halo that it was cut from.

    Args:
        concentration: r_200 / r_s, any shape.
        tau: truncation radius in units of r_s, broadcast against it.
    """
    return tnfw_total_mass(tau) / nfw_mass(concentration)


def alpha_rs(theta_e_squared, r_s, tau):
    """The alpha_Rs of lenstronomy's TNFW: the deflection at r_s of the untruncated halo.

    4 rho_s r_s^2 (1 - ln 2) over the critical density, with r_trunc = tau r_s.

    Args:
        theta_e_squared: squared Einstein radius of the total mass, arcsec^2, any shape.
        r_s: scale radius, arcsec.
        tau: truncation radius in units of r_s.

    Returns:
        Deflection in arcsec.
    """
    return theta_e_squared * (1.0 - math.log(2.0)) / (tnfw_total_mass(tau) * r_s)


@inlined
def tnfw(x, y, r_s, tau, strength):
    """Deflection of a truncated NFW halo at the origin.

    Args:
        x, y: position, arcsec.
        r_s: scale radius, arcsec.
        tau: truncation radius in units of r_s.
        strength: theta_E^2 / tnfw_total_mass(tau), arcsec^2, theta_E that of the total mass.

    Returns:
        (alpha_x, alpha_y) in arcsec; zero at the origin.
    """
    squared = max(x * x + y * y, _SMALLEST)
    scale = strength * tnfw_mass(math.sqrt(squared) / r_s, tau) / squared
    return scale * x, scale * y


@inlined
def tnfw_convergence(x, y, r_s, tau, strength):
    """Convergence of a truncated NFW halo at the origin (eq. A.8).

    Args: those of `tnfw`; the position must not be the origin, where it diverges.

    Returns:
        Dimensionless convergence.
    """
    scaled = math.sqrt(x * x + y * y) / r_s
    u = 1.0 - scaled * scaled
    f = nfw_f(scaled)
    if abs(u) < _NEAR_ONE:
        quotient = 0.0
        for k in range(_TERMS, 0, -1):
            quotient = quotient * u + 1.0 / (2.0 * k + 1.0)
    else:
        quotient = (f - 1.0) / u
    tau_squared = tau * tau
    root = math.sqrt(tau_squared + scaled * scaled)
    shape = (tau_squared + 1.0) * quotient + 2.0 * f - math.pi / root
    shape -= (tau_squared - 1.0) / (tau * root) * math.asinh(tau / scaled)
    shape *= tau_squared / ((tau_squared + 1.0) * (tau_squared + 1.0))
    return 0.5 * strength / (r_s * r_s) * shape


@inlined
def tnfw_hessian(x, y, r_s, tau, strength):
    """Derivatives of the deflection of a truncated NFW halo at the origin.

    For any axially symmetric lens gamma = -(mean kappa - kappa) exp(2 i phi).

    Args: those of `tnfw`; the position must not be the origin.

    Returns:
        (f_xx, f_xy, f_yy), dimensionless.
    """
    squared = x * x + y * y
    kappa = tnfw_convergence(x, y, r_s, tau, strength)
    mean = strength * tnfw_mass(math.sqrt(squared) / r_s, tau) / squared
    excess = (mean - kappa) / squared
    return (
        kappa - excess * (x * x - y * y),
        -2.0 * excess * x * y,
        kappa + excess * (x * x - y * y),
    )


@kernel
def tnfw_deflections(x, y, halo_x, halo_y, r_s, tau, strength):
    """Summed deflection of many truncated NFW halos, term by term.

    The plain sum that faster ones are checked against: halos times positions evaluations.

    Args:
        x, y: positions, arcsec, shape (n,).
        halo_x, halo_y, r_s, tau, strength: one of each a halo, shape (k,), see `tnfw`.

    Returns:
        Deflections in arcsec, shape (2, n).
    """
    total = np.zeros((2, x.shape[0]))
    for k in range(halo_x.shape[0]):
        for i in range(x.shape[0]):
            alpha_x, alpha_y = tnfw(x[i] - halo_x[k], y[i] - halo_y[k], r_s[k], tau[k], strength[k])
            total[0, i] += alpha_x
            total[1, i] += alpha_y
    return total
