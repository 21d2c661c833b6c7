"""Deflection of truncated NFW halos from tables: a tenth of the cost of the closed form.

The functions P, F, Q and 1 / (1 + S) of `lenssim.profiles.tnfw` depend on one variable each, so
that one pair of tables serves halos of every size and truncation. Each is a quartic polynomial on
every 32nd of an octave of the squared radius, found from the bits of the number without a
logarithm. The relative error of the deflection is below 2e-10 for x < 10 and 2e-8 for x < 1000.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import inlined, kernel
from lenssim.profiles.tnfw import nfw_f, scale_part, tnfw_total_mass, truncation_part

FloatArray = NDArray[np.float64]

COEFFICIENTS = 5
"""Coefficients of each polynomial."""

_BITS = 5
"""Bits of the mantissa that tell the pieces of an octave apart."""

_FIRST_OCTAVE, _LAST_OCTAVE = -60, 40
"""Exponents of two of the least and largest squared radius, in units of r_s^2 and r_t^2."""

_SHIFT = 52 - _BITS
_OFFSET = (1023 + _FIRST_OCTAVE) << _BITS
_FRACTION_MASK = (1 << _SHIFT) - 1
_FRACTION_SCALE = 2.0**-_SHIFT

PIECES = (_LAST_OCTAVE - _FIRST_OCTAVE) << _BITS
"""Rows of each table."""


HALO_COLUMNS = 8
"""Numbers that make up one halo, see `tnfw_halos`."""


@cache
def tnfw_tables() -> FloatArray:
    """Tables of P, F, Q and 1 / (1 + S), made once in a process, in some milliseconds.

    P and F are functions of the squared radius over r_s^2, Q and 1 / (1 + S) of that over r_t^2.

    Returns:
        Coefficients, constant term first, shape (4, `PIECES`, `COEFFICIENTS`).
    """
    nodes = np.arange(COEFFICIENTS)
    fraction = 0.5 - 0.5 * np.cos((2 * nodes + 1) * np.pi / (2 * COEFFICIENTS))
    to_coefficients = np.linalg.inv(np.vander(fraction, increasing=True)).T
    within = 1.0 + (np.arange(1 << _BITS)[:, np.newaxis] + fraction) / (1 << _BITS)
    octaves = 2.0 ** np.arange(_FIRST_OCTAVE, _LAST_OCTAVE)
    squared = (octaves[:, np.newaxis, np.newaxis] * within).ravel()
    return _functions(squared).reshape(4, PIECES, COEFFICIENTS) @ to_coefficients


@kernel
def _functions(squared):
    """P, F, Q and 1 / (1 + S) at squared radii, shape (4, n)."""
    values = np.empty((4, squared.shape[0]))
    for i in range(squared.shape[0]):
        radius = math.sqrt(squared[i])
        values[0, i] = scale_part(radius)
        values[1, i] = nfw_f(radius)
        values[2, i] = truncation_part(radius)
        values[3, i] = 1.0 / (1.0 + math.sqrt(1.0 + squared[i]))
    return values


def tnfw_halos(
    x: FloatArray, y: FloatArray, r_s: FloatArray, tau: FloatArray, theta_e_squared: FloatArray
) -> FloatArray:
    """Halos in the form that the kernels take.

    Args:
        x, y: positions, arcsec, shape (k,).
        r_s: scale radii, arcsec.
        tau: truncation radii in units of r_s.
        theta_e_squared: squared Einstein radii of the total masses, arcsec^2.

    Returns:
        Shape (k, `HALO_COLUMNS`): x, y, 1 / r_s^2, 1 / r_t^2, and the factors of P, F, Q and
        1 / (1 + S) in the deflection over the radius.
    """
    tau_squared = tau**2
    unit = theta_e_squared / tnfw_total_mass(tau) / r_s**2
    unit = unit * tau_squared / (tau_squared + 1.0) ** 2
    rows = np.empty((x.size, HALO_COLUMNS))
    rows[:, 0] = x
    rows[:, 1] = y
    rows[:, 2] = 1.0 / r_s**2
    rows[:, 3] = 1.0 / (r_s**2 * tau_squared)
    rows[:, 4] = unit * (tau_squared - 1.0)
    rows[:, 5] = 2.0 * unit
    rows[:, 6] = -unit * (tau_squared - 1.0) / tau_squared
    rows[:, 7] = -unit * math.pi / tau
    return rows


@inlined
def _piece_and_fraction(bits):
    """Row of a table and position within it, in [0, 1), from the bits of a squared radius."""
    piece = min(max((bits >> _SHIFT) - _OFFSET, 0), PIECES - 1)
    return piece, float(bits & _FRACTION_MASK) * _FRACTION_SCALE


@inlined
def _polynomial(table, piece, fraction):
    """Polynomial of a piece of a table that has one."""
    value = table[piece, COEFFICIENTS - 1]
    for k in range(COEFFICIENTS - 2, -1, -1):
        value = value * fraction + table[piece, k]
    return value


@inlined
def _in_radii(squared, halo, first, second):
    """Squared distances over r_s^2 and r_t^2, into `first` and `second`; returns their bits."""
    for i in range(squared.shape[0]):
        first[i] = squared[i] * halo[2]
        second[i] = squared[i] * halo[3]
    return first.view(np.int64), second.view(np.int64)


@kernel
def deflection_over_radius(squared, halo, tables, first, second, out):
    """Deflection of one halo over the distance from it, alpha / r: mean convergence inside r.

    Args:
        squared: squared distances from the halo, arcsec^2, shape (n,); below 2^-60 r_s^2 they
            count as about that.
        halo: a row of `tnfw_halos`.
        tables: `tnfw_tables()`.
        first, second: scratch space, shape (n,).
        out: receives the dimensionless quotient, shape (n,).
    """
    first_bits, second_bits = _in_radii(squared, halo, first, second)
    for i in range(squared.shape[0]):
        piece, fraction = _piece_and_fraction(first_bits[i])
        value = halo[4] * _polynomial(tables[0], piece, fraction)
        value += halo[5] * _polynomial(tables[1], piece, fraction)
        piece, fraction = _piece_and_fraction(second_bits[i])
        value += halo[6] * _polynomial(tables[2], piece, fraction)
        out[i] = value + halo[7] * _polynomial(tables[3], piece, fraction)


@kernel
def combine_tables(halo, tables, least_squared, greatest_squared, combined):
    """Tables of one halo, with its factors taken in: half the cost where it is evaluated often.

    Args:
        halo: a row of `tnfw_halos`.
        tables: `tnfw_tables()`.
        least_squared, greatest_squared: range of squared distances to cover, arcsec^2.
        combined: receives the coefficients of the sum of P and F, and of Q and 1 / (1 + S), in
            the rows of that range, shape (2, `PIECES`, `COEFFICIENTS`).
    """
    for half in range(2):
        ends = np.array([least_squared * halo[2 + half], greatest_squared * halo[2 + half]])
        bits = ends.view(np.int64)
        first, _ = _piece_and_fraction(bits[0])
        last, _ = _piece_and_fraction(bits[1])
        one = tables[2 * half, first : last + 1].ravel()
        other = tables[2 * half + 1, first : last + 1].ravel()
        both = combined[half, first : last + 1].reshape(one.shape[0])
        for i in range(one.shape[0]):
            both[i] = halo[4 + 2 * half] * one[i] + halo[5 + 2 * half] * other[i]


@kernel
def combined_over_radius(squared, halo, combined, first, second, out):
    """`deflection_over_radius` from the tables of `combine_tables`, within their range.

    Args:
        squared: squared distances from the halo, arcsec^2, shape (n,).
        halo: a row of `tnfw_halos`.
        combined: as `combine_tables` has filled it.
        first, second: scratch space, shape (n,).
        out: receives the dimensionless quotient, shape (n,).
    """
    first_bits, second_bits = _in_radii(squared, halo, first, second)
    for i in range(squared.shape[0]):
        piece, fraction = _piece_and_fraction(first_bits[i])
        value = _polynomial(combined[0], piece, fraction)
        piece, fraction = _piece_and_fraction(second_bits[i])
        out[i] = value + _polynomial(combined[1], piece, fraction)
