"""Cost of shards, of verifying, and of reading from a web server.

Times are ratios against a peer in the same run, interleaved with it.

1. Writing WebDataset shards: ours against webdataset's ShardWriter, the same samples, one core.
2. `generate --format both` against `--format zarr`, two workers, all three classes.
3. Checking every file, and the whole of `lenssim verify`, against `sha256sum` of the same files.
4. Requests to a web server: opening a group, and reading its first 256 images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.archive.integrity import file_problems
from lenssim.archive.layout import CHUNK_SIZE
from lenssim.archive.manifest import FileRecord
from lenssim.archive.schema import columns_of
from lenssim.archive.webdataset import encode_shard, key_prefix, shard_path
from lenssim.build.plan import planned
from lenssim.build.run import carry_out
from lenssim.storage.location import Location

ROUNDS = 5
SHARD = 2048


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(*works: Callable[[], float]) -> list[float]:
    """Median result of each work, over rounds in which they take turns."""
    return np.median([[work() for work in works] for _ in range(ROUNDS)], axis=0).tolist()


def shard_writing(archive: lenssim.Archive) -> dict[str, float]:
    """Images a second of both writers, on one core, from columns that are in memory."""
    record = archive.record("train", "cdm")
    samples = range(min(SHARD, record.count))
    rows = archive.dataset("train", "cdm").isel(sample=slice(len(samples))).load()
    columns = {str(name): rows[name].values for name in rows.data_vars}
    scalars = [column.name for column in columns_of("cdm") if column.is_scalar]

    def ours(folder: str) -> None:
        content = encode_shard(archive.manifest.name, record, samples, columns).data
        Location(folder).write(shard_path(record, 0), content)
        FileRecord.of(content)  # with the checksum that the manifest needs

    def stock(folder: str) -> None:
        prefix = key_prefix(archive.manifest.name, record)
        pattern = f"{folder}/cdm-%06d.tar"
        with webdataset.ShardWriter(pattern, maxcount=SHARD, verbose=0) as sink:
            for row in samples:
                values = {name: columns[name][row].item() for name in scalars}
                sink.write(
                    {
                        "__key__": f"{prefix}{row:08d}",
                        "image.npy": columns["image"][row],
                        "json": {"sample": row, **values},
                    }
                )

    def timed(work: Callable[[str], None]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return len(samples) / seconds(lambda: work(folder))

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        fast, slow = interleaved(lambda: timed(ours), lambda: timed(stock))
    finally:
        os.sched_setaffinity(0, cores)
    return {"ours": fast, "ShardWriter": slow}


def both_formats(images: int) -> dict[str, float]:
    """Seconds of generating all classes, with and without shards."""
    spec = lenssim.load_spec("B")

    def timed(formats: tuple[Any, ...]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            with planned(spec, train=images, test=0, out=folder, formats=formats) as work:
                carry_out(work, workers=2)
            return time.perf_counter() - start

    alone, both = interleaved(lambda: timed(("zarr",)), lambda: timed(("zarr", "webdataset")))
    return {"zarr": alone, "both": both}


def checking(archive: lenssim.Archive) -> dict[str, float]:
    """Seconds of checking every file, with one worker and with two, and of their peers."""
    folder = archive.location.path("")
    paths = [f"{folder}/{path}" for path in archive.manifest.files]

    def sha256sum() -> None:
        listed = "\0".join(paths).encode()
        command = ["xargs", "-0", "sha256sum"]
        subprocess.run(command, input=listed, stdout=subprocess.DEVNULL, check=True)

    times = interleaved(
        lambda: seconds(sha256sum),
        lambda: seconds(lambda: file_problems(archive, workers=1)),
        lambda: seconds(lambda: file_problems(archive, workers=2)),
        lambda: seconds(lambda: lenssim.verify(archive.location.url, workers=2)),
    )
    return dict(zip(("sha256sum", "one worker", "two workers", "verify"), times, strict=True))


class _Ranges(SimpleHTTPRequestHandler):
    """Files of a folder, with byte ranges; counts what it is asked for."""

    count = 0

    def log_message(self, *_: object) -> None:
        type(self).count += 1

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        self.send_response(206 if last else 200)
        if last:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[int(first) : int(last) + 1]
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def requests(archive: lenssim.Archive) -> dict[str, int]:
    """Requests that opening a group takes, and then its first chunk."""
    handler = partial(_Ranges, directory=archive.location.path(""))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        dataset = lenssim.open_archive(url).dataset("train", "cdm")
        opened = _Ranges.count
        dataset["image"].isel(sample=slice(CHUNK_SIZE)).load()
        return {"opening": opened, "first 256 images": _Ranges.count - opened}
    finally:
        server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096, help="of each class")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = lenssim.generate(
            "B", train=arguments.images, test=0, out=folder, formats=("zarr", "webdataset")
        )
        figures = {
            "megabytes": sum(file.size for file in archive.manifest.files.values()) / 1e6,
            "shard writing, images/s": shard_writing(archive),
            "generating, s": both_formats(arguments.images),
            "checking, s": checking(archive),
            "requests": requests(archive),
        }
    print(json.dumps(figures, indent=1), file=sys.stderr)
    shards, made = figures["shard writing, images/s"], figures["generating, s"]
    checked, asked = figures["checking, s"], figures["requests"]
    rows = [
        [
            "shards, one core: speed against webdataset's ShardWriter",
            f"{shards['ours'] / shards['ShardWriter']:.1f}x",
            ">= 5x",
        ],
        [
            "time of `--format both` against `--format zarr`",
            f"{made['both'] / made['zarr']:.2f}x",
            "<= 1.25x",
        ],
        *(
            [
                f"speed of {what} against `sha256sum`",
                f"{checked['sha256sum'] / checked[key]:.0%}",
                goal,
            ]
            for what, key, goal in (
                ("checking every file, one worker,", "one worker", ">= 70%"),
                ("checking every file, two workers,", "two workers", ""),
                ("the whole of `verify`, two workers,", "verify", ""),
            )
        ),
        ["requests to open a group", asked["opening"], "<= 5"],
        ["requests for its first 256 images", asked["first 256 images"], "<= 2"],
    ]
    write(
        "archives",
        f"{arguments.images} images of each class of model B in both formats, "
        f"{figures['megabytes']:.0f} MB; medians of {ROUNDS} interleaved rounds.",
        figures,
        markdown_table(["what", "measured", "to reach"], rows),
        ["numpy", "zarr", "webdataset"],
    )


if __name__ == "__main__":
    main()
