"""Coverage of intervals and the rate of false differences, by simulation."""

import numpy as np
import pytest

from lensmodels.statistics.multiple_testing import LEVEL, holm, significant
from lensmodels.statistics.paired import Trainings, difference, mean_interval

IMAGES, RESAMPLES = 200, 200


def trainings(generator, draws, effect=0.0, pretrainings=None, shared=0.0):
    """Mean errors over images: each training has luck of its own, and so has each pretraining."""
    pretrainings = list(range(3)) if pretrainings is None else pretrainings
    luck = {name: shared * generator.normal() for name in pretrainings}
    images = generator.normal(size=(len(pretrainings), IMAGES))
    own = np.array([luck[name] + 0.1 * generator.normal() for name in pretrainings])
    values = effect + own[:, None] + 0.3 * images
    return Trainings(
        list(range(len(pretrainings))), pretrainings, values.mean(axis=1), values @ draws.T / IMAGES
    )


def bootstrap(generator):
    """How often each image is drawn, (resamples, images)."""
    return generator.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=RESAMPLES)


def test_holm_against_a_case_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).shape == (0,)


def test_false_differences_in_a_table_are_as_rare_as_stated():
    """Tables of ten comparisons of equals: one in twenty or fewer shows any difference."""
    generator = np.random.default_rng(3)
    tables, wrong = 300, 0
    for _ in range(tables):
        draws = bootstrap(generator)
        pairs = [(trainings(generator, draws), trainings(generator, draws)) for _ in range(10)]
        wrong += any(significant([difference(*pair) for pair in pairs]))
    assert wrong / tables < LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / tables)


def test_a_large_difference_is_found_among_equals():
    generator = np.random.default_rng(4)
    draws = bootstrap(generator)
    pairs = [(trainings(generator, draws), trainings(generator, draws)) for _ in range(9)]
    pairs.append((trainings(generator, draws, effect=3.0), trainings(generator, draws)))
    assert significant([difference(*pair) for pair in pairs])[-1]


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_intervals_hold_the_truth_where_pretrainings_differ(shared):
    """Three pretrainings with three trainings each, which share the luck of theirs."""
    generator = np.random.default_rng(5)
    held, rounds = 0, 400
    for _ in range(rounds):
        draws = bootstrap(generator)
        nested = trainings(generator, draws, 1.0, [0, 0, 0, 1, 1, 1, 2, 2, 2], shared)
        interval = mean_interval(nested)
        held += interval.low <= 1.0 <= interval.high
    assert held / rounds > 0.95 - 3 * np.sqrt(0.95 * 0.05 / rounds)


def test_too_few_trainings_are_never_significant():
    generator = np.random.default_rng(6)
    draws = bootstrap(generator)
    first, second = (trainings(generator, draws, effect, [0, 1]) for effect in (9.0, 0.0))
    assert difference(first, second).interval.low > 5
    assert significant([difference(first, second), None]) == [False, False]
