"""Priors: a number, or the distribution that one image's value is drawn from.

To add a distribution: its name in `Prior.kind`, its check in `_CHECKS`, its values in `support` and
`draw`, and a line in docs/how-to/priors.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import AfterValidator, model_serializer, model_validator

from lenssim.spec.section import Frozen

_UNLIKELY_DEVIATIONS = 10.0
"""Standard deviations beyond which a normal draw is taken never to fall (p < 1e-23)."""


class Prior(Frozen):
    """A number, or the distribution that one image's value is drawn from.

    Written in YAML as a plain number or as one of `{uniform: [low, high]}`,
    `{log_uniform: [low, high]}`, `{normal: [mean, sd]}`, `{poisson: mean}`, `{choice: [..]}`.
    """

    kind: Literal["fixed", "uniform", "log_uniform", "normal", "poisson", "choice"]
    parameters: tuple[float, ...]

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, Prior):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | dict):
            raise ValueError(f"must be a number or a distribution: {DISTRIBUTIONS}")
        if not isinstance(value, dict):
            return {"kind": "fixed", "parameters": (float(value),)}
        if len(value) != 1:
            raise ValueError(f"must name one distribution: {DISTRIBUTIONS}")
        [(kind, parameters)] = value.items()
        if kind not in _CHECKS:
            raise ValueError(f"must be a number or a distribution: {DISTRIBUTIONS}")
        if not isinstance(parameters, list | tuple):
            parameters = [parameters]
        if not all(
            isinstance(p, int | float) and not isinstance(p, bool) and math.isfinite(p)
            for p in parameters
        ):
            raise ValueError(f"{kind} takes finite numbers: {DISTRIBUTIONS}")
        is_valid, rule = _CHECKS[kind]
        if not is_valid(parameters):
            raise ValueError(f"{kind} takes {rule}")
        return {"kind": kind, "parameters": tuple(float(p) for p in parameters)}

    @model_serializer
    def _to_yaml(self) -> Any:
        if self.kind == "fixed":
            return self.parameters[0]
        if self.kind == "poisson":
            return {"poisson": self.parameters[0]}
        return {self.kind: list(self.parameters)}

    def __str__(self) -> str:
        """The prior as it is written in YAML."""
        return json.dumps(self._to_yaml()).replace('"', "")

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can be drawn (a normal's reaches ten deviations)."""
        low = self.parameters[0]
        if self.kind == "normal":
            reach = _UNLIKELY_DEVIATIONS * self.parameters[1]
            return low - reach, low + reach
        if self.kind == "poisson":
            return 0.0, float(poisson_bound(low))
        return min(self.parameters), max(self.parameters)

    def draw(self, generator: np.random.Generator) -> float:
        """One value; a fixed prior takes nothing from the generator."""
        first, last = self.parameters[0], self.parameters[-1]
        match self.kind:
            case "fixed":
                return first
            case "uniform":
                return first + (last - first) * generator.random()
            case "log_uniform":
                return min(first * (last / first) ** generator.random(), last)
            case "normal":
                return first + last * generator.standard_normal()
            case "poisson":
                return float(min(generator.poisson(first), poisson_bound(first)))
            case "choice":
                return self.parameters[int(generator.integers(len(self.parameters)))]


_CHECKS = {
    "uniform": (lambda p: len(p) == 2 and p[0] < p[1], "[low, high] with low < high"),
    "log_uniform": (
        lambda p: len(p) == 2 and 0 < p[0] < p[1],
        "[low, high] with 0 < low < high",
    ),
    "normal": (lambda p: len(p) == 2 and p[1] > 0, "[mean, sd] with sd > 0"),
    "poisson": (lambda p: len(p) == 1 and 0 <= p[0] <= 1e5, "one mean between 0 and 100000"),
    "choice": (lambda p: len(p) > 0, "a list of at least one number"),
}
DISTRIBUTIONS = (
    "{uniform: [low, high]}, {log_uniform: [low, high]}, {normal: [mean, sd]}, "
    "{poisson: mean} or {choice: [..]}"
)


def poisson_bound(mean: float) -> int:
    """A count that a Poisson draw does not exceed in practice (probability below 1e-15).

    Arrays of subhalos are this long, so that one image does not depend on how many others are
    made; draws are cut there. Bennett's inequality, P(N >= mean + t) <= exp(-t^2 / (2 mean +
    2 t / 3)), solved for t at 1e-15.
    """
    log_probability = 15 * math.log(10)
    third = log_probability / 3
    return math.ceil(mean + third + math.sqrt(third**2 + 2 * mean * log_probability))


@dataclass(frozen=True)
class _Range:
    """A check of a value's range, with what it allows in words, for messages and documentation."""

    allowed: str
    check: Callable[[Any], Any]

    def __call__(self, value: Any) -> Any:
        return self.check(value)


def within(
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    unit: str = "",
) -> AfterValidator:
    """Validator that holds a number, or a prior's whole support, inside a range."""
    bounds = [
        (above, lambda low, high: low > above, "greater than"),
        (least, lambda low, high: low >= least, "at least"),
        (below, lambda low, high: high < below, "less than"),
        (most, lambda low, high: high <= most, "at most"),
    ]
    active = [(holds, f"{words} {bound:g}") for bound, holds, words in bounds if bound is not None]
    allowed = " and ".join(words for _, words in active) + (f" {unit}" if unit else "")

    def check(value: Prior | float | None) -> Prior | float | None:
        if value is None:
            return None
        low, high = value.support if isinstance(value, Prior) else (value, value)
        if not all(holds(low, high) for holds, _ in active):
            raise ValueError(f"must be {allowed}")
        return value

    return AfterValidator(_Range(allowed, check))


def matching(pattern: str, words: str) -> AfterValidator:
    """Validator that holds a text to a pattern, which the words describe."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)
