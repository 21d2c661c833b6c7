"""How a group is cut into files and chunks, and where it is noted which files are done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from lenssim.archive.fit_columns import FIT_COLUMNS
from lenssim.archive.manifest import FITS, IMAGES, GroupRecord
from lenssim.archive.schema import Column
from lenssim.storage.location import Location

PROGRESS = ".progress"

CHUNK_SIZE = 256
"""Images in a chunk, the least that is read at once; see benchmarks/results/storage.md."""

SHARD_SIZE = 2048
"""Images in a shard, which is one file a variable and one task of the pipeline."""


SIMULATED_PIX = 64
"""Pixels on a side of the shipped specifications' images, for which `SHARD_SIZE` was chosen."""


@dataclass(frozen=True)
class GroupLayout:
    """Where the pieces of one group are, and where it is noted which of them are done."""

    record: GroupRecord
    chunk_size: int = CHUNK_SIZE
    stage: Literal["generate", "export", "fit"] = "generate"
    """What the shards are written for; an export adds a format to a group that is complete, a fit
    its fits."""

    @property
    def store(self) -> str:
        """Zarr store that the group is written to."""
        return FITS if self.stage == "fit" else IMAGES

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is written of each sample."""
        return FIT_COLUMNS if self.stage == "fit" else self.record.columns

    @property
    def progress_folder(self) -> str:
        """Folder of the files that say what is done."""
        below = "" if self.stage == "generate" else f"{self.stage}/"
        return f"{PROGRESS}/{below}{self.record.name}"

    def progress_file(self, shard: int) -> str:
        """Path of the file that says that a shard is done."""
        return f"{self.progress_folder}/{shard:06d}.json"


def _layout_file(layout_folder: str) -> str:
    """Path of the file that says that a group has been created, and how it is cut."""
    return f"{layout_folder}/layout.json"


def read_layout(location: Location, name: str) -> GroupLayout | None:
    """Layout of a group that was created but is not complete; None if it has none."""
    try:
        values = json.loads(location.read(_layout_file(f"{PROGRESS}/{name}")))
    except FileNotFoundError:
        return None
    return GroupLayout(GroupRecord.model_validate(values["record"]), values["chunk_size"])


def write_layout(location: Location, layout: GroupLayout) -> None:
    """Note how a group is cut that has been created but is not complete."""
    record = layout.record
    values = {
        "record": record.model_dump(mode="json", by_alias=True),
        "chunk_size": layout.chunk_size,
    }
    location.write(_layout_file(layout.progress_folder), json.dumps(values).encode())


def group_sizes(count: int, num_pix: int = SIMULATED_PIX) -> tuple[int, int]:
    """Images in a file and in a chunk of a group.

    A file holds whole chunks of about as many bytes as `SHARD_SIZE` images of `SIMULATED_PIX`
    pixels: a worker holds one in memory, so that larger images must not make larger files. A group
    of fewer than `SHARD_SIZE` images is cut evenly: a chunk is stored whole, however few images it
    holds.

    Args:
        count: images of the group.
        num_pix: pixels on a side.

    Returns:
        Images in a file, and images in a chunk.
    """
    alike = SHARD_SIZE * SIMULATED_PIX**2 // num_pix**2
    shard_size = max(min(alike, SHARD_SIZE) // CHUNK_SIZE, 1) * CHUNK_SIZE
    if count >= SHARD_SIZE:
        return shard_size, CHUNK_SIZE
    shards = -(-count // shard_size)
    chunks = -(-count // (shards * CHUNK_SIZE))
    chunk_size = -(-count // (shards * chunks))
    return chunks * chunk_size, chunk_size
