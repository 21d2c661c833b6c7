"""The groups of an archive that are read, their source, and the parts that they are cut into."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from lensmodels.data.archives import check_fits, how_to_add
from lensmodels.data.files import usable_cache_folder
from lensmodels.data.live_archive import is_live
from lensmodels.data.live_source import SimulatedSource
from lensmodels.data.order import SampleRange, chosen_ranges, labelled_ranges, split_range
from lensmodels.data.settings import DataSettings
from lensmodels.data.shard_source import ShardSource
from lensmodels.data.source import Source
from lensmodels.data.zarr_source import ZarrSource
from lensmodels.errors import DataError
from lenssim.archive import Archive
from lenssim.archive.manifest import IMAGES, MANIFEST, SHARDS

Part = Literal["train", "labelled", "validation", "test"]

TrainedPart = Literal["train", "labelled"]


def groups_to_read(archive: Archive, settings: DataSettings) -> list[str]:
    """Names of the groups to read: of each split that the archive has, every class asked for.

    Raises:
        DataError: if the archive lacks a class in a split that it has, or has none of the classes.
    """
    groups: list[str] = []
    for split in ("train", "test"):
        names = {name: f"{split}/{name}" for name in settings.classes}
        missing = [name for name, group in names.items() if archive.manifest.group(group) is None]
        if not missing:
            groups += names.values()
        elif len(missing) < len(names):
            raise DataError(
                f"{archive.location} has no {split} images of class {' and '.join(missing)}; "
                f"{how_to_add(archive.manifest, split, missing[0])}."
            )
    if not groups:
        held = ", ".join(group.name for group in archive.manifest.groups) or "no complete group"
        raise DataError(
            f"{archive.location} holds {held}, and nothing of class "
            f"{' or '.join(settings.classes)}; {how_to_add(archive.manifest, 'train')}."
        )
    return groups


def open_source(
    archive: Archive, groups: list[str], settings: DataSettings, columns: Sequence[str]
) -> Source:
    """The groups in the format that is asked for, or else that the archive has.

    Args:
        archive: opened.
        groups: names, such as "train/cdm".
        settings: format, input, and folder for copies of a remote archive.
        columns: names of scalar columns that are read besides the usual ones.

    Raises:
        DataError: if the archive is not in that format, or has no fits for residuals.
    """
    if is_live(settings.url):
        return SimulatedSource(archive.manifest, groups, columns)
    held = {
        "zarr": any(name.startswith(f"{IMAGES}/") for name in archive.manifest.files),
        "shards": any(name.startswith(f"{SHARDS}/") for name in archive.manifest.files),
    }
    wanted = settings.format
    if settings.input != "image":
        check_fits(str(archive.location), archive.manifest, groups)
        if wanted == "shards":
            raise DataError("Residuals are in Zarr: leave out data.format, or set it to zarr.")
        wanted = "zarr"
    if wanted == "auto":
        wanted = "zarr" if held["zarr"] else "shards"
    if not held[wanted]:
        raise DataError(
            f"{archive.location} is not in the format {wanted}; leave out data.format, or convert "
            "it with `lenssim export`."
        )
    cache = None
    if not archive.location.is_local:
        # an archive that changes at its URL has another manifest, and so another folder
        identity = hashlib.sha256(archive.location.read(MANIFEST)).hexdigest()[:16]
        folder = usable_cache_folder(settings.cache_dir)
        cache = None if folder is None else folder / identity
    if wanted == "zarr":
        return ZarrSource(archive, groups, cache, settings.input, columns)
    return ShardSource(archive, groups, cache, columns)


def cut_into_parts(
    groups: list[str], source: Source, settings: DataSettings
) -> dict[Part, list[SampleRange]]:
    """The ranges of images of each part, for the splits that there are.

    Args:
        groups: names, whose places the ranges name.
        source: of the images.
        settings: sizes of the splits, shares of validation and labels, and the seed of the draw.
    """
    parts: dict[Part, list[SampleRange]] = {}
    for number, name in enumerate(groups):
        count = source.counts[name]
        if name.startswith("test/"):
            tested = min(count, settings.test_size or count)
            parts.setdefault("test", []).append(SampleRange(number, 0, tested))
            continue
        used = SampleRange(number, 0, min(count, settings.train_size or count))
        train, validation = split_range(used, settings.validation_fraction)
        parts.setdefault("train", []).append(train)
        parts.setdefault("labelled", []).extend(
            labelled_ranges(train, settings.labels, settings.seed)
        )
        parts.setdefault("validation", []).append(validation)
    return parts


def strong_parts(
    parts: dict[Part, list[SampleRange]], groups: list[str], archive: Archive, least: float
) -> dict[Part, list[SampleRange]]:
    """Parts of one class without the train images of a refit S/N below a value.

    All test images stay.

    Args:
        parts: of `cut_into_parts`.
        groups: names, whose places the ranges name.
        archive: that they are of.
        least: S/N after a refit of the smooth lens.

    Raises:
        DataError: if the archive does not hold the refit S/N of its train images, none is left in a
            part, or there are several classes.
    """
    kinds = {name.split("/")[1] for name in groups}
    if len(kinds) > 1:
        raise DataError(
            "data.min_refit_snr chooses among images of one class: it would leave every batch with "
            "other shares of the classes."
        )
    name = f"train/{kinds.pop()}"
    if name not in groups:
        return parts
    snr = archive.dataset("train", name.removeprefix("train/")).get(  # type: ignore[arg-type]
        "substructure_snr_refit"
    )
    if snr is None or not bool(np.isfinite(snr).all()):
        raise DataError(
            f"{archive.location} does not hold the refit S/N of all of {name}, which "
            "data.min_refit_snr asks for: make it with `lenssim generate --refit-snr all`."
        )
    is_strong = snr.to_numpy() > least
    kept = dict(parts)
    for part, ranges in parts.items():
        if part == "test":
            continue
        kept[part] = [block for samples in ranges for block in chosen_ranges(samples, is_strong)]
        if any(map(len, ranges)) and not kept[part]:
            raise DataError(f"No {part} image has a refit S/N above {least:g}.")
    return kept
