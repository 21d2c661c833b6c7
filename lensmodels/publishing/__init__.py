"""Publishing a model: a folder of its own, anywhere, with a card.

requests   what `publish` is asked for, checked before torch is imported
files      the files of a model, without paths of the machine that trained it
card       README.md: what it was trained on, how well it does, where it must not be used
upload     all of it brought to a folder, a bucket or the hub

`lensmodels.runs.published` reads what is published.
"""

from typing import TYPE_CHECKING

from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.publishing.upload import publish

__all__ = ["DEFAULT_LICENCE", "publish"]

DEFAULT_LICENCE = "cc-by-4.0"
"""Of the weights, by the hub's identifiers."""

__getattr__ = lazy_names(__name__, {"publish": "lensmodels.publishing.upload"})
"""Requests are checked before torch is imported, which takes seconds."""
