"""Running a trained model over images: on which device, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lensmodels import memory
from lensmodels.data import CLASSES, ClassName, DataSettings, LensDataModule
from lensmodels.data.archives import check_image_size, read_archive
from lensmodels.evaluation.guard import ImageGuard
from lensmodels.runs import MODEL, RunConfig, load_encoder, load_model
from lenssim.archive import Manifest


def enough_memory(batch_size: int) -> AbstractContextManager[None]:
    """Turns memory that runs out into one sentence."""
    what = f"batches of {batch_size} images"
    return memory.enough_memory(what, "choose a smaller --batch-size")


def progress(total: int, about: str) -> tqdm:
    """A progress bar in images, with images/s; none where nobody watches."""
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
        DataError: where the archive is of another image size, or cannot be read.
    """
    manifest = read_archive(url).manifest
    total = sum(group.count for group in manifest.groups)
    differences = guard.check_archive(url, manifest)
    with progress(total, url) as bar:
        for name in CLASSES:
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
        test_size: images of each class of the test split; all where None.
        cache_dir: folder for copies of what a remote archive sends; that of the run's settings if
            not given.

    Raises:
        DataError: where the archive has images of another size.
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
