"""Images a second of the streams, against the stock webdataset pipeline on the same images.

Every pipeline gives shuffled batches of 256 as tensors to a loop that does nothing with them, from
files in the page cache. The pipelines take turns, so that all see the same state of the machine;
a ratio is of two neighbours in time.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from report import table, write

import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lenssim.archive.manifest import FileRecord, write_manifest

BATCH_SIZE = 256
WORKERS = (0, 1, 2)
TARGETS = {"zarr": 10, "shards": 3}

Epoch = Callable[[], Iterable[Any]]


def write_shards(archive: lenssim.Archive, root: Path) -> None:
    files = {}
    for record in archive.manifest.groups:
        dataset = archive.dataset(record.split, record.substructure_class).load()
        columns = [name for name in dataset if dataset[name].dims == ("sample",)]
        for number, start in enumerate(range(0, record.count, 2000)):
            name = f"shards/{record.name}-{number:06d}.tar"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(root / name, "w", format=tarfile.USTAR_FORMAT) as tar:
                for index in range(start, min(start + 2000, record.count)):
                    key = f"B-{record.name.replace('/', '-')}-{index:08d}"
                    image = io.BytesIO()
                    np.save(image, dataset["image"].values[index])
                    row = {"sample": index} | {c: dataset[c].values[index].item() for c in columns}
                    row = {k: None if v != v else v for k, v in row.items()}
                    text = json.dumps(row).encode().ljust(1024)
                    for suffix, content in ((".image.npy", image.getvalue()), (".json", text)):
                        header = tarfile.TarInfo(key + suffix)
                        header.size = len(content)
                        tar.addfile(header, io.BytesIO(content))
            files[name] = FileRecord.of((root / name).read_bytes())
    manifest = archive.manifest
    write_manifest(archive.location, manifest.model_copy(update={"files": manifest.files | files}))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=4000, help="images a class")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = lenssim.generate("B", train=arguments.train, test=0, out=folder)
        write_shards(archive, Path(folder))
        figures = measure(Path(folder), 3 * arguments.train, arguments.repeats)
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
        figures,
        table(["workers", "pipeline", "images/s", "ratio", "lowest ratio", "target"], rows),
        ["numpy", "torch", "zarr", "webdataset"],
    )


if __name__ == "__main__":
    main()
