"""Views: what a method sees of an image.

recipes      which views a method compares; those that come with lensmodels are in views.yaml
transforms   how they are drawn
"""

from typing import TYPE_CHECKING

from lensmodels.views.recipes import (
    Recipe,
    ViewSettings,
    default_recipe,
    plain_recipe,
    read_recipe,
    recipe_from,
)
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.views.transforms import (
        SYMMETRIES,
        Draws,
        Orientation,
        View,
        Views,
        apply_dihedral,
        blur,
        cut_window,
        draw_view,
        enlarge,
        rotate,
    )

__all__ = [
    "SYMMETRIES",
    "Draws",
    "Orientation",
    "Recipe",
    "View",
    "ViewSettings",
    "Views",
    "apply_dihedral",
    "blur",
    "cut_window",
    "default_recipe",
    "draw_view",
    "enlarge",
    "plain_recipe",
    "read_recipe",
    "recipe_from",
    "rotate",
]

__getattr__ = lazy_names(
    __name__, dict.fromkeys(set(__all__) - set(globals()), "lensmodels.views.transforms")
)
"""Settings are checked before torch is imported, which takes seconds."""
