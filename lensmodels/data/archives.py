"""Opening the archive that a command names, before torch is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lensmodels.data.live_archive import is_live, live_archive
from lensmodels.data.settings import CLASSES, ClassName
from lensmodels.errors import DataError

if TYPE_CHECKING:
    from lenssim.archive import Archive, Manifest


def read_archive(url: str | os.PathLike[str]) -> Archive:
    """Opens an archive.

    Args:
        url: its folder or URL, or live:MODEL.

    Returns:
        The archive, opened.

    Raises:
        DataError: if there is no archive, or it cannot be read.
        UsageError: if there is no such model.
    """
    from lenssim.archive import ArchiveError, open_archive

    if is_live(url):
        return live_archive(os.fspath(url))

    try:
        return open_archive(url)
    except ArchiveError as error:
        raise DataError(str(error)) from None


def how_to_add(manifest: Manifest, split: str, class_name: str | None = None) -> str:
    """Advice on images that an archive lacks, as the end of a sentence.

    Args:
        manifest: of the archive.
        split: "train" or "test".
        class_name: of the images; None if the archive lacks the whole split.

    Returns:
        A clause that names the command which adds the images or, as telescope images have no
        labels, what can be done with these.
    """
    if manifest.imported is not None and manifest.imported.cutouts is not None:
        return "telescope images have no labels: `lensmodels pretrain`, embed or predict them"
    if manifest.imported is not None:
        of_class = "" if class_name is None else f" of class {class_name}"
        return f"import the set again with a --split that leaves {split} images{of_class}"
    of_class = "" if class_name is None else f"--class {class_name} "
    return f"add them with `lenssim generate {of_class}--{split} N`"


def train_classes(manifest: Manifest) -> list[ClassName]:
    """Classes of the train images of an archive; "unlabelled" where none has a label."""
    held = [name for name in CLASSES if manifest.group(f"train/{name}")]
    if not held and manifest.group("train/unlabelled"):
        return ["unlabelled"]
    return held


def check_image_size(url: str, manifest: Manifest, num_pix: int) -> None:
    """Refuse an archive whose images are of another size than a model takes.

    Args:
        url: folder or URL of the archive, for the message.
        manifest: of the archive.
        num_pix: side of the images that the model takes, pixels.

    Raises:
        DataError: if they are.
    """
    held = manifest.model.num_pix
    if held != num_pix:
        raise DataError(
            f"{url} has images of {held} x {held} pixels, and the model takes {num_pix} x "
            f"{num_pix}: choose an archive of that size, or a run that was trained on images of "
            f"{held} pixels."
        )


def check_fits(url: str, manifest: Manifest, groups: Sequence[str]) -> None:
    """Refuse an archive without fits, for a model that sees residuals.

    Args:
        url: folder or URL of the archive, for the message.
        manifest: of the archive.
        groups: names of those that are read.

    Raises:
        DataError: if the smooth model was not fitted to the images of a group.
    """
    missing = [name for name in groups if not manifest.has_fits(name)]
    if missing:
        raise DataError(
            f"{url} has no residuals of {' and '.join(missing)}: make them with `lenssim fit "
            f"{url}`, or learn from --input image."
        )
