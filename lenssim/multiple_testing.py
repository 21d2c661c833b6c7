"""Correcting p values for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P values corrected for their number, so that the family-wise error is controlled.

    Holm 1979: the k-th smallest of m is multiplied by m - k + 1, and none is below a smaller one.

    Args:
        p_values: (m,).

    Returns:
        Corrected values, (m,), at most 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected
