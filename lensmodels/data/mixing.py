"""Batches of several archives: that of a pretraining, and unlabelled ones beside it.

Every batch has the same number of images of each archive, by their weights, those of `data.url`
first. An epoch is one pass over the images of `data.url`; the others are passed over again and
again, each in a new order, and continue where they were in the epoch before.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lensmodels.data.archives import read_archive
from lensmodels.data.assembly import Batch
from lensmodels.data.datamodule import LensDataModule
from lensmodels.data.parts import TrainedPart
from lensmodels.data.scaling import MEASURED_IMAGES
from lensmodels.data.settings import DataSettings
from lensmodels.data.stream import EpochStream
from lensmodels.data.unlabelled import OPTION, batch_shares, held_classes
from lensmodels.errors import DataError

_UNLABELLED = {"label": -1, "group": -1}
"""Values of whole-number columns of images of an unlabelled archive; others are NaN."""


class MixedStream(EpochStream):
    """Epochs of a stream whose batches are completed by images of others.

    A batch is a function of the epoch and its number, as those of one stream are, so that it can
    be resumed at any batch. The images of the others have label and group -1, and NaN in all
    columns but their number, whatever their archives say.

    Args:
        first: whose epochs these are; its images come first in a batch.
        others: that complete each batch, in this order.
    """

    def __init__(self, first: EpochStream, others: Sequence[EpochStream]) -> None:
        super().__init__(first.batch_size + sum(other.batch_size for other in others))
        self._first, self._others = first, tuple(others)

    def __len__(self) -> int:
        """Batches in an epoch, for this rank."""
        return len(self._first)

    def _identity(self) -> dict[str, Any]:
        return {
            **self._first._identity(),
            "unlabelled images": [other._identity() for other in self._others],
        }

    def _batches(self, first: int) -> Iterator[Batch]:
        step = self.epoch * len(self) + first
        others = [_endless(other, step) for other in self._others]
        self._first.start_at(self.epoch, first)
        try:
            for batch in self._first:
                yield joined(batch, [next(other) for other in others])
        finally:
            for other in others:
                other.close()


def _endless(stream: EpochStream, step: int) -> Generator[Batch]:
    """The batches of a stream from a step on, epoch after epoch."""
    epoch, taken = divmod(step, len(stream))
    while True:
        stream.start_at(epoch, taken)
        yield from stream
        epoch, taken = epoch + 1, 0


def joined(batch: Batch, unlabelled: Sequence[Batch]) -> Batch:
    """A batch with those of unlabelled archives after it.

    Args:
        batch: of the archive with columns.
        unlabelled: of the others, of which only the images and their numbers are kept.

    Returns:
        All images, with the columns of the first.
    """
    whole: Batch = {}
    for name, values in batch.items():
        parts = [values, *(_without_labels(name, values, other) for other in unlabelled)]
        together = torch.cat(parts)
        whole[name] = together.pin_memory() if values.is_pinned() else together
    return whole


def _without_labels(name: str, values: Tensor, other: Batch) -> Tensor:
    """A column of the images of an unlabelled archive, like that of the others."""
    if name in ("image", "sample"):
        return other[name].to(values.device)
    missing = _UNLABELLED.get(name, torch.nan)
    return values.new_full((len(other["image"]), *values.shape[1:]), missing)


class MixedDataModule(LensDataModule):
    """The train images of an archive, mixed with those of unlabelled ones within each batch.

    The input scaling is measured on the same mixture; validation, test and the physical contract
    are of the archive of `settings.url` alone.

    Args:
        settings: of the archive with columns; `batch_size` is that of the mixture.
        unlabelled: weights of the others by folder or URL, where that of `settings.url` is 1.
        columns: names of scalar columns that a batch has besides the usual ones.

    Attributes:
        shares: images of each archive in a batch, over all processes, that of `settings.url`
            first.
    """

    def __init__(
        self,
        settings: DataSettings,
        unlabelled: Mapping[str, float],
        *,
        columns: Sequence[str] = (),
    ) -> None:
        self.weights = [1.0, *unlabelled.values()]
        self.shares = batch_shares(settings.batch_size, self.weights)
        own = settings.model_copy(update={"batch_size": self.shares[0]})
        super().__init__(own, "train", columns=columns)
        self._others = [
            LensDataModule(_settings_of(url, share, settings), "train")
            for url, share in zip(unlabelled, self.shares[1:], strict=True)
        ]

    def setup(self, stage: str | None = None) -> None:
        """Opens all archives; once is enough.

        Raises:
            DataError: if there is no archive, its images are of another size, or it has fewer than
                its share of a batch.
        """
        super().setup(stage)
        for module in [self, *self._others]:
            if module is not self:
                module.setup(stage)
            held = module.sizes.get("train", 0)
            if held < module.settings.batch_size:
                raise DataError(
                    f"{module.settings.url} has {held} train images, and by the weights of "
                    f"{OPTION} {module.settings.batch_size} are in every batch: choose a smaller "
                    "--batch-size, or other weights."
                )

    def steps(self, part: TrainedPart | None = None) -> int:
        """Batches of this process in an epoch of training: one pass over the first archive."""
        return super().steps("train")

    def train_dataloader(self) -> EpochStream:
        """The images to train on, shuffled."""
        first = super().train_dataloader()
        for module in self._others:
            module.trainer = self.trainer  # whose device a cache may be on
        return MixedStream(first, [module.train_dataloader() for module in self._others])

    def close(self) -> None:
        """Ends the processes that simulate, if there are any."""
        super().close()
        for module in self._others:
            module.close()

    @cached_property
    def scaled_on(self) -> str:
        """The images that the input scaling is measured on, in words."""
        if not self._scales_by_all:
            return super().scaled_on
        own, *shares = batch_shares(MEASURED_IMAGES, self.weights)
        others = [
            f"{share:,} of {module.settings.url}"
            for share, module in zip(shares, self._others, strict=True)
        ]
        parts = [f"{own:,} of {self.settings.url}", *others]
        return f"a mixture of train images: {', '.join(parts)}"

    @property
    def _scales_by_all(self) -> bool:
        """Whether the input scaling is measured on the mixture."""
        return self.settings.scaling_images == "all"

    def _scaling_sample(self) -> Iterable[Batch]:
        """Images to measure the input scaling on: of all archives, by their weights."""
        if not self._scales_by_all:
            return super()._scaling_sample()
        shares = batch_shares(MEASURED_IMAGES, self.weights)
        modules = zip([self, *self._others], shares, strict=True)
        return [{"image": torch.cat([_measured(module, share) for module, share in modules])}]


def _measured(module: LensDataModule, count: int) -> Tensor:
    """So many train images to measure, on the host; fewer images are taken more than once.

    Args:
        module: of an archive.
        count: images.
    """
    held = torch.cat([images.cpu() for images in module.measured_images()])
    return held[torch.arange(count) % len(held)]


def _settings_of(url: str, share: int, settings: DataSettings) -> DataSettings:
    """Settings of the train images of an unlabelled archive.

    Args:
        url: of the archive.
        share: its images in a batch.
        settings: of the archive that it is mixed with.
    """
    changes = {
        "url": url,
        "batch_size": share,
        "classes": held_classes(read_archive(url)),
        "train_size": None,
        "validation_fraction": 0.0,
        "labels": 1.0,
        "scaling_images": "all",
        "test_archive": None,
    }
    return settings.model_copy(update=changes)
