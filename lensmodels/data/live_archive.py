"""A simulator as an archive: `live:MODEL`, whose images are simulated when they are needed.

What is measured, validated and tested needs the same images every time. They are those that an
archive of seed `SEED` would hold: `TRAIN` train and `TEST` test images of each class. The training
itself is on images beyond, from `lensmodels.data.live_source`, none of which comes twice.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lensmodels.data.settings import DataSettings
from lensmodels.errors import UsageError

if TYPE_CHECKING:
    from lenssim.archive import Archive

PREFIX = "live:"

SEED = 0
"""Of the images that are measured, validated and tested, whatever the seed of the run."""

TRAIN = 3000
"""Train images of each class, the last of which are the validation images: enough to measure an
input scaling on."""

TEST = 1000
"""Test images of each class."""

CHUNK_SIZE = 128
"""Images that are simulated at once."""


def is_live(url: str | os.PathLike[str]) -> bool:
    """Whether data are simulated while they are used, as in "live:B-wide"."""
    return os.fspath(url).startswith(PREFIX)


def live_archive(url: str) -> Archive:
    """The images of a simulator that are the same every time, as an archive without files.

    Args:
        url: as in "live:B-wide" or "live:FILE.yaml".

    Returns:
        Its manifest tells specification, seed and numbers of images.

    Raises:
        UsageError: if there is no such specification, or it is wrong.
    """
    from lenssim.archive import Archive, GroupRecord, Location, Manifest
    from lenssim.errors import SpecError
    from lenssim.spec import CLASSES, load_spec
    from lenssim.version import VERSION

    try:
        spec = load_spec(url.removeprefix(PREFIX))
    except SpecError as error:
        raise UsageError(f"--data {url}: {error}") from None
    groups = [
        GroupRecord(split=split, substructure_class=name, count=count, shard_size=CHUNK_SIZE)
        for split, count in (("train", TRAIN), ("test", TEST))
        for name in CLASSES
    ]
    manifest = Manifest(
        generator_version=VERSION,
        engine="fast",
        seed=SEED,
        spec_sha256=spec.sha256,
        spec=spec.model_dump(mode="json"),
        groups=groups,
    )
    return Archive(Location(url), manifest)


def check_live(settings: DataSettings) -> None:
    """Refuse settings that only an archive, or only a simulator, can meet.

    Raises:
        UsageError: naming the setting and what to do.
    """
    if not is_live(settings.url):
        if settings.test_archive is not None:
            raise UsageError(
                f"data.test_archive is for --data {PREFIX}MODEL: test a run that learned from an "
                "archive on another one by `lensmodels evaluate RUN --data DIR`."
            )
        return
    if settings.labels < 1:
        raise UsageError(
            f"data.labels = {settings.labels:g} is a share of an archive's images, and "
            f"{settings.url} has no end: leave --labels out, or finetune on an archive."
        )
    if settings.input != "image":
        raise UsageError(
            f"{settings.url} has no fits, which --input {settings.input} is made of: learn from "
            "--input image, or from an archive after `lenssim fit`."
        )
