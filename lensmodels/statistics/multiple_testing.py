"""Which of the differences of a table are significant: the one rule, for every page and script.

A difference is significant if its p value is at most `LEVEL` after Holm's correction over all
differences of the table, and both sides of it rest on at least `MIN_TRAININGS` pretrainings (or
trainings from random weights) and as many draws of the labelled images: a difference between single
trainings is one of these trainings, not of the methods.
"""

from __future__ import annotations

from collections.abc import Sequence

from lensmodels.statistics.paired import Difference
from lenssim.multiple_testing import holm

LEVEL = 0.05
"""Probability of one or more false differences in a table."""

MIN_TRAININGS = 3
"""Independent pretrainings, and label draws, that a side needs."""


def significant(differences: Sequence[Difference | None]) -> list[bool]:
    """Which differences of a table are significant.

    Args:
        differences: all that the table shows; None for an empty cell.

    Returns:
        One value for each of them.
    """
    tested = [
        place
        for place, difference in enumerate(differences)
        if difference is not None and difference.trainings >= MIN_TRAININGS
    ]
    corrected = holm([differences[place].p_value for place in tested])  # type: ignore[union-attr]
    chosen = {place for place, value in zip(tested, corrected, strict=True) if value <= LEVEL}
    return [place in chosen for place in range(len(differences))]
