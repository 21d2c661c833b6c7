"""The exponential function over an array, in vector registers.

The compiler has no vector form of exp without a vendor's library, and the call for each element is
what tracing a ray would spend most of its time on. This one is the textbook reduction
exp(x) = 2^k exp(r), |r| <= ln(2) / 2, with the Taylor series of exp(r), right to 1e-13.
"""

from __future__ import annotations

import math

import numpy as np

from lenssim.rendering.compilation import kernel

_PER_LN2 = 1.0 / math.log(2.0)
_LN2 = math.log(2.0)
_SMALLEST = -700.0
"""Exponent below which the result is taken as exp(-700), about 1e-304."""

_EXPONENT_BIAS = 1023
_MANTISSA_BITS = 52


@kernel
def exponential(values, bits):
    """Replaces each value by its exponential; NaN stays NaN.

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
