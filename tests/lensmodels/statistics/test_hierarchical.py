"""Intervals hold the truth where pretrainings, label draws and test images all scatter.

The true variances are known, as scores are drawn here: value = effect of the pretraining + effect
of the label draw, which both sides of a difference share in part + noise of the training.
"""

import numpy as np
import pytest
from scipy.stats import norm

from lensmodels.statistics.multiple_testing import LEVEL, significant
from lensmodels.statistics.paired import (
    Trainings,
    contrast,
    difference,
    mean_interval,
    pooled_difference,
)

PRETRAININGS, DRAWS, IMAGES, RESAMPLES = 3, 3, 20, 30

ROUNDS = 200

BETWEEN = {"pretraining": 1.0, "draw": 0.5, "training": 0.5}
"""Standard deviations of a score."""


def drawn_images(generator):
    """How often each test image is in each resample, (resamples, images)."""
    return generator.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=RESAMPLES)


def side(generator, counts, shared, effect=0.0, between=BETWEEN, pretrained=True):
    """Trainings of one method: 3 pretrainings x 3 label draws, or 3 from random weights.

    Args:
        generator: of the scores.
        counts: of the images.
        shared: effect of each label draw that another side has, too.
        effect: true mean.
        between: standard deviations.
        pretrained: whether there are pretrainings, each with every label draw.
    """
    own = between["draw"] * generator.normal(size=DRAWS) + shared
    if pretrained:
        of_pretraining = between["pretraining"] * generator.normal(size=PRETRAININGS)
        pairs = [(which, draw) for which in range(PRETRAININGS) for draw in range(DRAWS)]
        luck = np.array([of_pretraining[which] + own[draw] for which, draw in pairs])
    else:
        pairs = [(f"random {draw}", draw) for draw in range(DRAWS)]
        luck = own
    values = effect + luck + between["training"] * generator.normal(size=len(pairs))
    # images scatter, too, each training in its own way
    of_images = values[:, None] + 2.0 * generator.normal(size=(len(pairs), IMAGES))
    return Trainings(
        [draw for _, draw in pairs],
        [which for which, _ in pairs],
        of_images.mean(axis=1),
        of_images @ counts.T / IMAGES,
    )


def naive_interval(first, second):
    """95%, as if all trainings were independent of each other: a plain bootstrap's."""
    baseline = dict(zip(second.keys, second.values, strict=True))
    pairs = first.values - [baseline[draw] for draw in first.keys]
    middle, reach = pairs.mean(), norm.ppf(0.975) * pairs.std() / len(pairs) ** 0.5
    return middle - reach, middle + reach


def coverage(make_interval, truth, rounds=ROUNDS, **settings):
    """Share of intervals that hold the true difference of a method from its baseline."""
    generator = np.random.default_rng(8)
    held = 0
    for _ in range(rounds):
        counts, shared = drawn_images(generator), generator.normal(size=DRAWS)
        first = side(generator, counts, shared, truth, **settings)
        second = side(generator, counts, shared, pretrained=False, **settings)
        low, high = make_interval(first, second)
        held += low <= truth <= high
    return held / rounds


def hierarchical_interval(first, second):
    found = difference(first, second).interval
    return found.low, found.high


MARGIN = 3 * np.sqrt(0.05 * 0.95 / ROUNDS)
"""Three standard deviations of a coverage of 95%."""


@pytest.mark.parametrize("pretraining", [0.0, 1.0, 4.0])
def test_intervals_of_differences_hold_the_truth(pretraining):
    found = coverage(hierarchical_interval, 1.5, between=BETWEEN | {"pretraining": pretraining})
    assert found >= 0.95 - MARGIN


def test_a_bootstrap_of_all_trainings_alike_holds_it_too_seldom():
    """Nine trainings of three pretrainings are taken for nine."""
    assert coverage(naive_interval, 1.5) < 0.85
    assert coverage(naive_interval, 1.5, between=BETWEEN | {"pretraining": 4.0}) < 0.75


def test_intervals_of_means_hold_the_truth():
    generator = np.random.default_rng(9)
    held = 0
    for _ in range(ROUNDS):
        shared = generator.normal(size=DRAWS)
        found = mean_interval(side(generator, drawn_images(generator), shared, 7.0))
        held += found.low <= 7.0 <= found.high
    assert held / ROUNDS >= 0.95 - MARGIN


@pytest.mark.slow
def test_false_differences_in_a_table_are_as_rare_as_stated():
    """Tables of seven methods that equal the baseline that they share."""
    generator = np.random.default_rng(10)
    tables, wrong = 100, 0
    for _ in range(tables):
        counts, shared = drawn_images(generator), generator.normal(size=DRAWS)
        baseline = side(generator, counts, shared, pretrained=False)
        rows = [side(generator, counts, shared) for _ in range(7)]
        wrong += any(significant([difference(row, baseline) for row in rows]))
    assert wrong / tables < LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / tables)


@pytest.mark.parametrize("rounds", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_the_pooled_effect_of_rows_is_surer_than_each_and_holds_the_truth(rounds):
    generator = np.random.default_rng(11)
    held, lengths = 0, []
    for _ in range(rounds):
        counts, shared = drawn_images(generator), generator.normal(size=DRAWS)
        baseline = side(generator, counts, shared, pretrained=False)
        rows = [side(generator, counts, shared, 0.5) for _ in range(7)]
        pooled = pooled_difference([(row, baseline) for row in rows])
        held += pooled.interval.low <= 0.5 <= pooled.interval.high
        each = [difference(row, baseline) for row in rows]
        assert pooled.mean == pytest.approx(np.mean([found.mean for found in each]))
        lengths.append(pooled.interval.high - pooled.interval.low)
        lengths[-1] /= np.mean([found.interval.high - found.interval.low for found in each])
    assert held / rounds >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / rounds)
    assert np.median(lengths) < 0.8


def test_variances_are_those_of_resampling_pretrainings_then_label_draws():
    """Against drawing n - 1 of n pretrainings, then n - 1 of n draws in each, 20,000 times.

    Draws of its own for each pretraining: a hierarchy, in which the scatter of the pretrainings'
    means holds all. Images without scatter, to see the trainings alone.
    """
    generator = np.random.default_rng(12)
    values = generator.normal(size=PRETRAININGS)[:, None] + generator.normal(size=(3, DRAWS))
    nested = Trainings(
        list(range(9)), np.repeat([0, 1, 2], 3).tolist(), values.ravel(), np.zeros((9, 2))
    )
    found = contrast([(1.0, nested)])
    which = generator.integers(3, size=(20_000, 2))
    means = values.mean(axis=1)[which].mean(axis=1)
    # Student's for three units: half a length is 4.303 standard errors
    assert (found.interval.high - found.mean) / 4.3027 == pytest.approx(means.std(), rel=0.02)
    # resampling the draws within adds less than what the pretrainings' means hold already
    draws = generator.integers(3, size=(20_000, 2, 2))
    both = np.take_along_axis(values[which], draws, axis=2).mean(axis=(1, 2))
    assert both.std() >= means.std()


def test_levels_of_a_crossed_design_by_hand():
    """Pretrainings differ by 2, draws by 1, exactly; one of each is like the other."""
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    crossed = Trainings([0, 1, 0, 1], ["a", "a", "b", "b"], values.ravel(), np.zeros((4, 2)))
    assert crossed.is_crossed and crossed.replicates == "2 x 2 seeds"
    found = contrast([(1.0, crossed)])
    # variances of a mean: (0 - 2)^2 / 4 and (0 - 1)^2 / 4, each times Student's 12.706 squared
    assert found.mean == 1.5
    assert found.interval.high - 1.5 == pytest.approx(12.7062 * np.sqrt(1.0 + 0.25), rel=1e-4)


def test_one_label_draw_or_one_pretraining_is_never_significant():
    generator = np.random.default_rng(13)
    counts, shared = drawn_images(generator), np.zeros(DRAWS)
    between = dict.fromkeys(BETWEEN, 0.0)
    first = side(generator, counts, shared, 9.0, between)
    second = side(generator, counts, shared, 0.0, between, pretrained=False)
    assert significant([difference(first, second)]) == [True]
    for chosen in (first.with_draws([0]), _with_one_pretraining(first)):
        found = difference(chosen, second)
        assert found.trainings == 1 and significant([found]) == [False]


def _with_one_pretraining(trainings):
    return Trainings(
        trainings.keys, [0] * len(trainings.keys), trainings.values, trainings.resamples
    )


@pytest.mark.parametrize("missing", [(2, 7), (5,), (0, 1, 2, 4)])
def test_an_incomplete_design_is_cut_to_a_block_in_any_order(missing):
    generator = np.random.default_rng(3)
    counts, shared = drawn_images(generator), generator.normal(size=DRAWS)
    whole = side(generator, counts, shared)
    baseline = side(generator, counts, shared, pretrained=False)
    held = [place for place in range(len(whole.keys)) if place not in missing]

    def of(places):
        return Trainings(
            [whole.keys[place] for place in places],
            [whole.pretrainings[place] for place in places],
            whole.values[places],
            whole.resamples[places],
        )

    first = of(held)
    assert first.complete().is_crossed and not first.is_crossed
    for _ in range(5):
        other = of(list(generator.permutation(held)))
        gain, expected = difference(other, baseline), difference(first, baseline)
        assert gain.mean == pytest.approx(expected.mean)
        assert gain.interval.as_list() == pytest.approx(expected.interval.as_list())
        assert mean_interval(other).as_list() == pytest.approx(mean_interval(first).as_list())
    assert whole.complete() is whole and baseline.complete() is baseline
