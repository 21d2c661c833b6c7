"""Blocks of an import of cutouts: what a task reads to a scratch file, and joins to a shard."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.layout import PROGRESS, GroupLayout
from lenssim.archive.manifest import Manifest
from lenssim.archive.writer import write_shard
from lenssim.cutouts.settings import CutoutSettings, Target
from lenssim.errors import ImportFileError, LenssimError
from lenssim.progress import Progress
from lenssim.storage.location import Location

if TYPE_CHECKING:
    from lenssim.cutouts.reading import Cutout, Request

BLOCKS = f"{PROGRESS}/cutouts"
"""Folder of the scratch files."""


@dataclass(frozen=True)
class Block:
    """What a task made of its requests.

    Attributes:
        numbers: of the accepted requests.
        sources: rows of sources.csv of these, as text.
        refused: file, position and reason of the others.
    """

    numbers: list[int]
    sources: list[list[str]]
    refused: list[list[str]]


def block_name(start: int) -> str:
    """File of the block whose first request has a number."""
    return f"{start:09d}.npz"


def read_request(request: Request, settings: CutoutSettings, target: Target) -> Cutout:
    """The cutout of a request, if there is anything in it.

    Raises:
        ImportFileError: if it cannot be taken, or is blank.
    """
    from lenssim.cutouts.reading import read_cutout

    cutout = read_cutout(request, settings, target)
    if cutout.is_blank:
        raise ImportFileError(
            f"{request.file} is blank: every pixel of the cutout is {cutout.image.flat[0]:g}."
        )
    return cutout


def read_block(
    url: str,
    settings: CutoutSettings,
    target: Target,
    psf_pix: int,
    start: int,
    requests: Sequence[Request],
    progress: Progress | None = None,
) -> int:
    """The task: reads a block of images into a scratch file of the archive.

    Args:
        url: of the archive, absolute.
        settings, target: as in `read_cutout`.
        psf_pix: pixels on a side of the PSFs that are kept; 0 to keep none.
        start: number of the first request of the block.
        requests: of the block.
        progress: called after each image.

    Returns:
        The number of images that were looked at.
    """
    taken: list[Cutout] = []
    facts = Block([], [], [])
    for number, request in enumerate(requests, start):
        try:
            cutout = read_request(request, settings, target)
        except LenssimError as error:
            facts.refused.append([request.file, str(request.centre or ""), str(error)])
        else:
            taken.append(cutout)
            facts.numbers.append(number)
            facts.sources.append(_source_row(cutout))
        if progress is not None:
            progress(1)
    arrays: dict[str, Any] = _columns_of(taken, psf_pix) if taken else {}
    arrays["facts"] = np.frombuffer(json.dumps(asdict(facts)).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **arrays)
    Location(url).write(f"{BLOCKS}/{block_name(start)}", content.getvalue())
    return len(requests)


def _source_row(cutout: Cutout) -> list[str]:
    return [
        *cutout.file,
        cutout.extension,
        *(cutout.parts.get(part, "") for part in ("noise", "mask", "psf")),
        cutout.flux.unit,
        cutout.conversions,
    ]


def _columns_of(cutouts: Sequence[Cutout], psf_pix: int) -> dict[str, NDArray[Any]]:
    """Columns of some images, but for those that only the whole group tells."""
    from lenssim.cutouts.psf import fitted_size

    columns: dict[str, NDArray[Any]] = {
        "image": np.stack([each.image for each in cutouts]),
        "noise": np.stack([each.noise for each in cutouts]),
        "mask": np.stack([each.masked for each in cutouts]).astype(np.int8),
        "file_hdu": np.array([each.extension_number for each in cutouts], np.int32),
        "flip": np.array([each.placement.flip for each in cutouts], np.int8),
        "resampled": np.array([each.placement.resampled for each in cutouts], np.int8),
    }
    if psf_pix:
        unknown = np.full((psf_pix, psf_pix), np.nan)
        columns["psf"] = np.stack(
            [unknown if each.psf is None else fitted_size(each.psf, psf_pix) for each in cutouts]
        ).astype(np.float32)
        columns["psf_fwhm"] = np.array([each.psf_fwhm for each in cutouts])
    numbers: dict[str, Callable[[Cutout], float]] = {
        "file_x": lambda each: each.x,
        "file_y": lambda each: each.y,
        "ra": lambda each: each.ra,
        "dec": lambda each: each.dec,
        "pixel_scale": lambda each: each.placement.pixel_scale,
        "file_pixel_scale": lambda each: each.placement.file_pixel_scale,
        "north_angle": lambda each: each.placement.angle,
        "flux_factor": lambda each: each.flux.factor,
        "zero_point": lambda each: each.flux.zero_point,
        "masked_share": lambda each: each.masked_share,
    }
    for name, value in numbers.items():
        columns[name] = np.array([value(each) for each in cutouts], np.float64)
    return columns


def _load(location: Location, start: int) -> dict[str, NDArray[Any]]:
    with np.load(
        io.BytesIO(location.read(f"{BLOCKS}/{block_name(start)}")), allow_pickle=False
    ) as held:
        return dict(held)


def block_facts(location: Location, start: int) -> Block:
    """What the task of a block made of its requests."""
    return Block(**json.loads(_load(location, start)["facts"].tobytes()))


def join_blocks(
    url: str,
    manifest: Manifest,
    accepted: Sequence[tuple[int, int]],
    files: Sequence[int],
    layout: GroupLayout,
    shard: int,
    progress: Progress | None = None,
) -> int:
    """The task: writes a shard of the group from the blocks that hold its images.

    Args:
        url: of the archive.
        manifest: of the archive.
        accepted: block and row in it of every sample.
        files: number of the file of every sample.
        layout: of the group.
        shard: index of the shard.
        progress: called with the number of images.

    Returns:
        The number of images.
    """
    location, samples = Location(url), layout.record.samples(shard)
    rows = [accepted[sample] for sample in samples]
    blocks = {start: _load(location, start) for start in dict.fromkeys(s for s, _ in rows)}
    sizes = {**manifest.dimensions, "subhalo": 1}
    columns: dict[str, NDArray[Any]] = {}
    for column in layout.record.columns:
        shape = (len(samples), *(sizes[dimension] for dimension in column.dimensions[1:]))
        if column.name in next(iter(blocks.values())):
            columns[column.name] = np.stack([blocks[b][column.name][row] for b, row in rows])
        else:
            unknown = np.nan if column.dtype.startswith("float") else 0
            columns[column.name] = np.full(shape, unknown, dtype=column.dtype)
    columns["label"][:] = -1
    columns["file"][:] = [files[sample] for sample in samples]
    write_shard(location, layout, manifest.name, shard, columns)
    if progress is not None:
        progress(len(samples))
    return len(samples)
