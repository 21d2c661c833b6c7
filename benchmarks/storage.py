"""What codec, level and chunk size cost and save, on images and on subhalo columns.

One shard of model B images is written and read back with zarr, on one thread, for every candidate.
Reading is in a random order of chunks, as a shuffled stream does, from the page cache.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.archive.layout import SHARD_SIZE

REPEATS = 5
CODECS = {
    "none": [],
    "lz4, shuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
    "lz4, bitshuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")],
    "zstd 1, shuffle": [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")],
    "zstd 5, bitshuffle": [BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle")],
    "zstd 3": [ZstdCodec(level=3)],
}
CHUNK_SIZES = (64, 256, 1024)


def measure(values: np.ndarray, codecs: list, chunk_size: int) -> dict[str, float]:
    """Compression ratio, and seconds to write and to read, medians over repeats."""
    writing, reading = [], []
    generator = np.random.default_rng(0)
    for _ in range(REPEATS):
        folder = tempfile.mkdtemp()
        start = time.perf_counter()
        array = zarr.create_array(
            folder,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(chunk_size, *values.shape[1:]),
            shards=values.shape,
            compressors=[*codecs, Crc32cCodec()],
        )
        array[:] = values
        writing.append(time.perf_counter() - start)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        firsts = generator.permutation(np.arange(0, len(values), chunk_size))
        start = time.perf_counter()
        for first in firsts:
            array[first : first + chunk_size]
        reading.append(time.perf_counter() - start)
        shutil.rmtree(folder)
    return {
        "ratio": values.nbytes / size,
        "write": float(np.median(writing)),
        "read": float(np.median(reading)),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = lenssim.generate("B", ["cdm"], train=SHARD_SIZE, test=0, out=folder)
        dataset = archive.dataset("train", "cdm")
        columns = {name: dataset[name].values for name in ("image", "subhalo_x")}
    figures = []
    for column, values in columns.items():
        for chunk_size in CHUNK_SIZES:
            base = None
            for name, codecs in CODECS.items():
                measured_times = measure(values, codecs, chunk_size)
                base = base or measured_times
                row = {"column": column, "chunk_size": chunk_size, "codec": name, **measured_times}
                row["read_relative"] = measured_times["read"] / base["read"]
                row["write_relative"] = measured_times["write"] / base["write"]
                figures.append(row)
    rows = [
        [
            row["column"],
            row["chunk_size"],
            row["codec"],
            f"{row['ratio']:.2f}",
            f"{row['read_relative']:.2f}",
            f"{row['write_relative']:.2f}",
            f"{row['read'] / figures[0]['read']:.2f}" if row["column"] == "image" else "",
        ]
        for row in figures
    ]
    write(
        "storage",
        f"One shard of {SHARD_SIZE} images of model B, class cdm. Times are relative to no "
        "compression at the same chunk size; the last column compares reading across chunk sizes "
        "with the first row. Every chunk carries a checksum.",
        figures,
        markdown_table(
            [
                "column",
                "images in a chunk",
                "codec",
                "compression",
                "reading time",
                "writing time",
                "reading against first row",
            ],
            rows,
        ),
        ["numpy", "zarr", "numcodecs"],
    )


if __name__ == "__main__":
    main()
