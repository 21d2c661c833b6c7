"""Bootstrap intervals: how scores depend on the choice of test images.

Test images are resampled with replacement, within each class, so that the sizes of the classes
stay (Efron & Tibshirani 1993, ch. 6 and 13). A resample is kept as how often each image was
drawn, so that scores are sorted once and not once a resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
Counts = NDArray[np.float64]
"""How often each image is in each resample, (resamples, n)."""

Statistic = Callable[[Counts], FloatArray]
"""A score of every resample: counts, (resamples, n), to (resamples,)."""

RESAMPLES = 1000
"""Enough for the ends of a 95% interval to be good to a tenth of its length."""

LEVEL = 0.95

_BLOCK = 2_000_000
"""Counts held at a time: 16 MB."""


@dataclass(frozen=True)
class Interval:
    """Bootstrap interval of a score; both ends are included."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero is outside."""
        return self.low > 0 or self.high < 0

    def as_list(self) -> list[float]:
        """[low, high]."""
        return [self.low, self.high]


def weighted_auc(positive: NDArray[np.bool_], scores: FloatArray) -> Statistic:
    """Area under the ROC curve, as a function of how often each image counts.

    The probability that a positive image scores above a negative one, half for ties
    (Hanley & McNeil 1982), from ranks: exact, as scikit-learn with `sample_weight`.

    Args:
        positive: which images are of the class, (n,).
        scores: (n,).

    Returns:
        A function of counts, (resamples, n), that gives AUCs, (resamples,).
    """
    order = np.argsort(scores, kind="stable")
    ranked, is_positive = scores[order], positive[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def area(counts: Counts) -> FloatArray:
        drawn = counts[:, order]
        positives = np.add.reduceat(drawn * is_positive, starts, axis=1)
        negatives = np.add.reduceat(drawn * ~is_positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - 0.5 * negatives
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return (positives * below).sum(axis=1) / pairs

    return area


def weighted_macro_auc(labels: NDArray[np.integer], probabilities: FloatArray) -> Statistic:
    """Mean over the classes of `weighted_auc` against the rest; (n,) and (n, classes)."""
    areas = [
        weighted_auc(labels == label, probabilities[:, label])
        for label in range(probabilities.shape[1])
    ]
    return lambda counts: np.mean([area(counts) for area in areas], axis=0)


def weighted_mean(values: FloatArray) -> Statistic:
    """Mean of a value an image, (n,), as a function of how often each image counts."""
    return lambda counts: counts @ values / counts.sum(axis=1)


def weighted_rms(values: FloatArray) -> Statistic:
    """Root mean square of a value an image, (n,)."""
    square = weighted_mean(np.square(values))
    return lambda counts: np.sqrt(square(counts))


def resamples(
    strata: NDArray[np.integer], *, seed: int, count: int = RESAMPLES
) -> Iterator[Counts]:
    """How often each image is drawn, in blocks of resamples.

    Args:
        strata: each image's class, (n,): from each, as many are drawn as there are.
        seed: the same seed draws the same, so that two runs on the same images are paired.
        count: resamples.

    Returns:
        An iterator of counts, (resamples of a block, n).
    """
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    block = max(1, _BLOCK // max(1, len(strata)))
    for start in range(0, count, block):
        rows = min(block, count - start)
        counts = np.zeros((rows, len(strata)))
        for chosen in members:
            size = len(chosen)
            drawn = generator.integers(size, size=(rows, size))
            drawn += size * np.arange(rows)[:, None]
            tally = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
            counts[:, chosen] = tally
        yield counts


def intervals(
    statistics: Sequence[Statistic],
    strata: NDArray[np.integer],
    *,
    seed: int,
    count: int = RESAMPLES,
) -> list[Interval]:
    """95% percentile intervals of several scores, on the same resamples.

    Args:
        statistics: of `weighted_auc` and its like.
        strata: each image's class, (n,).
        seed: of the resamples.
        count: resamples.

    Returns:
        One interval a score, in their order.
    """
    resampled: list[list[FloatArray]] = [[] for _ in statistics]
    for counts in resamples(strata, seed=seed, count=count):
        for values, statistic in zip(resampled, statistics, strict=True):
            values.append(statistic(counts))
    tail = 0.5 * (1 - LEVEL)
    ends = [np.quantile(np.concatenate(values), [tail, 1 - tail]) for values in resampled]
    return [Interval(float(low), float(high)) for low, high in ends]


def paired_interval(
    first: Statistic,
    second: Statistic,
    strata: NDArray[np.integer],
    *,
    seed: int,
    count: int = RESAMPLES,
) -> Interval:
    """95% interval of the difference, first less second, of two runs on the same images.

    Both see the same resamples, so what is easy or hard for both drops out.

    Args:
        first, second: statistics as of `intervals`, of either run.
        strata: class of each image, (n,): resamples keep the size of every class.
        seed: of the resamples.
        count: number of resamples.
    """
    return intervals(
        [lambda counts: first(counts) - second(counts)], strata, seed=seed, count=count
    )[0]
