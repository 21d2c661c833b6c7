"""The data module: the splits of an archive as streams of batches."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import lightning
import torch
from torch import Tensor

from lensmodels.data.archives import how_to_add, read_archive
from lensmodels.data.assembly import Batch
from lensmodels.data.cache import ImageCache, choose_cache
from lensmodels.data.contract import ImageContract, InstrumentFacts
from lensmodels.data.live_archive import is_live
from lensmodels.data.live_source import FIRST_SAMPLES, LiveStream, measured_batches
from lensmodels.data.order import SampleRange, other_ranges
from lensmodels.data.parts import (
    Part,
    TrainedPart,
    cut_into_parts,
    groups_to_read,
    open_source,
    strong_parts,
)
from lensmodels.data.scaling import MEASURED_IMAGES, InputScaling
from lensmodels.data.settings import DataSettings
from lensmodels.data.stream import BatchStream, EpochStream, process_rank
from lensmodels.errors import DataError
from lenssim.archive import Manifest

if TYPE_CHECKING:
    from lenssim.live.pairs import Pairs

FLOAT32_SIZE = 4


class LensDataModule(lightning.LightningDataModule):
    """Batches of an archive's images, to train on, to validate on and to test with.

    The train split is cut by index: its last images, of each class, are the validation images;
    the test split is never trained or validated on. Of a simulator, live:MODEL, these are small
    splits that are measured, validated and tested; what is trained on are other images without end.

    Args:
        settings: which images, and how.
        trained_part: what a training takes its batches from: "labelled", the images whose labels
            are used, or "train", all of them, for a pretraining.
        columns: names of scalar columns that a batch has besides the usual ones.
        pairs: what the second image of each that is trained on shares with it, of a simulator.

    Attributes, once set up:
        groups: names of the groups, as in "train/cdm", that the "group" of a batch counts.
        num_pix, pixel_scale: size of the images in pixels a side, and of a pixel in arcsec (None
            where that is not known, as of imported images).
        sizes: images of each part: "train", "labelled" (those of them whose labels are used),
            "validation" and "test".
        manifest: of the archive.
    """

    manifest: Manifest

    def __init__(
        self,
        settings: DataSettings,
        trained_part: TrainedPart = "labelled",
        *,
        columns: Sequence[str] = (),
        pairs: Pairs | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.trained_part = trained_part
        self.columns = tuple(columns)
        self.pairs = pairs
        self._live: LiveStream | None = None
        self._tested: LensDataModule | None = None
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
        groups = groups_to_read(archive, settings)
        if model.num_pix != settings.num_pix:
            raise DataError(
                f"{archive.location} has images of {model.num_pix} pixels a side, where "
                f"{settings.num_pix} are expected: use an archive of that size, or train a model "
                "on this one."
            )
        self._source = open_source(archive, groups, settings, self.columns)
        self._ranges = cut_into_parts(groups, self._source, settings)
        if settings.min_refit_snr is not None:
            if self.is_live:
                raise DataError(
                    "data.min_refit_snr is of archives: live images are all trained on."
                )
            self._ranges = strong_parts(self._ranges, groups, archive, settings.min_refit_snr)
        self.num_pix, self.pixel_scale = model.num_pix, model.pixel_scale
        self.groups = groups
        if settings.test_archive is not None:
            tested = {"url": settings.test_archive, "test_archive": None}
            self._tested = LensDataModule(settings.model_copy(update=tested), columns=self.columns)
            self._tested.setup()

    @property
    def is_live(self) -> bool:
        """Whether it trains on images that are simulated meanwhile."""
        return is_live(self.settings.url)

    @property
    def sizes(self) -> dict[Part, int]:
        """Images of each part; of a simulator, those of an epoch are the train images."""
        sizes: dict[Part, int] = {part: sum(map(len, held)) for part, held in self._ranges.items()}
        if self.is_live:
            sizes |= dict.fromkeys(("train", "labelled"), self.settings.epoch_size)
        if self._tested is not None:
            held = self._tested.sizes
            sizes |= {part: held.get(part, 0) for part in ("validation", "test")}
        return sizes

    @cached_property
    def scaling(self) -> InputScaling:
        """The input scaling, measured when first asked for on `settings.scaling_images`.

        Raises:
            DataError: if there are no such images.
        """
        return InputScaling.measure(
            self._scaling_sample(),
            self.settings.scaling,
            softening=self.settings.softening,
            noise_unit=self.settings.noise_unit,
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

    def measured_batches(self) -> Iterator[Batch]:
        """Train images to measure, with their columns, the same for any seed."""
        count = 0
        for batch in self._sample(self._part("train")):
            yield batch
            count += len(batch["image"])
            if count >= MEASURED_IMAGES:
                return

    def measured_images(self) -> Iterator[Tensor]:
        """Train images to measure, (n, 1, num_pix, num_pix), e-/s, the same for any seed."""
        for batch in self.measured_batches():
            yield batch["image"]

    def _scaling_sample(self) -> Iterable[Batch]:
        """The images that the input scaling is measured on."""
        return self._sample(self._scaling_ranges())

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

    def _sample(self, ranges: list[SampleRange]) -> Iterable[Batch]:
        """Images to measure: in the same order for any seed, batch size and devices."""
        if self.is_live:
            return measured_batches(
                self.manifest.specification(),
                self.groups,
                seed=self.manifest.seed,
                count=min(MEASURED_IMAGES, sum(map(len, self._part("train")))),
                workers=self.settings.workers,
                columns=self.columns,
            )
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
        """Batches of a part; of a simulator, of the images that are the same every time.

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
        if self._tested is not None and part in ("validation", "test"):
            return self._tested.stream(part, shuffle=shuffle, drop_last=drop_last)
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
        if self.is_live:
            return len(self._live_stream())
        stream = BatchStream(
            self._source,
            self.groups,
            self._part(part or self.trained_part),
            batch_size=self.settings.batch_size,
            drop_last=True,
        )
        return len(stream)

    def train_dataloader(self) -> EpochStream:
        """The images to train on, shuffled; of a simulator, as `data.live_images` says."""
        if not self.is_live:
            return self.stream(self.trained_part, shuffle=True, drop_last=True)
        self.close()
        self._live = self._live_stream()
        return self._live

    def close(self) -> None:
        """Ends the processes that simulate, if there are any."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def _live_stream(self) -> LiveStream:
        settings = self.settings
        return LiveStream(
            self.manifest.specification(),
            self.groups,
            batch_size=settings.batch_size,
            epoch_size=settings.epoch_size,
            seed=settings.seed,
            workers=settings.workers,
            pairs=self.pairs,
            columns=self.columns,
            pin=self._device.type == "cuda",
            first_sample=FIRST_SAMPLES[self.trained_part],
            same_images=settings.live_images == "same",
        )

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
        """One cache for all parts of the train split, if there is to be one."""
        device: torch.device | None = self._device
        counts = [0] * len(self.groups)
        for samples in [*self._ranges["train"], *self._ranges["validation"]]:
            counts[samples.group] = max(counts[samples.group], samples.stop)
        match "none" if self.is_live else self.settings.cache:  # what was simulated is kept
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
