"""Which of the differences of a table are significant: the one rule, for every page and script.

A difference is significant if its p value is at most `LEVEL` after Holm's correction over all
differences of the table, and both sides of it rest on at least `MIN_TRAININGS` trainings: a
difference between single trainings is one of these trainings, not of the methods.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmodels.statistics.paired import Difference

LEVEL = 0.05
"""Probability of one or more false differences in a table."""

MIN_TRAININGS = 3
"""Independent trainings that a side needs."""


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


def significant(differences: Sequence[Difference | None]) -> list[bool]:
    """Which differences of a table are significant.

    Args:
        differences: all that the table shows; None for an empty cell.

    Returns:
        One value for each of them.
    """
    tested = [
        place
        for place, each in enumerate(differences)
        if each is not None and each.trainings >= MIN_TRAININGS
    ]
    corrected = holm([differences[place].p_value for place in tested])  # type: ignore[union-attr]
    chosen = {place for place, value in zip(tested, corrected, strict=True) if value <= LEVEL}
    return [place in chosen for place in range(len(differences))]
