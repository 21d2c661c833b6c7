"""Images by the universe that they are of, and sets of images of one universe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensmodels.data import CLASSES, ClassName
from lensmodels.errors import DataError, UsageError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_VALUES = 30
"""Different values of a parameter above which few images share one."""


_NO_MASS = -1.0
"""In place of the axion mass of other classes: NaN is not equal to itself."""


@dataclass(frozen=True)
class Universe:
    """A class of dark matter with its population parameters.

    Attributes:
        class_name: of its images.
        f_sub: fraction of the Einstein mass in substructure; of no_sub, the one that the selection
            of the lenses assumed, so that sets with and without substructure are of lenses that
            were selected alike.
        axion_mass: eV; None of other classes.
    """

    class_name: ClassName
    f_sub: float
    axion_mass: float | None = None


@dataclass(frozen=True)
class EmbeddedImages:
    """Images as an encoder sees them.

    Attributes:
        features: (n, d).
        labels: of the classes, (n,).
        f_sub: as the archive has it, (n,).
        axion_mass: eV, NaN of other classes, (n,).
        snr: S/N of the substructure that bounds what a classifier can have
            (`evaluation.detection_bound.bounding_snr`), NaN if it is not known, (n,).
    """

    features: Tensor
    labels: IntArray
    f_sub: FloatArray
    axion_mass: FloatArray
    snr: FloatArray

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def universes(self) -> dict[Universe, IntArray]:
        """The images of each universe, by their places, in the order of classes and parameters."""
        found: dict[Universe, IntArray] = {}
        for label, name in enumerate(CLASSES):
            of_class = np.flatnonzero(self.labels == label)
            mass = self.axion_mass if name == "axion" else np.full(len(self), _NO_MASS)
            values = np.stack([self.f_sub[of_class], mass[of_class]], axis=1)
            distinct, which = np.unique(values, axis=0, return_inverse=True)
            for number, (f_sub, axion_mass) in enumerate(distinct.tolist()):
                has_mass = axion_mass != _NO_MASS
                universe = Universe(name, f_sub, axion_mass if has_mass else None)
                found[universe] = of_class[which.ravel() == number]
        return found

    @property
    def smallest(self) -> int:
        """Images of the universe with the fewest."""
        return min(len(members) for members in self.universes.values())

    def grouped(self, bins: int, like: EmbeddedImages | None = None) -> EmbeddedImages:
        """The same images, with the parameters of their bin in place of their own.

        Args:
            bins: of equal width in the logarithm; 0 leaves the values as they are.
            like: images whose range the bins have; these if not given.

        Raises:
            UsageError: without bins, if a parameter has so many values that few images share one.
        """
        like = like or self
        return replace(
            self,
            f_sub=_grouped("f_sub", self.f_sub, like.f_sub, bins),
            axion_mass=_grouped("axion_mass", self.axion_mass, like.axion_mass, bins),
        )


def _grouped(name: str, values: FloatArray, range_of: FloatArray, bins: int) -> FloatArray:
    """Values of a parameter, or the middle of the bin of each."""
    distinct = np.unique(range_of[~np.isnan(range_of)])
    if not bins and len(distinct) > MAX_VALUES:
        raise UsageError(_many_values(name, len(distinct)))
    if not bins or len(distinct) <= bins:
        return values
    return _centres(values, bins, distinct[0], distinct[-1])


def _many_values(name: str, count: int) -> str:
    key = "substructure.f_sub" if name == "f_sub" else "substructure.axion.axion_mass"
    return (
        f"{name} has {count:,} different values in the archive, and a set is of images with the "
        f"same one: generate an archive with --set '{key}={{choice: [...]}}', or group similar "
        "ones by --set task.bins=N."
    )


def _centres(values: FloatArray, bins: int, low: float, high: float) -> FloatArray:
    """Geometric middle of the bin of each value."""
    width = np.log(high / low) / bins
    place = np.clip(np.floor(np.log(values / low) / width), 0, bins - 1)
    return low * np.exp((place + 0.5) * width)


class SetDraws:
    """Draws sets of images of one universe; their images differ, and may be in other sets too.

    Args:
        images: to draw from.
        seed: of the draws.
    """

    def __init__(self, images: EmbeddedImages, seed: int) -> None:
        self._universes = images.universes
        self.names = list(dict.fromkeys(universe.class_name for universe in self._universes))
        self._by_class = [
            [universe for universe in self._universes if universe.class_name == name]
            for name in self.names
        ]
        self._generator = np.random.default_rng(seed)

    def draw(self, count: int, size: int) -> tuple[IntArray, list[Universe]]:
        """Sets of universes drawn at random, every class as often and every universe of it.

        Args:
            count: of sets.
            size: images in each.

        Returns:
            Places of the images, (count, size), and the universe of each set.
        """
        drawn = []
        for number in range(count):
            of_class = self._by_class[number % len(self._by_class)]
            drawn.append(of_class[self._generator.integers(len(of_class))])
        sets = [self._members(self._universes[universe], size) for universe in drawn]
        return np.stack(sets), drawn

    def of(self, members: IntArray, count: int, size: int) -> IntArray:
        """Sets of some of the images, (count, size)."""
        return np.stack([self._members(members, size) for _ in range(count)])

    def resampled(self, members: IntArray) -> IntArray:
        """As many images, drawn with replacement: for a bootstrap."""
        return self._generator.choice(members, len(members))

    def _members(self, members: IntArray, size: int) -> IntArray:
        return self._generator.choice(members, size, replace=False, shuffle=False)


def usable_sizes(wanted: Sequence[int], smallest: int) -> tuple[int, ...]:
    """Sizes of sets that can be drawn: of at most half of the images of each universe.

    Args:
        wanted: sizes that are asked for.
        smallest: images of the universe with the fewest.

    Raises:
        DataError: if not even sets of one image can be drawn.
    """
    sizes = tuple(size for size in sorted(set(wanted)) if 2 * size <= smallest)
    if not sizes:
        raise DataError(
            f"A universe has {smallest} images, and sets are of at most half of them: generate "
            "more, use fewer values of f_sub and the axion mass, or fewer task.bins."
        )
    return sizes


def joined(parts: Sequence[EmbeddedImages]) -> EmbeddedImages:
    """Images of several batches as one."""
    return EmbeddedImages(
        torch.cat([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.f_sub for part in parts]),
        np.concatenate([part.axion_mass for part in parts]),
        np.concatenate([part.snr for part in parts]),
    )
