"""The distributions of priors: which numbers they take, their support, and how to draw from them.

To add one: an entry in `DISTRIBUTIONS`, a test against scipy's distribution in
tests/lenssim/spec/test_priors.py, and a line in docs/how-to/priors.md.

The truncated ones invert their cumulative distribution: each value takes one uniform number from
the generator, however narrow the range is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lenssim.errors import SpecError

Parameters = tuple[float, ...]
Given = Mapping[str, float]
"""What a dependent prior depends on, by the name of the column."""

UNLIKELY_DEVIATIONS = 10.0
"""Standard deviations beyond which a normal draw is taken never to fall (p < 1e-23)."""

MAX_TAIL = 30.0
"""Standard deviations from the mean at which a truncated range may begin."""


@dataclass(frozen=True)
class Distribution:
    """A distribution: `draw` takes (parameters, generator, size), where size may be None."""

    written: str
    """As in YAML, for messages."""
    rule: str
    """What its parameters must be, for messages."""
    is_valid: Callable[[Parameters], bool]
    support: Callable[[Parameters], tuple[float, float]]
    draw: Callable[[Parameters, np.random.Generator, int | None], Any]
    names: tuple[str, ...] = ()
    """Names of the parameters, where they are written as a mapping."""


def _clipped(values: Any, low: float, high: float) -> Any:
    """np.clip of one number or many, in a tenth of its time for one."""
    return np.minimum(np.maximum(values, low), high)


def _uniform(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    return p[0] + (p[1] - p[0]) * generator.random(size)


def _log_uniform(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    return np.minimum(p[0] * (p[1] / p[0]) ** generator.random(size), p[1])


def _normal(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    return p[0] + p[1] * generator.standard_normal(size)


def poisson_bound(mean: float) -> int:
    """A count that a Poisson draw does not exceed in practice (probability below 1e-15).

    Arrays of subhalos are this long, so that one image does not depend on how many others are
    made; draws are cut there. Bennett's inequality, P(N >= mean + t) <= exp(-t^2 / (2 mean +
    2 t / 3)), solved for t at 1e-15.
    """
    log_probability = 15 * math.log(10)
    third = log_probability / 3
    return math.ceil(mean + third + math.sqrt(third**2 + 2 * mean * log_probability))


def _poisson(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    return np.minimum(generator.poisson(p[0], size), poisson_bound(p[0]))


def _choice(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    return np.asarray(p)[generator.integers(len(p), size=size)]


def standard_normal_between(low: float, high: float, uniform: Any) -> Any:
    """Quantiles of a standard normal deviate that is known to lie in a range.

    Args:
        low, high: of the range, low < high.
        uniform: in [0, 1), any shape.
    """
    from scipy.special import ndtr, ndtri  # a tenth of a second, for those who draw

    if low > 0:  # in the upper tail the cumulative distribution is one to rounding
        return -standard_normal_between(-high, -low, uniform)
    first, last = ndtr(low), ndtr(high)
    return _clipped(ndtri(first + (last - first) * uniform), low, high)


def _truncated_normal(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    mean, deviation, low, high = p
    scaled = standard_normal_between(
        (low - mean) / deviation, (high - mean) / deviation, generator.random(size)
    )
    return _clipped(mean + deviation * scaled, low, high)


def _lognormal_range(p: Parameters) -> tuple[float, float]:
    if len(p) == 4:
        return p[2], p[3]
    reach = math.exp(UNLIKELY_DEVIATIONS * p[1])
    return p[0] / reach, p[0] * reach


def _lognormal(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    low, high = _lognormal_range(p)
    ends = [math.log(end / p[0]) / p[1] for end in (low, high)]
    deviates = standard_normal_between(ends[0], ends[1], generator.random(size))
    return _clipped(p[0] * np.exp(p[1] * deviates), low, high)


def _rayleigh_range(p: Parameters) -> tuple[float, float]:
    return (p[1], p[2]) if len(p) == 3 else (0.0, UNLIKELY_DEVIATIONS * p[0])


def _rayleigh(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    low, high = _rayleigh_range(p)
    # of those above `low`, x^2 - low^2 is exponential
    kept = -np.expm1((low**2 - high**2) / (2 * p[0] ** 2))
    squared = low**2 - 2 * p[0] ** 2 * np.log1p(-kept * generator.random(size))
    return _clipped(np.sqrt(squared), low, high)


def _rayleigh_flattening(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    scale, least = p
    return 1.0 - _rayleigh((scale, 0.0, 1.0 - least), generator, size)


def _velocity_function(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    """Dn / d sigma ~ (sigma / sigma_star)^alpha exp(-(sigma / sigma_star)^beta) / sigma.

    So (sigma / sigma_star)^beta follows a gamma distribution of shape alpha / beta.
    """
    from scipy.special import gammainc, gammaincinv

    sigma_star, alpha, beta, low, high = p
    shape = alpha / beta
    first, last = (gammainc(shape, (end / sigma_star) ** beta) for end in (low, high))
    powers = gammaincinv(shape, first + (last - first) * generator.random(size))
    return _clipped(sigma_star * powers ** (1 / beta), low, high)


def size_at_magnitude(p: Parameters, magnitude: float, generator: np.random.Generator) -> float:
    """A radius of a galaxy of a magnitude, normal in log10 of the radius and truncated.

    Args:
        p: intercept, slope, reference, scatter_dex, low, high.
        magnitude: of the galaxy.
        generator: of which one number is taken.

    Returns:
        The radius, arcsec.

    Raises:
        SpecError: if the range is more than `MAX_TAIL` times the scatter from the median radius.
    """
    intercept, slope, reference, scatter, low, high = p
    median = intercept + slope * (magnitude - reference)
    ends = [(math.log10(end) - median) / scatter for end in (low, high)]
    if min(map(abs, ends)) > MAX_TAIL and ends[0] * ends[1] > 0:
        raise SpecError(
            f"size_magnitude has a median radius of {10**median:.3g} arcsec at magnitude "
            f"{magnitude:.4g}, more than {MAX_TAIL:g} times its scatter from its range "
            f"{low:g} to {high:g}: change the range or the magnitudes."
        )
    deviate = standard_normal_between(ends[0], ends[1], generator.random())
    return float(_clipped(10 ** (median + scatter * deviate), low, high))


def _no_draw(p: Parameters, generator: np.random.Generator, size: int | None) -> Any:
    raise NotImplementedError("drawn by Prior.draw, from what it depends on")


def _outer(p: Parameters) -> tuple[float, float]:
    return min(p), max(p)


def _last_two(p: Parameters) -> tuple[float, float]:
    return p[-2], p[-1]


def _normal_support(p: Parameters) -> tuple[float, float]:
    reach = UNLIKELY_DEVIATIONS * p[1]
    return p[0] - reach, p[0] + reach


def _near(mean: float, deviation: float, low: float, high: float) -> bool:
    """Whether a range has a part that is no more than `MAX_TAIL` deviations from the mean."""
    reach = MAX_TAIL * deviation
    return low < high and low < mean + reach and high > mean - reach


def _is_truncated_normal(p: Parameters) -> bool:
    return len(p) == 4 and p[1] > 0 and _near(*p)


def _is_lognormal(p: Parameters) -> bool:
    if len(p) not in (2, 4) or p[0] <= 0 or not 0 < p[1] <= 5:
        return False
    return len(p) == 2 or (
        0 < p[2] < p[3] and _near(math.log(p[0]), p[1], math.log(p[2]), math.log(p[3]))
    )


def _is_rayleigh(p: Parameters) -> bool:
    if len(p) not in (1, 3) or p[0] <= 0:
        return False
    return len(p) == 1 or (0 <= p[1] < p[2] and p[1] < MAX_TAIL * p[0])


def _is_velocity_function(p: Parameters) -> bool:
    return len(p) == 5 and min(p) > 0 and p[3] < p[4] and p[3] < 3 * p[0]


def _is_size_magnitude(p: Parameters) -> bool:
    return len(p) == 6 and p[3] > 0 and 0 < p[4] < p[5]


DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": Distribution(
        "{uniform: [low, high]}",
        "[low, high] with low < high",
        lambda p: len(p) == 2 and p[0] < p[1],
        _outer,
        _uniform,
    ),
    "log_uniform": Distribution(
        "{log_uniform: [low, high]}",
        "[low, high] with 0 < low < high",
        lambda p: len(p) == 2 and 0 < p[0] < p[1],
        _outer,
        _log_uniform,
    ),
    "normal": Distribution(
        "{normal: [mean, sd]}",
        "[mean, sd] with sd > 0",
        lambda p: len(p) == 2 and p[1] > 0,
        _normal_support,
        _normal,
    ),
    "truncated_normal": Distribution(
        "{truncated_normal: [mean, sd, low, high]}",
        "[mean, sd, low, high] with sd > 0, low < high, and a part of the range within "
        f"{MAX_TAIL:g} sd of the mean",
        _is_truncated_normal,
        _last_two,
        _truncated_normal,
    ),
    "lognormal": Distribution(
        "{lognormal: [median, sigma_ln, low, high]}",
        "[median, sigma_ln] or [median, sigma_ln, low, high] with median > 0, 0 < sigma_ln <= 5, "
        f"0 < low < high, and a part of the range within {MAX_TAIL:g} sigma_ln of the median",
        _is_lognormal,
        _lognormal_range,
        _lognormal,
    ),
    "rayleigh": Distribution(
        "{rayleigh: [scale, low, high]}",
        "[scale] or [scale, low, high] with scale > 0, 0 <= low < high and "
        f"low < {MAX_TAIL:g} scale",
        _is_rayleigh,
        _rayleigh_range,
        _rayleigh,
    ),
    "rayleigh_flattening": Distribution(
        "{rayleigh_flattening: [scale, least]}",
        "[scale, least] with scale > 0 and 0 < least < 1: an axis ratio q, at least `least`, whose "
        "1 - q follows a Rayleigh distribution",
        lambda p: len(p) == 2 and p[0] > 0 and 0 < p[1] < 1,
        lambda p: (p[1], 1.0),
        _rayleigh_flattening,
    ),
    "velocity_function": Distribution(
        "{velocity_function: {sigma_star, alpha, beta, low, high}}",
        "sigma_star, alpha, beta, low and high, all above 0, with low < high and "
        "low < 3 sigma_star",
        _is_velocity_function,
        _last_two,
        _velocity_function,
        names=("sigma_star", "alpha", "beta", "low", "high"),
    ),
    "poisson": Distribution(
        "{poisson: mean}",
        "one mean between 0 and 100000",
        lambda p: len(p) == 1 and 0 <= p[0] <= 1e5,
        lambda p: (0.0, float(poisson_bound(p[0]))),
        _poisson,
    ),
    "choice": Distribution(
        "{choice: [..]}",
        "a list of at least one number",
        lambda p: len(p) > 0,
        _outer,
        _choice,
    ),
    "size_magnitude": Distribution(
        "{size_magnitude: {intercept, slope, reference, scatter_dex, low, high}}",
        "intercept, slope, reference, scatter_dex, low and high, with scatter_dex > 0 and "
        "0 < low < high",
        _is_size_magnitude,
        _last_two,
        _no_draw,
        names=("intercept", "slope", "reference", "scatter_dex", "low", "high"),
    ),
}
"""By the name in YAML. `after_redshift`, which holds another prior, is in `Prior` itself."""
