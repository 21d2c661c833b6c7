"""Unlabelled archives beside the one of a pretraining: their weights, and what they must be.

`data.mixing` streams them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lensmodels.data.archives import check_fits, check_image_size, how_to_add, read_archive
from lensmodels.data.contract import InstrumentFacts, differs
from lensmodels.data.settings import GROUP_CLASSES, ClassName, DataSettings
from lensmodels.errors import DataError, UsageError
from lenssim.cutouts.settings import PIXEL_SCALE_TOLERANCE

if TYPE_CHECKING:
    from lenssim.archive import Archive

OPTION = "--unlabelled"

EXAMPLE = "archives/survey=0.5"


def parse_weights(texts: Iterable[str]) -> dict[str, float]:
    """Weights of archives by their folder or URL.

    Args:
        texts: each DIR_OR_URL or DIR_OR_URL=WEIGHT; the weight is 1 if not given.

    Raises:
        UsageError: if a weight is no number above 0, or an archive is named twice.
    """
    weights: dict[str, float] = {}
    for text in texts:
        url, equals, after = text.rpartition("=")
        if not equals or "/" in after:  # an equals sign of a path or a URL
            url, after = text, "1"
        try:
            weight = float(after)
        except ValueError:
            weight = math.nan
        if not (url and weight > 0 and math.isfinite(weight)):
            raise UsageError(
                f"{OPTION} {text}: write it as DIR_OR_URL=WEIGHT with a weight above 0, as in "
                f"{EXAMPLE}."
            )
        if url in weights:
            raise UsageError(f"{OPTION} names {url} twice; give it once, with its whole weight.")
        weights[url] = weight
    return weights


def batch_shares(batch_size: int, weights: Sequence[float]) -> list[int]:
    """Images of each archive in a batch, by the method of largest remainders.

    Args:
        batch_size: images in a batch.
        weights: of the archives, that of `data.url` first.

    Returns:
        As many numbers, which sum to the batch size.
    """
    exact = [batch_size * weight / sum(weights) for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: shares[place] - exact[place])
    for place in by_remainder[: batch_size - sum(shares)]:
        shares[place] += 1
    return shares


def held_classes(archive: Archive) -> tuple[ClassName, ...]:
    """Classes of the train images of an archive, labelled or not.

    Raises:
        DataError: if it has no train images.
    """
    held = tuple(name for name in GROUP_CLASSES if archive.manifest.group(f"train/{name}"))
    if not held:
        raise DataError(
            f"{archive.location} has no train images to pretrain on; "
            f"{how_to_add(archive.manifest, 'train')}."
        )
    return held


def check_unlabelled(settings: DataSettings, weights: Mapping[str, float], devices: int) -> None:
    """Refuse unlabelled archives that cannot be mixed with that of a pretraining.

    Args:
        settings: of the data of the pretraining.
        weights: of the unlabelled archives, by folder or URL; that of `settings.url` is 1.
        devices: that share a batch.

    Raises:
        UsageError: if an archive is that of the pretraining, or a batch has no room for its share
            or the devices cannot share it.
        DataError: if an archive cannot be read, has no train images, images of another size or
            pixel scale, or no fits where residuals are pretrained on.
    """
    own = InstrumentFacts.of_archive(read_archive(settings.url).manifest)
    shares = batch_shares(settings.batch_size, [1.0, *weights.values()])
    for url, share in zip([settings.url, *weights], shares, strict=True):
        if share % devices or share == 0:
            needed = "at least 1" if devices == 1 else f"a multiple of {devices}"
            raise UsageError(
                f"A batch of {settings.batch_size} images has {share} of {url} by the weights of "
                f"{OPTION}, and needs {needed} of every archive: change --batch-size or the "
                "weights."
            )
    for url in weights:
        if url == settings.url:
            raise UsageError(
                f"{OPTION} {url} is the archive of --data, whose images are pretrained on without "
                "their labels in any case: leave it out."
            )
        archive = read_archive(url)
        held = held_classes(archive)
        check_image_size(url, archive.manifest, settings.num_pix)
        theirs = InstrumentFacts.of_archive(archive.manifest)
        if differs(own.pixel_scale, theirs.pixel_scale, relative=PIXEL_SCALE_TOLERANCE):
            raise DataError(
                f"{url} has pixels of {theirs.pixel_scale:.4g} arcsec, and {settings.url} of "
                f"{own.pixel_scale:.4g}: lenses would be of another size; make it again with those "
                "pixels (`lenssim import-cutouts` resamples to those of its --model)."
            )
        if settings.input != "image":
            check_fits(url, archive.manifest, [f"train/{name}" for name in held])


def instrument_notes(settings: DataSettings, weights: Mapping[str, float]) -> list[str]:
    """A sentence on each unlabelled archive whose instrument is another one, or not known.

    Args:
        settings: of the data of the pretraining.
        weights: of the unlabelled archives, by folder or URL.
    """
    own = InstrumentFacts.of_archive(read_archive(settings.url).manifest)
    notes = []
    for url in weights:
        theirs = InstrumentFacts.of_archive(read_archive(url).manifest)
        texts = own.differences(theirs)
        if theirs.pixel_scale is None:
            texts.append("a pixel scale that it does not state")
        if texts:
            notes.append(
                f"Note: {url} has {' and '.join(texts)}; its images are pretrained on as they are."
            )
    return notes
