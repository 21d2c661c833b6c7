"""Names that specifications use, and the ranges of their numbers and priors."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from lenssim.spec.priors import AFTER_REDSHIFT, SIZE_MAGNITUDE, Prior, within

SubstructureClass = Literal["axion", "cdm", "no_sub", "unlabelled"]
UNLABELLED: SubstructureClass = "unlabelled"
"""Imported images whose class is not known; they are never simulated."""

CLASSES: tuple[SubstructureClass, ...] = ("axion", "cdm", "no_sub")
"""Substructure classes in the order of their labels: 0 axion, 1 cdm, 2 no_sub."""

GROUP_CLASSES: tuple[SubstructureClass, ...] = (*CLASSES, UNLABELLED)
"""What a group of an archive can hold."""


def label_of(substructure_class: SubstructureClass) -> int:
    """Label of the images of a class; -1 where it is not known."""
    return -1 if substructure_class == UNLABELLED else CLASSES.index(substructure_class)


Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What names a data set, in archives, files and random streams."""

NAME_RULE = "up to 64 letters, digits, dots, hyphens and underscores, with a letter or digit first"

MAX_SUBHALOS = 100_000
"""Subhalos that an image may have room for, when it is specified and when it is read."""

Redshift = Annotated[float, within(above=0.0)]
LensRedshift = Annotated[Prior, within(above=0.0, most=20.0)]
SourceRedshift = Annotated[Prior, within(above=0.0, most=20.0, dependent=AFTER_REDSHIFT)]
Length = Annotated[float, within(above=0.0, unit="arcsec")]
Seconds = Annotated[float, within(above=0.0, unit="seconds")]
Magnitude = Annotated[float, within(least=0.0, most=40.0, unit="mag")]
SubhaloMass = Annotated[float, within(least=1.0, most=1e16, unit="solar masses")]
Fraction = Annotated[Prior, within(least=0.0, below=1.0)]
Ellipticity = Annotated[Prior, within(above=-0.7, below=0.7)]
Angle = Annotated[Prior, within(least=-2 * math.pi, most=2 * math.pi, unit="radians")]
Position = Annotated[Prior, within(least=-10.0, most=10.0, unit="arcsec")]
SourceMagnitude = Annotated[Prior, within(least=0.0, most=40.0, unit="mag")]
SersicRadius = Annotated[
    Prior, within(least=0.01, most=10.0, unit="arcsec", dependent=SIZE_MAGNITUDE)
]
SersicIndex = Annotated[Prior, within(least=0.3, most=8.0)]
Mass = Annotated[Prior, within(above=0.0, most=1e16, unit="solar masses")]
