"""Which views a method compares: recipes, as in views.yaml or in a file of the user's."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from lensmodels.errors import UsageError
from lensmodels.schema import Settings
from lenssim.configuration.yaml_reading import parse_yaml, read_yaml


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= bounds[0] <= bounds[1]:
        raise ValueError("the lower bound comes first, and neither is negative")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]


class ViewSettings(Settings):
    """One view: how an image is changed; by blur, noise and angle before the scaling."""

    count: int = Field(1, ge=1)
    """Views that are drawn like this."""
    blur: Range = (0.0, 0.0)
    """Standard deviation of a Gaussian, pixels, from and to."""
    noise: Range = (0.0, 0.0)
    """Added Gaussian noise, in units of the sky noise or of data.noise_unit, from and to."""
    zoom: Range = (1.0, 1.0)
    """Share of the image's side that a random crop keeps, before it is resized to the full size,
    from and to."""
    angle: float = Field(0.0, ge=0, le=180)
    """Bound of an arbitrary rotation about the centre, either way, degrees; see
    `transforms.rotate`."""
    symmetry: Literal["none", "rotation", "any"] = "none"
    """Rotation by 90, 180 or 270 degrees, or any of the eight symmetries of the square."""
    window: int | None = Field(None, ge=8)
    """Side of a random square that is cut out and not resized, pixels; the whole image if not
    given."""


Recipe = tuple[ViewSettings, ...]

_RECIPE = TypeAdapter(Recipe)


def recipe_from(values: Any, where: str) -> Recipe:
    """A list of views, validated.

    Raises:
        UsageError: naming the place, the key and what is allowed.
    """
    try:
        return _RECIPE.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the list"
        raise UsageError(f"{where}: {key}: {first['msg']}.") from None


def default_recipe(method: str) -> Recipe:
    """The views of a method that come with lensmodels: its own, or those of any pretraining."""
    text = files("lensmodels.views").joinpath("views.yaml").read_text("utf-8")
    recipes = parse_yaml(text, "views.yaml")
    name = method if method in recipes else "pretraining"
    return recipe_from(recipes[name], f"views.yaml, {name}")


def plain_recipe(recipe: Recipe) -> list[dict[str, Any]]:
    """A recipe as JSON-able values, with the defaults written out."""
    return [view.model_dump(mode="json") for view in recipe]


def read_recipe(file: Path) -> Recipe:
    """The views of a YAML file: a list with one mapping for each view.

    Raises:
        UsageError: if it cannot be read, or is not a list of views.
    """
    return recipe_from(read_yaml(file, UsageError), str(file))
