"""Exponential and logarithm over an array, in vector registers.

The compiler has no vector form of either without a vendor's library, and a call for each element
would take most of the time of tracing a ray.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.compilation import kernel

_PER_LN2 = 1.0 / math.log(2.0)
_LN2 = math.log(2.0)
_SMALLEST = -700.0
"""Exponent below which the result is taken as exp(-700), about 1e-304."""

_EXPONENT_BIAS = 1023
_MANTISSA_BITS = 52
_MANTISSA_MASK = (1 << _MANTISSA_BITS) - 1
_MANTISSA_SCALE = 2.0**-_MANTISSA_BITS


@kernel
def exponential(values, bits):
    """Replaces each value by its exponential; NaN stays NaN.

    exp(x) = 2^k exp(r), |r| <= ln(2) / 2, with the Taylor series of exp(r), right to 1e-13.

    Args:
        values: at most 700, shape (n,), changed.
        bits: scratch space, int64, shape (n,).
    """
    for i in range(values.shape[0]):
        x = max(values[i], _SMALLEST)
        k = np.rint(x * _PER_LN2)
        r = x - k * _LN2
        series = 1.0 / 39916800.0
        series = series * r + 1.0 / 3628800.0
        series = series * r + 1.0 / 362880.0
        series = series * r + 1.0 / 40320.0
        series = series * r + 1.0 / 5040.0
        series = series * r + 1.0 / 720.0
        series = series * r + 1.0 / 120.0
        series = series * r + 1.0 / 24.0
        series = series * r + 1.0 / 6.0
        series = series * r + 0.5
        series = series * r + 1.0
        values[i] = series * r + 1.0
        # a double whose exponent field is k and whose mantissa is empty is 2^k
        bits[i] = (np.int64(k) + _EXPONENT_BIAS) << _MANTISSA_BITS
    powers = bits.view(np.float64)
    for i in range(values.shape[0]):
        values[i] *= powers[i]


@kernel
def logarithm(values, bits):
    """Replaces each value by its natural logarithm.

    With x = 2^k m, 1 <= m < 2, the logarithm of m / sqrt(2) is the series 2 artanh(s),
    s = (m - sqrt(2)) / (m + sqrt(2)), |s| < 0.172, right to 1e-15.

    Infinity gives 710; what NaN gives is not defined.

    Args:
        values: positive normal numbers, shape (n,), changed.
        bits: `values` viewed as int64, shape (n,).
    """
    root = math.sqrt(2.0)
    for i in range(values.shape[0]):
        exponent = float((bits[i] >> _MANTISSA_BITS) - _EXPONENT_BIAS)
        mantissa = 1.0 + float(bits[i] & _MANTISSA_MASK) * _MANTISSA_SCALE
        s = (mantissa - root) / (mantissa + root)
        squared = s * s
        series = 1.0 / 19.0
        series = series * squared + 1.0 / 17.0
        series = series * squared + 1.0 / 15.0
        series = series * squared + 1.0 / 13.0
        series = series * squared + 1.0 / 11.0
        series = series * squared + 1.0 / 9.0
        series = series * squared + 1.0 / 7.0
        series = series * squared + 1.0 / 5.0
        series = series * squared + 1.0 / 3.0
        series = series * squared + 1.0
        values[i] = 2.0 * s * series + (exponent + 0.5) * _LN2
