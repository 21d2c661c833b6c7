"""Running a trained model over images, watching for those unlike its training images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lensmodels import devices
from lensmodels.data import (
    GROUP_CLASSES,
    ClassName,
    DataSettings,
    ImageContract,
    InstrumentFacts,
    LensDataModule,
)
from lensmodels.data.archives import check_image_size, read_archive
from lensmodels.runs import MODEL, RunConfig, load_encoder, load_model
from lenssim.archive import Manifest

BLANK = "blank: every pixel has the same value"


class ImageGuard:
    """Says which images are far from a run's training set: a column of text, and a summary.

    Args:
        config: of the run.
    """

    def __init__(self, config: RunConfig) -> None:
        self.contract: ImageContract | None = (
            None if config.measured is None else config.measured.contract
        )
        self._images = 0
        self._problems: dict[str, list[str]] = {}
        self._notes: dict[str, list[str]] = {}

    def check(
        self, source: str, index: Sequence[int], images: Tensor, besides: Sequence[str] = ()
    ) -> list[str]:
        """Warnings of some images.

        Args:
            source: where they come from.
            index: of each in its source, (n,).
            images: shape (n, 1, height, width), e-/s per pixel.
            besides: what is wrong with all of them.

        Returns:
            For each image its warnings, joined by "; "; an empty text if there are none.
        """
        self._images += len(images)
        flat = images.flatten(1)
        is_blank = (flat.amin(1) == flat.amax(1)).tolist()
        departures = (
            self.contract.departures(images)
            if self.contract is not None
            else [[] for _ in range(len(images))]
        )
        column = []
        for number, blank, departures_of_image in zip(index, is_blank, departures, strict=True):
            place = f"{source}, image {number}"
            texts = [*besides]
            if blank:
                texts.append(BLANK)
                self._problems.setdefault(BLANK, []).append(place)
            else:
                for departure in departures_of_image:
                    texts.append(str(departure))
                    self._problems.setdefault(departure.problem, []).append(place)
            column.append("; ".join(texts))
        return column

    def check_archive(self, name: str, manifest: Manifest) -> list[str]:
        """How an archive's instrument differs from the contract; noted for the summary, too."""
        differences = self.differences(manifest)
        for difference in differences:
            self._notes.setdefault(difference, []).append(name)
        return differences

    def differences(self, manifest: Manifest) -> list[str]:
        """How an archive's instrument differs from the contract."""
        if self.contract is None:
            return []
        return self.contract.differences(InstrumentFacts.of_archive(manifest))

    def note(self, source: str, text: str) -> None:
        """Keeps for the summary what was assumed of an input."""
        self._notes.setdefault(text, []).append(source)

    def summary(self, run: str, table: str | None) -> list[str]:
        """Sentences for the terminal, each kind of problem once.

        Args:
            run: how the run is called.
            table: file with the column `warnings`; None if there is none.
        """
        lines = []
        if self.contract is None:
            lines.append(
                f"Note: {run} does not say what its training images were (pixel scale, unit, "
                "noise), so images are not held against them; train it again to keep that."
            )
        lines += [f"Note: {text} ({_named(sources)})." for text, sources in self._notes.items()]
        lines += [
            f"Warning: {len(places):,} of {self._images:,} images: {problem} ({_first_of(places)})."
            for problem, places in self._problems.items()
        ]
        if self._problems:
            where = "" if table is None else f"; the column warnings of {table} names them"
            lines.append(
                f"Warning: results for images unlike the training set are not to be trusted{where}."
            )
        return lines

    def report(self, run: str, table: str | None = None) -> None:
        """Prints the summary to stderr, beside a progress bar if there is one."""
        for line in self.summary(run, table):
            tqdm.write(line, file=sys.stderr)


def _named(sources: Sequence[str]) -> str:
    return sources[0] if len(sources) == 1 else f"{len(sources):,} files, first: {sources[0]}"


def _first_of(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"first: {places[0]}"


def enough_memory(batch_size: int) -> AbstractContextManager[None]:
    """Turns memory that runs out into one sentence."""
    what = f"batches of {batch_size} images"
    return devices.enough_memory(what, "choose a smaller --batch-size")


def progress(total: int, about: str) -> tqdm:
    """A progress bar in images, with images/s; none if nobody watches."""
    return tqdm(total=total, desc=about, unit=" images", unit_scale=False, disable=None)


def guarded_archive(
    url: str,
    guard: ImageGuard,
    config: RunConfig,
    num_pix: int,
    batch_size: int,
    cache_dir: Path | None = None,
) -> Iterator[tuple[str, dict[str, Tensor], list[str]]]:
    """Every image of an archive in order, batch by batch, with a progress bar.

    Args:
        url: folder or URL of the archive.
        guard: that looks at the images.
        config: of the run, for how it reads.
        num_pix: side of the images that the model takes, pixels.
        batch_size: images at a time.
        cache_dir: as in `open_data`.

    Yields:
        The group, as in "train/cdm"; the batch; and the warnings of each of its images.

    Raises:
        DataError: if the archive is of another image size, or cannot be read.
    """
    manifest = read_archive(url).manifest
    total = sum(group.count for group in manifest.groups)
    differences = guard.check_archive(url, manifest)
    with progress(total, url) as bar:
        for name in GROUP_CLASSES:
            splits = [split for split in ("train", "test") if manifest.group(f"{split}/{name}")]
            if not splits:
                continue
            data = open_data(
                url, manifest, (name,), config, num_pix, batch_size, cache_dir=cache_dir
            )
            for split in splits:
                group = f"{split}/{name}"
                for batch in data.stream(split, shuffle=False):  # type: ignore[arg-type]
                    source, index = f"{url.rstrip('/')}/{group}", batch["sample"].tolist()
                    yield group, batch, guard.check(source, index, batch["image"], differences)
                    bar.update(len(batch["image"]))


def open_data(
    url: str,
    manifest: Manifest,
    classes: tuple[ClassName, ...],
    config: RunConfig,
    num_pix: int,
    batch_size: int,
    *,
    test_size: int | None = None,
    cache_dir: Path | None = None,
) -> LensDataModule:
    """The data module of an archive, for looking at each image once.

    Args:
        url: folder or URL of the archive.
        manifest: of the archive.
        classes: which.
        config: of the run, for how it reads.
        num_pix: side of the images that the model takes, pixels.
        batch_size: images at a time.
        test_size: images of each class of the test split; all if None.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.

    Raises:
        DataError: if the archive has images of another size.
    """
    check_image_size(url, manifest, num_pix)
    data = LensDataModule(
        DataSettings(
            url=url,
            batch_size=batch_size,
            classes=classes,
            test_size=test_size,
            validation_fraction=0.0,
            workers=config.data.workers,
            cache="none",
            cache_dir=cache_dir or config.data.cache_dir,
            num_pix=num_pix,
            input=config.data.input,
        )
    )
    data.setup()
    return data


def embedder(run: Path, device: torch.device) -> tuple[Callable[[Tensor], Tensor], int]:
    """What turns raw images, e-/s, into embeddings, and the side of its images in pixels.

    The finetuned encoder, or the pretrained one where a run was only pretrained.
    """
    if (Path(run) / MODEL).exists():
        model = load_model(run, device)
        return model.embed, model.encoder.num_pix
    encoder, scaling = load_encoder(run, device)
    return nn.Sequential(scaling, encoder).eval(), encoder.num_pix
