"""Priors: a number, or the distribution that one image's value is drawn from.

The distributions are in `lenssim.spec.distributions`, where a recipe says how to add one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, model_serializer, model_validator

from lenssim.errors import SpecError
from lenssim.spec.distributions import DISTRIBUTIONS, Given, poisson_bound, size_at_magnitude
from lenssim.spec.section import Frozen

AFTER_REDSHIFT = "after_redshift"
SIZE_MAGNITUDE = "size_magnitude"

MAX_REDRAWS = 1000
"""Draws of a source's redshift until one is behind the lens; see `after_redshift`."""

_AFTER_REDSHIFT_RULE = (
    "a gap of at least 0 and one distribution, as in {gap: 0.2, normal: [2.0, 0.3]}"
)


class Prior(Frozen):
    """A number, or the distribution that one image's value is drawn from.

    Written in YAML as a plain number or as a mapping of one distribution's name to its parameters.
    `after_redshift` holds another prior, in `base`: its draws that are above the lens's redshift
    by the gap, which is the parameter.
    """

    kind: str
    parameters: tuple[float, ...]
    base: Prior | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, Prior):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | dict):
            raise ValueError(f"must be a number or a distribution: {WRITTEN}")
        if not isinstance(value, dict):
            return {"kind": "fixed", "parameters": (float(value),)}
        if len(value) != 1:
            raise ValueError(f"must name one distribution: {WRITTEN}")
        [(kind, parameters)] = value.items()
        if kind == AFTER_REDSHIFT:
            return _after_redshift(parameters)
        if kind not in DISTRIBUTIONS:
            raise ValueError(f"must be a number or a distribution: {WRITTEN}")
        distribution = DISTRIBUTIONS[kind]
        if distribution.names and isinstance(parameters, dict):
            if set(parameters) != set(distribution.names):
                raise ValueError(f"{kind} takes {distribution.rule}")
            parameters = [parameters[name] for name in distribution.names]
        elif distribution.names:
            raise ValueError(f"{kind} takes {distribution.rule}: {distribution.written}")
        if not isinstance(parameters, list | tuple):
            parameters = [parameters]
        if not all(map(_is_number, parameters)):
            raise ValueError(f"{kind} takes finite numbers: {distribution.written}")
        numbers = tuple(float(p) for p in parameters)
        if not distribution.is_valid(numbers):
            raise ValueError(f"{kind} takes {distribution.rule}")
        return {"kind": kind, "parameters": numbers}

    @model_serializer
    def _to_yaml(self) -> Any:
        if self.kind == "fixed":
            return self.parameters[0]
        if self.kind == "poisson":
            return {"poisson": self.parameters[0]}
        if self.base is not None:
            return {self.kind: {"gap": self.parameters[0], **self.base._to_yaml()}}
        names = DISTRIBUTIONS[self.kind].names
        if names:
            return {self.kind: dict(zip(names, self.parameters, strict=True))}
        return {self.kind: list(self.parameters)}

    def __str__(self) -> str:
        """The prior as it is written in YAML."""
        return json.dumps(self._to_yaml()).replace('"', "")

    @classmethod
    def fixed(cls, value: float) -> Self:
        """The prior that is one number."""
        return cls.model_validate(value)

    @property
    def is_fixed(self) -> bool:
        """Whether it is one number, which takes nothing from a generator."""
        return self.kind == "fixed"

    @property
    def is_dependent(self) -> bool:
        """Whether its draw depends on another value of the image."""
        return self.kind in (AFTER_REDSHIFT, SIZE_MAGNITUDE)

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can be drawn (a normal's reaches ten deviations)."""
        if self.kind == "fixed":
            return self.parameters[0], self.parameters[0]
        if self.base is not None:
            return self.base.support
        return DISTRIBUTIONS[self.kind].support(self.parameters)

    def draw(self, generator: np.random.Generator, given: Given | None = None) -> float:
        """One value; a fixed prior takes nothing from the generator.

        Args:
            generator: of the image.
            given: `lens_redshift` for after_redshift, `source_magnitude` for size_magnitude.

        Raises:
            SpecError: if after_redshift finds no value above the lens's redshift.
        """
        if self.kind == "fixed":
            return self.parameters[0]
        if self.is_dependent:
            assert given is not None  # `within` lets dependent priors be where they can be drawn
            return self._draw_dependent(generator, given)
        return float(DISTRIBUTIONS[self.kind].draw(self.parameters, generator, None))

    def draw_many(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Independent values, shape (count,); a fixed prior takes nothing from the generator."""
        if self.kind == "fixed":
            return np.full(count, self.parameters[0])
        return np.asarray(
            DISTRIBUTIONS[self.kind].draw(self.parameters, generator, count), dtype=np.float64
        )

    def _draw_dependent(self, generator: np.random.Generator, given: Given) -> float:
        if self.base is None:
            return size_at_magnitude(self.parameters, given["source_magnitude"], generator)
        least = given["lens_redshift"] + self.parameters[0]
        for _ in range(MAX_REDRAWS):
            value = self.base.draw(generator)
            if value > least:
                return value
        raise SpecError(
            f"source.redshift = {self}: none of {MAX_REDRAWS} draws is above {least:.4g}, the "
            "redshift of the lens and the gap; raise it, or lower lens.redshift."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _after_redshift(values: Any) -> dict[str, Any]:
    """Fields of the prior after_redshift from its YAML."""
    if not isinstance(values, Mapping) or not _is_number(values.get("gap")) or len(values) != 2:
        raise ValueError(f"{AFTER_REDSHIFT} takes {_AFTER_REDSHIFT_RULE}")
    base = Prior.model_validate({key: value for key, value in values.items() if key != "gap"})
    if base.is_dependent:
        raise ValueError(f"{AFTER_REDSHIFT} cannot hold {base.kind}, which depends on a value too")
    if values["gap"] < 0:
        raise ValueError(f"{AFTER_REDSHIFT} takes {_AFTER_REDSHIFT_RULE}")
    return {"kind": AFTER_REDSHIFT, "parameters": (float(values["gap"]),), "base": base}


WRITTEN = (
    ", ".join(distribution.written for distribution in DISTRIBUTIONS.values())
    + " or {after_redshift: {gap, ..}}"
)
"""Every distribution as it is written, for messages."""


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
    dependent: str | None = None,
) -> AfterValidator:
    """A pydantic validator that holds a number, or a prior's whole support, inside a range.

    Its ValueError says what is allowed, which `loading` makes a sentence with the key and value.

    Args:
        above, below: bounds that are not allowed themselves.
        least, most: bounds that are allowed themselves.
        unit: of the numbers, for the sentence and the reference.
        dependent: kind of distribution that may depend on another value of the image here.
    """
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
        if isinstance(value, Prior) and value.is_dependent and value.kind != dependent:
            place = {AFTER_REDSHIFT: "source.redshift", SIZE_MAGNITUDE: "source.r_sersic"}
            raise ValueError(
                f"{value.kind} is a prior for {place[value.kind]} alone, as its draw depends on "
                "another value of the image"
            )
        low, high = value.support if isinstance(value, Prior) else (value, value)
        if not all(holds(low, high) for holds, _ in active):
            is_normal = isinstance(value, Prior) and value.kind == "normal"
            hint = "; truncated_normal keeps draws in a range" if is_normal else ""
            raise ValueError(f"must be {allowed}{hint}")
        return value

    return AfterValidator(_Range(allowed, check))


def matching(pattern: str, words: str) -> AfterValidator:
    """A pydantic validator that holds a text to a regular expression, which `words` describe.

    Its ValueError says "must be ..." with these words.
    """

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


__all__ = ["Prior", "matching", "poisson_bound", "within"]
