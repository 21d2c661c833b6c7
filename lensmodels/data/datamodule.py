"""The data module: the splits of an archive as streams of batches."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import lightning
import torch
from torch import Tensor

from lensmodels.data.archives import check_fits, how_to_add, read_archive
from lensmodels.data.cache import ImageCache, choose_cache
from lensmodels.data.contract import ImageContract, InstrumentFacts
from lensmodels.data.files import usable_cache_folder
from lensmodels.data.order import SampleRange, labelled_ranges, other_ranges, split_range
from lensmodels.data.scaling import MEASURED_IMAGES, InputScaling
from lensmodels.data.settings import DataSettings
from lensmodels.data.shard_source import ShardSource
from lensmodels.data.source import Source
from lensmodels.data.stream import BatchStream, process_rank
from lensmodels.data.zarr_source import ZarrSource
from lensmodels.errors import DataError
from lenssim.archive import Archive, Manifest
from lenssim.archive.manifest import IMAGES, MANIFEST, SHARDS

Part = Literal["train", "labelled", "validation", "test"]

TrainedPart = Literal["train", "labelled"]

FLOAT32_SIZE = 4


class LensDataModule(lightning.LightningDataModule):
    """Batches of an archive's images, to train on, to validate on and to test with.

    The train split is cut by index: its last images, of each class, are the validation images;
    the test split is never trained or validated on.

    Args:
        settings: which images, and how.
        trained_part: what a training takes its batches from: "labelled", the images whose labels
            are used, or "train", all of them, for a pretraining.

    Attributes, once set up:
        groups: names of the groups, as in "train/cdm", that the "group" of a batch counts.
        num_pix, pixel_scale: size of the images in pixels a side, and of a pixel in arcsec (None
            where that is not known, as of imported images).
        sizes: images of each part: "train", "labelled" (those of them whose labels are used),
            "validation" and "test".
        manifest: of the archive.
    """

    manifest: Manifest

    def __init__(self, settings: DataSettings, trained_part: TrainedPart = "labelled") -> None:
        super().__init__()
        self.settings = settings
        self.trained_part = trained_part
        self.groups: list[str] = []
        self.num_pix = 0
        self.pixel_scale: float | None = None
        self._ranges: dict[Part, list[SampleRange]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Opens the archive; once is enough, for all stages.

        Raises:
            DataError: if there is no archive, or a class or the image size is not the one
                asked for.
        """
        if self.groups:
            return
        settings = self.settings
        archive = read_archive(settings.url)
        self.manifest = archive.manifest
        self._facts = InstrumentFacts.of_archive(archive.manifest, settings.input)
        model = archive.manifest.model
        groups = _groups(archive, settings)
        if model.num_pix != settings.num_pix:
            raise DataError(
                f"{archive.location} has images of {model.num_pix} pixels a side, where "
                f"{settings.num_pix} are expected: use an archive of that size, or train a model "
                "on this one."
            )
        self._source = _open_source(archive, groups, settings)
        self._ranges = _cut_into_parts(groups, self._source, settings)
        self.num_pix, self.pixel_scale = model.num_pix, model.pixel_scale
        self.groups = groups

    @property
    def sizes(self) -> dict[Part, int]:
        """Images of each part."""
        return {part: sum(map(len, ranges)) for part, ranges in self._ranges.items()}

    @cached_property
    def scaling(self) -> InputScaling:
        """The input scaling, measured when first asked for on `settings.scaling_images`.

        Raises:
            DataError: if there are no such images.
        """
        return InputScaling.measure(
            self._sample(self._scaling_ranges()),
            self.settings.scaling,
            softening=self.settings.softening,
            components=self.settings.components,
        )

    @cached_property
    def contract(self) -> ImageContract:
        """The physical contract, measured on the train images when first asked for."""
        return ImageContract.measure(self._facts, self._sample(self._part("train")))

    @property
    def scaled_on(self) -> str:
        """The images that the input scaling is measured on, in words."""
        kind = self.settings.scaling_images
        count = min(MEASURED_IMAGES, sum(map(len, self._scaling_ranges())))
        *first, last = self.settings.classes
        classes = f"{', '.join(first)} and {last}" if first else last
        return f"{count:,} {'train' if kind == 'all' else kind} images of {classes}"

    def measured_images(self) -> Iterator[Tensor]:
        """Train images to measure, (n, 1, num_pix, num_pix), e-/s, the same for any seed."""
        count = 0
        for batch in self._sample(self._part("train")):
            yield batch["image"]
            count += len(batch["image"])
            if count >= MEASURED_IMAGES:
                return

    def _scaling_ranges(self) -> list[SampleRange]:
        train, labelled = self._part("train"), self._part("labelled")
        match self.settings.scaling_images:
            case "all":
                return train
            case "labelled":
                return labelled
        others = [
            block
            for samples in train
            for block in other_ranges(samples, [b for b in labelled if b.group == samples.group])
        ]
        if not others:
            raise DataError(
                "There are no unlabelled images to measure the input scaling on, as data.labels is "
                "1: set data.scaling_images to all."
            )
        return others

    def _sample(self, ranges: list[SampleRange]) -> BatchStream:
        """Images to measure: in the same order for any seed, batch size and devices."""
        return BatchStream(
            self._source,
            self.groups,
            ranges,
            batch_size=256,
            seed=0,
            workers=self.settings.workers,
            rank=0,
            ranks=1,
        )

    def stream(self, part: Part, *, shuffle: bool, drop_last: bool = False) -> BatchStream:
        """Batches of a part.

        Args:
            part: "train", "labelled", "validation" or "test".
            shuffle: in a new order every epoch; else in that of the archive.
            drop_last: leave out what does not fill a batch; see `order.batch_sizes`.

        Returns:
            A stream of epochs, resumable at any batch.

        Raises:
            DataError: if the archive does not hold that split.
        """
        settings = self.settings
        return BatchStream(
            self._source,
            self.groups,
            self._part(part),
            batch_size=settings.batch_size,
            seed=settings.seed if shuffle else None,
            drop_last=drop_last,
            workers=settings.workers,
            cache=None if part == "test" else self._cache,  # the test images are seen once
            pin=self._device.type == "cuda",
        )

    def steps(self, part: TrainedPart | None = None) -> int:
        """Batches of this process in an epoch of training.

        Unlike the length of a stream, known before the device that a cache is on.

        Args:
            part: that is trained on; that of this module if not given.

        Returns:
            Number of batches.

        Raises:
            DataError: if the archive does not hold the train split.
        """
        stream = BatchStream(
            self._source,
            self.groups,
            self._part(part or self.trained_part),
            batch_size=self.settings.batch_size,
            drop_last=True,
        )
        return len(stream)

    def train_dataloader(self) -> BatchStream:
        """The images to train on, shuffled."""
        return self.stream(self.trained_part, shuffle=True, drop_last=True)

    def val_dataloader(self) -> BatchStream:
        """The validation images, in order."""
        return self.stream("validation", shuffle=False)

    def test_dataloader(self) -> BatchStream:
        """The test images, in order."""
        return self.stream("test", shuffle=False)

    def _part(self, part: Part) -> list[SampleRange]:
        if part not in self._ranges:
            split = "test" if part == "test" else "train"
            raise DataError(
                f"{self.settings.url} has no {split} images; {how_to_add(self.manifest, split)}."
            )
        return self._ranges[part]

    @property
    def _device(self) -> torch.device:
        """Where the batches go."""
        if self.trainer is not None:
            return self.trainer.strategy.root_device
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def _cache(self) -> ImageCache | None:
        """One cache for all parts of the train split, where there is to be one."""
        device: torch.device | None = self._device
        counts = [0] * len(self.groups)
        for samples in [*self._ranges["train"], *self._ranges["validation"]]:
            counts[samples.group] = max(counts[samples.group], samples.stop)
        match self.settings.cache:
            case "none":
                return None
            case "memory":
                device = torch.device("cpu")
            case "auto":
                size = FLOAT32_SIZE * sum(counts) * self.num_pix**2
                processes = int(os.environ.get("LOCAL_WORLD_SIZE", process_rank()[1]))
                device = choose_cache(size, self._device, processes)
        if device is None:
            return None
        return ImageCache(self._source, self.groups, counts, device)


def _groups(archive: Archive, settings: DataSettings) -> list[str]:
    """Names of the groups to read: of each split that the archive has, every class asked for."""
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
            f"{' or '.join(settings.classes)}; add it with `lenssim generate`."
        )
    return groups


def _open_source(archive: Archive, groups: list[str], settings: DataSettings) -> Source:
    """The groups in the format that is asked for, or else that the archive has."""
    held = {
        "zarr": any(name.startswith(f"{IMAGES}/") for name in archive.manifest.files),
        "shards": any(name.startswith(f"{SHARDS}/") for name in archive.manifest.files),
    }
    wanted = settings.format
    if settings.input == "residual":
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
        return ZarrSource(archive, groups, cache, settings.input)
    return ShardSource(archive, groups, cache)


def _cut_into_parts(
    groups: list[str], source: Source, settings: DataSettings
) -> dict[Part, list[SampleRange]]:
    """The ranges of images of each part, for the splits that there are."""
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
