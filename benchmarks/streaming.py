"""Images a second of the streams, against the stock webdataset pipeline on the same images.

Every pipeline gives shuffled batches of 256 as tensors to a loop that does nothing with them, from
files in the page cache. The pipelines take turns, so that all see the same state of the machine;
a ratio is of two neighbours in time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import live_source
import numpy as np
import torch
import webdataset
import zarr

import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data.zarr_source import PlainChunks
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.archive.layout import CHUNK_SIZE
from lenssim.archive.manifest import IMAGES

BATCH_SIZE = 256
WORKERS = (0, 1, 2)
TARGETS = {"zarr": 10, "shards": 3}

Epoch = Callable[[], Iterable[Any]]


def stock(root: Path, workers: int) -> Epoch:
    """The pipeline of webdataset's documentation."""
    urls = sorted(str(path) for path in root.glob("shards/train/*.tar"))
    pipeline = (
        webdataset.WebDataset(urls, shardshuffle=len(urls), empty_check=False)
        .shuffle(1000)
        .decode()
        .to_tuple("image.npy", "json")
        .batched(BATCH_SIZE)
    )
    loader = torch.utils.data.DataLoader(
        pipeline, batch_size=None, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch() -> Iterator[int]:
        for images, _ in loader:
            yield len(torch.as_tensor(images))

    return epoch


def ours(root: Path, workers: int, form: str, cache: str) -> Epoch:
    """A stream of all train images."""
    settings = DataSettings(
        url=str(root),
        batch_size=BATCH_SIZE,
        workers=workers,
        validation_fraction=0,
        format=form,  # type: ignore[arg-type]
        cache=cache,  # type: ignore[arg-type]
    )
    module = LensDataModule(settings)
    module.setup()
    stream = module.stream("train", shuffle=True)

    def epoch() -> Iterator[int]:
        for batch in stream:
            yield len(batch["image"])

    return epoch


def images_per_second(epoch: Epoch, expected: int) -> float:
    """Speed of one epoch, whose images are counted."""
    start = time.perf_counter()
    count = sum(epoch())
    if count != expected:
        raise RuntimeError(f"{count} images came where there are {expected}")
    return count / (time.perf_counter() - start)


def measure(root: Path, expected: int, repeats: int) -> list[dict[str, Any]]:
    """Medians of speeds and of ratios, for every pipeline and number of workers."""
    figures = []
    for workers in WORKERS:
        pipelines = {
            "stock webdataset": stock(root, workers),
            "zarr": ours(root, workers, "zarr", "none"),
            "shards": ours(root, workers, "shards", "none"),
            "zarr, cache in memory": ours(root, workers, "zarr", "memory"),
        }
        for epoch in pipelines.values():  # files into the page cache, workers up, shards verified
            images_per_second(epoch, expected)
        speeds = {name: [] for name in pipelines}
        for _ in range(repeats):
            for name, epoch in pipelines.items():
                speeds[name].append(images_per_second(epoch, expected))
        for name, found in speeds.items():
            ratios = np.array(found) / np.array(speeds["stock webdataset"])
            figures.append(
                {
                    "pipeline": name,
                    "workers": workers,
                    "images_per_second": float(np.median(found)),
                    "ratio": float(np.median(ratios)),
                    "lowest_ratio": float(ratios.min()),
                    "target": TARGETS.get(name),
                }
            )
    return figures


def measure_reading(root: Path, repeats: int) -> dict[str, float]:
    """Images a second that are read whole chunks at a time into memory, by zarr and without it."""
    array = zarr.open_group(root / IMAGES, mode="r")["train/cdm/image"]
    assert isinstance(array, zarr.Array)
    plain = PlainChunks.of(root / IMAGES / "train/cdm/image", array)
    assert plain is not None
    starts = (
        np.random.default_rng(0).permutation(np.arange(array.shape[0] // CHUNK_SIZE)) * CHUNK_SIZE
    )
    room = np.zeros((CHUNK_SIZE, *array.shape[1:]), np.float32)

    def by_zarr(start: int) -> None:
        room[:] = array[start : start + CHUNK_SIZE]

    readers = {"zarr": by_zarr, "plain": lambda start: plain.read(start, start + len(room), room)}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats + 1):
        for name, read in readers.items():
            begin = time.perf_counter()
            for start in starts.tolist():
                read(start)
            seconds[name].append(time.perf_counter() - begin)
    count = len(starts) * CHUNK_SIZE
    return {name: count / float(np.median(each[1:])) for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000, help="images a class")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--part",
        choices=["archive", "live"],
        default="archive",
        help="streams of an archive, or a live source (results/live)",
    )
    parser.add_argument("--models", nargs="+", default=["A", "B"], help="of the live part")
    parser.add_argument("--batches", type=int, default=8, help="of the live part")
    arguments = parser.parse_args()
    if arguments.part == "live":
        live_source.run(arguments.models, arguments.batches)
        return
    with tempfile.TemporaryDirectory() as folder:
        formats = ("zarr", "webdataset")
        lenssim.generate("B", train=arguments.train, test=0, out=folder, formats=formats)
        figures = measure(Path(folder), 3 * arguments.train, arguments.repeats)
        reading = measure_reading(Path(folder), arguments.repeats)
    rows = [
        [
            row["workers"],
            row["pipeline"],
            f"{row['images_per_second']:,.0f}",
            f"{row['ratio']:.1f}",
            f"{row['lowest_ratio']:.1f}",
            f">= {row['target']}" if row["target"] else "",
        ]
        for row in figures
    ]
    write(
        "streaming",
        f"Shuffled batches of {BATCH_SIZE} tensors of {3 * arguments.train} images of model B, 64 "
        "x 64 pixels, into a loop that does nothing, from the page cache. Workers are processes in "
        "the stock pipeline (WebDataset, shuffle 1000, decode, to_tuple, batched, in a DataLoader) "
        "and threads in ours; with none, all is done in the loop's own thread. Medians of "
        f"{arguments.repeats} epochs, pipelines taking turns; ratios are to the stock pipeline "
        "with as many workers, in the same turn.",
        {"streams": figures, "reading": reading},
        markdown_table(["workers", "pipeline", "images/s", "ratio", "lowest ratio", "target"], rows)
        + f"\n\nReading alone, chunk by chunk, on one thread: {reading['zarr']:,.0f} images/s "
        f"through zarr, {reading['plain']:,.0f} straight from the file; both verify checksums.",
        ["numpy", "torch", "zarr", "webdataset"],
    )


if __name__ == "__main__":
    main()
