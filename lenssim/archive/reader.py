"""Reading an archive."""

from __future__ import annotations

import os
from dataclasses import dataclass

import xarray as xr

from lenssim.archive.location import Location
from lenssim.archive.manifest import IMAGES, Manifest, read_manifest
from lenssim.errors import ArchiveError
from lenssim.spec import Specification, Split, SubstructureClass


@dataclass(frozen=True)
class Archive:
    """An archive that is there: its manifest, and its groups as xarray Datasets."""

    location: Location
    manifest: Manifest

    @property
    def spec(self) -> Specification:
        """The specification that it was made from."""
        return self.manifest.specification()

    def dataset(self, split: Split, substructure_class: SubstructureClass) -> xr.Dataset:
        """One group, lazily: nothing but metadata is read until values are asked for.

        Args:
            split: "train" or "test".
            substructure_class: "axion", "cdm" or "no_sub".

        Raises:
            ArchiveError: where the archive does not hold that group complete.
        """
        name = f"{split}/{substructure_class}"
        if self.manifest.group(name) is None:
            held = ", ".join(group.name for group in self.manifest.groups) or "no complete group"
            raise ArchiveError(f"{self.location} does not hold {name}; it holds {held}.")
        store = self.location.zarr_store(IMAGES, read_only=True)
        return xr.open_zarr(store, group=name, consolidated=True, chunks=None)


def open_archive(url: str | os.PathLike[str]) -> Archive:
    """Opens an archive.

    Args:
        url: folder or URL that `generate` wrote.

    Raises:
        ArchiveError: where there is no archive, or one that cannot be read.
    """
    location = Location(url)
    manifest = read_manifest(location)
    if manifest is None:
        raise ArchiveError(f"{location} is not an archive: it has no archive.json.")
    return Archive(location, manifest)
