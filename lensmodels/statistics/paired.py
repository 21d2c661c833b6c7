"""The mean of a score over trainings, and the difference of two such means.

A score would have come out otherwise with other test images, and with other trainings. The first
is measured by the bootstrap of the test images, which is shared by everything that was tested on
them; the second by the scatter of the trainings. The half-lengths of their intervals are added in
quadrature, a normal one for the images and Student's for the trainings: with few trainings, to add
the variances instead finds far too many differences, as a scatter that is small by chance is taken
for known. A p value is that of the interval that just reaches zero.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student_t

from lensmodels.statistics.bootstrap import LEVEL, Interval

FloatArray = NDArray[np.float64]

_MIN_P = 1e-12
"""Below it, a p value is not told from zero."""


@dataclass(frozen=True)
class Trainings:
    """A score of several trainings of one kind.

    Attributes:
        keys: what each training shares with one of another kind, such as its seed, (n,).
        pretrainings: which pretraining each began with, (n,); trainings that share one are not
            independent. One of its own for each that began with random weights.
        values: the score of each on the test images, (n,).
        resamples: on each bootstrap resample of the test images, (n, resamples).
    """

    keys: Sequence[int]
    pretrainings: Sequence[Hashable]
    values: FloatArray
    resamples: FloatArray

    @property
    def independent(self) -> int:
        """Trainings that share nothing: pretrainings, or trainings from random weights."""
        return len(set(self.pretrainings))


@dataclass(frozen=True)
class Difference:
    """A mean score less another, on the same test images.

    Attributes:
        mean: of the difference.
        interval: 95%.
        p_value: two-sided, of no difference; before any correction for the number of comparisons.
        trainings: independent ones, on the side that has fewer.
    """

    mean: float
    interval: Interval
    p_value: float
    trainings: int


def difference(first: Trainings, second: Trainings) -> Difference:
    """First less second; in pairs over the keys that both have, where there are any."""
    shared = sorted(set(first.keys) & set(second.keys))
    if shared:
        first, second = (_chosen(side, shared) for side in (first, second))
        coarser = min((first, second), key=lambda side: side.independent).pretrainings
        terms = [_variance_of_mean(first.values - second.values, coarser)]
    else:
        terms = [_variance_of_mean(side.values, side.pretrainings) for side in (first, second)]
    mean = float(first.values.mean() - second.values.mean())
    resampled = first.resamples.mean(axis=0) - second.resamples.mean(axis=0)
    images = float(np.nanvar(resampled, ddof=1))
    reach = _reach(1 - LEVEL, images, terms)
    trainings = min(first.independent, second.independent)
    interval = Interval(mean - reach, mean + reach)
    return Difference(mean, interval, _p_value(abs(mean), images, terms), trainings)


def mean_interval(trainings: Trainings, low: float = -np.inf, high: float = np.inf) -> Interval:
    """95% interval of a mean score; its ends keep within what the score can be.

    The quantiles of the bootstrap, which need not be symmetric, with Student's reach of the
    trainings added in quadrature.

    Args:
        trainings: of one kind.
        low, high: smallest and largest value of the score.
    """
    tail = 0.5 * (1 - LEVEL)
    mean = float(trainings.values.mean())
    ends = np.nanquantile(trainings.resamples.mean(axis=0), [tail, 1 - tail])
    variance, freedom = _variance_of_mean(trainings.values, trainings.pretrainings)
    reach = float(student_t.ppf(1 - tail, freedom)) * variance**0.5 if freedom else 0.0
    below, above = np.hypot(mean - ends[0], reach), np.hypot(ends[1] - mean, reach)
    return Interval(max(float(mean - below), low), min(float(mean + above), high))


def _chosen(trainings: Trainings, keys: Sequence[int]) -> Trainings:
    """The trainings with these keys, in their order."""
    places = [list(trainings.keys).index(key) for key in keys]
    return Trainings(
        keys,
        [trainings.pretrainings[place] for place in places],
        trainings.values[places],
        trainings.resamples[places],
    )


def _variance_of_mean(values: FloatArray, pretrainings: Sequence[Hashable]) -> tuple[float, int]:
    """Of a mean over trainings, and its degrees of freedom; none of either for one training.

    Where there are several pretrainings, their means scatter by all that is not shared within one.
    With one, only the scatter of the trainings that began with it can be seen.
    """
    groups = {pretraining: [] for pretraining in pretrainings}  # type: dict[Hashable, list[float]]
    for value, pretraining in zip(values, pretrainings, strict=True):
        groups[pretraining].append(float(value))
    means = np.array([np.mean(group) for group in groups.values()]) if len(groups) > 1 else values
    if len(means) < 2:
        return 0.0, 0
    return float(means.var(ddof=1) / len(means)), len(means) - 1


def _reach(p: float, images: float, trainings: Sequence[tuple[float, int]]) -> float:
    """Half the length of the interval that leaves out a probability p, two-sided.

    Args:
        p: probability.
        images: variance over test images, which the bootstrap knows well.
        trainings: variances of means over trainings, with their degrees of freedom.
    """
    normal = images * norm.isf(0.5 * p) ** 2
    return float(
        (normal + sum(part * student_t.isf(0.5 * p, n) ** 2 for part, n in trainings if n)) ** 0.5
    )


def _p_value(size: float, images: float, trainings: Sequence[tuple[float, int]]) -> float:
    """The probability whose interval just reaches zero from a difference of this size."""
    if size <= _reach(1 - 1e-9, images, trainings):
        return 1.0
    if size >= _reach(_MIN_P, images, trainings):
        return _MIN_P
    logarithm = brentq(
        lambda power: _reach(10**power, images, trainings) - size,
        np.log10(_MIN_P),
        np.log10(1 - 1e-9),
    )
    return float(10**logarithm)
