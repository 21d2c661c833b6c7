"""A prior multiplied by a factor, or moved by an offset."""

from __future__ import annotations

from lenssim.errors import SpecError
from lenssim.spec.priors import Prior

_SCALED: dict[str, tuple[int, ...]] = {
    "fixed": (0,),
    "uniform": (0, 1),
    "log_uniform": (0, 1),
    "normal": (0, 1),
    "truncated_normal": (0, 1, 2, 3),
    "lognormal": (0, 2, 3),
    "rayleigh": (0, 1, 2),
    "velocity_function": (0, 3, 4),
}
"""Places of the parameters that have the unit of the value, by distribution."""

_MOVED: dict[str, tuple[int, ...]] = {
    "fixed": (0,),
    "uniform": (0, 1),
    "normal": (0,),
    "truncated_normal": (0, 2, 3),
}
"""Places of the parameters that an offset is added to, by distribution."""


def scaled_prior(prior: Prior, factor: float) -> Prior:
    """The prior of a value multiplied by a factor.

    Args:
        prior: of the value.
        factor: above 0.

    Raises:
        SpecError: if its distribution does not stay of one kind.
    """
    return _with_parameters(
        prior, {place: factor * value for place, value in _chosen(prior, _SCALED)}
    )


def moved_prior(prior: Prior, offset: float) -> Prior:
    """The prior of a value plus an offset.

    Args:
        prior: of the value.
        offset: in the unit of the value.

    Raises:
        SpecError: if its distribution does not stay of one kind.
    """
    return _with_parameters(
        prior, {place: value + offset for place, value in _chosen(prior, _MOVED)}
    )


def _chosen(prior: Prior, places: dict[str, tuple[int, ...]]) -> list[tuple[int, float]]:
    """Place and value of the parameters that change."""
    if prior.kind == "choice":
        return list(enumerate(prior.parameters))
    if prior.kind not in places:
        raise SpecError(
            f"The prior {prior} cannot be scaled or moved: of distributions, only "
            f"{', '.join([*places, 'choice'])} can."
        )
    return [
        (place, prior.parameters[place])
        for place in places[prior.kind]
        if place < len(prior.parameters)
    ]


def _with_parameters(prior: Prior, changed: dict[int, float]) -> Prior:
    parameters = tuple(changed.get(place, value) for place, value in enumerate(prior.parameters))
    return prior.model_copy(update={"parameters": parameters})
