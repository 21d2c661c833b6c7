"""Many lenses at once: which dark matter N images of one universe show.

A universe is a class with its population parameters, f_sub and the axion mass, fixed; its images
are independent. One image of a realistic survey tells next to nothing, but many together may.

universes   images by the universe that they are of, and sets of them
set_model   an encoder's features of N images to the class, f_sub and the mass of their universe
learning    training it on sets of embedded images
scoring     AUC by N, for the sum over single images and for a bound, too
stage       a run of the task: embeds, learns and scores
page        what a run of it reports
"""

from typing import TYPE_CHECKING

from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.sets.stage import train_sets

__all__ = ["train_sets"]

__getattr__ = lazy_names(__name__, {"train_sets": "lensmodels.sets.stage"})
"""Settings are checked before torch is imported, which takes seconds."""
