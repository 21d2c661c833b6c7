"""The pictures of a specification, by split and by number."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lenssim.errors import SpecError
from lenssim.pictures.catalogue import Catalogue, Entry, read_catalogue
from lenssim.pictures.preparation import Picture, prepare
from lenssim.spec import SourceImages, Specification, Split

CACHE_SIZE = 128_000_000
"""Bytes of prepared pictures that a process keeps."""


class Library:
    """The pictures of a specification; made by `open_library`."""

    def __init__(self, images: SourceImages, catalogue: Catalogue) -> None:
        self._images = images
        self._entries: dict[int, Entry] = {
            entry.galaxy: entry for entry in catalogue.entries if entry.galaxy not in images.exclude
        }
        self._galaxies: dict[Split, NDArray[np.int64]] = {
            split: np.array(
                sorted(
                    galaxy
                    for galaxy in self._entries
                    if (split_position(galaxy) < images.test_fraction) == (split == "test")
                ),
                dtype=np.int64,
            )
            for split in ("train", "test")
        }
        self._prepared: OrderedDict[int, Picture] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def galaxies(self, split: Split) -> NDArray[np.int64]:
        """Numbers of the galaxies of a split, rising.

        A galaxy is in the same split of every folder and catalogue that holds it, as its number
        alone decides.

        Raises:
            SpecError: if the split has none.
        """
        if self._galaxies[split].size == 0:
            raise SpecError(self._no_galaxies(split))
        return self._galaxies[split]

    def draw(self, split: Split, generator: np.random.Generator) -> int:
        """A galaxy of a split, all alike."""
        galaxies = self.galaxies(split)
        return int(galaxies[int(generator.random() * galaxies.size)])

    def picture(self, galaxy: int) -> Picture:
        """The picture of a galaxy, prepared.

        Raises:
            SpecError: if no picture has this number, or if it cannot be used.
        """
        with self._lock:
            held = self._prepared.get(galaxy)
            if held is not None:
                self._prepared.move_to_end(galaxy)
                return held
        made = self._prepare(galaxy)
        with self._lock:
            if galaxy not in self._prepared:
                self._prepared[galaxy] = made
                self._size += made.coefficients.nbytes
            while self._size > CACHE_SIZE and len(self._prepared) > 1:
                _, oldest = self._prepared.popitem(last=False)
                self._size -= oldest.coefficients.nbytes
        return made

    def _prepare(self, galaxy: int) -> Picture:
        entry = self._entries.get(galaxy)
        if entry is None:
            raise SpecError(
                f"source.images = {self._images.folder} holds no galaxy {galaxy}: it is not the "
                "folder that this system was drawn from."
            )
        name = f"{entry.path} of galaxy {galaxy}"
        scale = self._images.pixel_scale or entry.scale()
        if scale is None or not 0 < scale < math.inf:
            raise SpecError(
                f"The picture {name} does not say how large its pixels are: give "
                "source.images.pixel_scale, in arcsec."
            )
        return prepare(
            entry.pixels(),
            scale,
            name,
            background=entry.background,
            noise_sigma=entry.noise_sigma,
        )

    def _no_galaxies(self, split: Split) -> str:
        folder, fraction = self._images.folder, self._images.test_fraction
        positions = sorted(map(split_position, self._entries))
        if len(positions) < 2:
            held = "one galaxy" if positions else "no galaxy"
            return (
                f"source.images = {folder} has {held}, which leaves none for the {split} split: "
                "add pictures, or make images of one split alone."
            )
        return (
            f"source.images.test_fraction = {fraction:g} leaves none of the {len(positions)} "
            f"galaxies of {folder} for the {split} split: add pictures, or choose it between "
            f"{math.ceil(positions[0] * 1000) / 1000:g} and "
            f"{math.floor(positions[-1] * 1000) / 1000:g}."
        )


def split_position(galaxy: int) -> float:
    """A number in [0, 1) that is the galaxy's own: below test_fraction it is in the test split."""
    digest = hashlib.sha256(f"lenssim/galaxy/{galaxy}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@lru_cache(maxsize=4)
def open_library(images: SourceImages) -> Library:
    """The pictures of a specification, read once in a process.

    Args:
        images: of the source; where it has a checksum, the pictures must have the same.

    Raises:
        SpecError: if there are none, or other ones.
    """
    catalogue = read_catalogue(images.folder)
    if images.sha256 is not None:
        found = catalogue.sha256()
        if found != images.sha256:
            raise SpecError(
                f"source.images = {images.folder} holds other pictures than the specification "
                f"names (checksum {found[:12]} in place of {images.sha256[:12]}): put the same "
                "pictures there, or leave source.images.sha256 out to use these."
            )
    return Library(images, catalogue)


def with_checksum(spec: Specification) -> Specification:
    """A specification that names its pictures exactly.

    One without pictures is returned as it is; of one with a checksum, the pictures are compared.

    Raises:
        SpecError: if there are no pictures, or other ones.
    """
    images = spec.source.images
    if images is None:
        return spec
    open_library.cache_clear()  # what was read earlier may have changed
    if images.sha256 is None:
        checksum = read_catalogue(images.folder).sha256()
        images = images.model_copy(update={"sha256": checksum})
        spec = spec.model_copy(update={"source": spec.source.model_copy(update={"images": images})})
    open_library(images)
    return spec
