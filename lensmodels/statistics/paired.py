"""The mean of a score over trainings, and the difference of two such means.

A score would have come out otherwise with other test images, with another pretraining, and with
another draw of the labelled images (which also seeds the finetuning). The uncertainty is that of a
hierarchical paired bootstrap: pretrainings are resampled, then the label draws within them, then
the test images; what both sides of a difference share, its label draws and images, is resampled
for both at once.

Of the images, which are thousands, the resamples themselves are used. Of a few pretrainings or
draws a bootstrap has too small a variance, by (n - 1) / n; one that draws n - 1 of n units has the
right one (Rao & Wu 1988, JASA 83, 231), which for a mean is known without drawing: that of the
units' means over n. Every level's half-length, normal for the images and Student's for n units,
is added in quadrature: with few units, to add the variances instead finds far too many
differences, as a scatter that is small by chance is taken for known. A p value is that of the
interval that just reaches zero.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

from lensmodels.statistics.bootstrap import LEVEL, Interval

FloatArray = NDArray[np.float64]

_MIN_P = 1e-12
"""Below it, a p value is not told from zero."""


@dataclass(frozen=True)
class Trainings:
    """A score of several trainings of one kind.

    Attributes:
        keys: label draw of each training, which it shares with those of another kind, (n,).
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
        """Pretrainings, or trainings from random weights: what shares nothing."""
        return len(set(self.pretrainings))

    @property
    def draws(self) -> list[int]:
        """Label draws, rising."""
        return sorted(set(self.keys))

    @property
    def is_crossed(self) -> bool:
        """Whether every pretraining was finetuned with every label draw."""
        pairs = set(zip(self.pretrainings, self.keys, strict=True))
        return len(pairs) == self.independent * len(self.draws)

    @property
    def replicates(self) -> str:
        """As "3 x 3 seeds", of pretrainings and label draws, or "3 seeds"."""
        crossed = self.is_crossed and self.independent > 1 and len(self.draws) > 1
        count = f"{self.independent} x {len(self.draws)}" if crossed else str(len(self.keys))
        return f"{count} seed{'' if count == '1' else 's'}"

    @property
    def is_nested(self) -> bool:
        """Whether no label draw was used by more than one pretraining."""
        return len(set(self.keys)) == len(self.keys)

    def complete(self) -> Trainings:
        """The trainings of the largest block of pretrainings by label draws without a gap.

        A design that is crossed in part, as where a grid is not yet done, has no simple variance.
        All trainings where every draw has a pretraining of its own, or nothing is missing.
        """
        if self.is_nested or self.is_crossed:
            return self
        draws_of: dict[Hashable, set[int]] = {}
        for pretraining, draw in zip(self.pretrainings, self.keys, strict=True):
            draws_of.setdefault(pretraining, set()).add(draw)
        names = sorted(draws_of, key=repr)
        blocks = [
            (chosen, set.intersection(*(draws_of[name] for name in chosen)))
            for size in range(len(names), 0, -1)
            for chosen in combinations(names, size)
        ]
        kept, draws = max(
            blocks,
            key=lambda block: (len(block[0]) * len(block[1]), min(len(block[0]), len(block[1]))),
        )
        return self._at(
            place
            for place, (pretraining, draw) in enumerate(
                zip(self.pretrainings, self.keys, strict=True)
            )
            if pretraining in kept and draw in draws
        )

    def by_draw(self, scores: FloatArray) -> FloatArray:
        """Means over the trainings of each label draw, (draws, ...), of scores, (n, ...)."""
        keys = np.array(self.keys)
        return np.stack([scores[keys == draw].mean(axis=0) for draw in self.draws])

    def with_draws(self, draws: Collection[int]) -> Trainings:
        """The trainings with these label draws, in their order."""
        return self._at(place for place, key in enumerate(self.keys) if key in draws)

    def _at(self, indices: Iterable[int]) -> Trainings:
        places = list(indices)
        return Trainings(
            [self.keys[place] for place in places],
            [self.pretrainings[place] for place in places],
            self.values[places],
            self.resamples[places],
        )


@dataclass(frozen=True)
class Difference:
    """A mean score less another, on the same test images.

    Attributes:
        mean: of the difference.
        interval: 95%.
        p_value: two-sided, of no difference; before any correction for the number of comparisons.
        trainings: independent pretrainings, on the side that has fewest, or label draws where these
            are fewer.
    """

    mean: float
    interval: Interval
    p_value: float
    trainings: int


def difference(first: Trainings, second: Trainings) -> Difference:
    """First less second; in pairs over the label draws that both have, if there are any."""
    return contrast([(1.0, first), (-1.0, second)])


def pooled_difference(pairs: Sequence[tuple[Trainings, Trainings]]) -> Difference:
    """The mean over the rows of a table of first less second.

    A baseline that several rows share is one side, and not one for each of them. Rows must not
    share a pretraining, as shares of the labels do: each is taken as a draw of its own.

    Args:
        pairs: of each row; at least one.
    """
    weights: dict[int, float] = {}
    sides: dict[int, Trainings] = {}
    for pair in pairs:
        for sign, side in zip((1, -1), pair, strict=True):
            sides[id(side)] = side
            weights[id(side)] = weights.get(id(side), 0.0) + sign / len(pairs)
    return contrast([(weights[key], side) for key, side in sides.items()])


def contrast(sides: Sequence[tuple[float, Trainings]]) -> Difference:
    """A weighted sum of mean scores, such as a difference.

    Args:
        sides: weight and trainings of each.
    """
    sides = [(weight, side.complete()) for weight, side in sides]
    shared = set.intersection(*(set(side.keys) for _, side in sides))
    if shared:
        sides = [(weight, side.with_draws(shared)) for weight, side in sides]
    mean, resampled = 0.0, np.zeros(sides[0][1].resamples.shape[1])
    for weight, side in sides:
        mean += weight * float(side.by_draw(side.values).mean())
        resampled += weight * side.by_draw(side.resamples).mean(axis=0)
    terms = _paired_terms(sides) if shared else _separate_terms(sides)
    images = float(np.nanvar(resampled, ddof=1))
    reach = _reach(1 - LEVEL, images, terms)
    interval = Interval(mean - reach, mean + reach)
    trainings = min(min(side.independent, len(side.draws)) for _, side in sides)
    return Difference(mean, interval, _p_value(abs(mean), images, terms), trainings)


def mean_interval(trainings: Trainings, low: float = -np.inf, high: float = np.inf) -> Interval:
    """95% interval of a mean score; its ends keep within what the score can be.

    The quantiles of the bootstrap, which need not be symmetric, with Student's reach of the
    trainings added in quadrature.

    Args:
        trainings: of one kind.
        low, high: smallest and largest value of the score.

    Returns:
        The two ends of the interval.
    """
    trainings = trainings.complete()
    tail = 0.5 * (1 - LEVEL)
    mean = float(trainings.by_draw(trainings.values).mean())
    resampled = trainings.by_draw(trainings.resamples).mean(axis=0)
    ends = np.nanquantile(resampled, [tail, 1 - tail])
    reach = _reach(1 - LEVEL, 0.0, _paired_terms([(1.0, trainings)]))
    below, above = np.hypot(mean - ends[0], reach), np.hypot(ends[1] - mean, reach)
    return Interval(max(float(mean - below), low), min(float(mean + above), high))


_Term = tuple[float, float]
"""Variance of a mean over units, and its degrees of freedom; none of either for one unit."""


def _paired_terms(sides: Sequence[tuple[float, Trainings]]) -> list[_Term]:
    """Variances by level, of sides that have the same label draws.

    That between draws holds all that they do not share. What they share, the pretrainings that
    were finetuned with each of them, is a level of its own.
    """
    by_draw = sum(weight * side.by_draw(side.values) for weight, side in sides)
    between = _variance_between(np.asarray(by_draw), _nesting(sides))
    pretrainings = []
    for weight, side in sides:
        if side.is_crossed and len(side.draws) > 1:
            means = [
                np.mean(_scores_of(side, pretraining)) for pretraining in set(side.pretrainings)
            ]
            variance, freedom = _variance_between(np.array(means))
            pretrainings.append((weight**2 * variance, freedom))
        elif side.is_crossed:  # of one draw: there is no scatter between draws to hold it
            variance, freedom = _variance_between(side.values)
            pretrainings.append((weight**2 * variance, freedom))
    return [between, _sum_of(pretrainings)]


def _separate_terms(sides: Sequence[tuple[float, Trainings]]) -> list[_Term]:
    """Variances of sides that share no label draw, each by its pretrainings."""
    terms = []
    for weight, side in sides:
        for variance, freedom in _paired_terms([(1.0, side)]):
            terms.append((weight**2 * variance, freedom))
    return terms


def _nesting(sides: Sequence[tuple[float, Trainings]]) -> list[Hashable] | None:
    """The pretraining of each label draw, of the side that has fewest, where draws are not shared.

    The draws of one pretraining are not independent of each other. None if each draw is.
    """
    nested = [side for _, side in sides if not side.is_crossed]
    if not nested:
        return None
    side = min(nested, key=lambda each: each.independent)
    of_draw = dict(zip(side.keys, side.pretrainings, strict=True))
    return [of_draw[draw] for draw in side.draws]


def _scores_of(side: Trainings, pretraining: Hashable) -> list[float]:
    pairs = zip(side.pretrainings, side.values, strict=True)
    return [float(value) for other, value in pairs if other == pretraining]


def _variance_between(units: FloatArray, groups: Sequence[Hashable] | None = None) -> _Term:
    """Variance of the mean of units, or of the means of the groups that they lie in."""
    if groups is not None and len(set(groups)) > 1:
        units = np.array(
            [
                np.mean([unit for unit, mine in zip(units, groups, strict=True) if mine == group])
                for group in dict.fromkeys(groups)
            ]
        )
    if len(units) < 2:
        return 0.0, 0
    return float(units.var(ddof=1) / len(units)), len(units) - 1


def _sum_of(terms: Sequence[_Term]) -> _Term:
    """Independent variances together, with the degrees of freedom of Satterthwaite 1946."""
    total = sum(variance for variance, freedom in terms if freedom)
    if not total:
        return 0.0, 0
    squares = sum(variance**2 / freedom for variance, freedom in terms if freedom)
    return total, total**2 / squares


def _reach(p: float, images: float, trainings: Sequence[_Term]) -> float:
    """Half the length of the interval that leaves out a probability p, two-sided.

    Args:
        p: probability.
        images: variance over test images, which the bootstrap knows well.
        trainings: variances of means over trainings, with their degrees of freedom.
    """
    # scipy.special: a hundred times faster than the distributions of scipy.stats
    normal = images * ndtri(0.5 * p) ** 2
    student = sum(variance * stdtrit(n, 0.5 * p) ** 2 for variance, n in trainings if n)
    return float((normal + student) ** 0.5)


def _p_value(size: float, images: float, trainings: Sequence[_Term]) -> float:
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
