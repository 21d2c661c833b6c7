"""Importing telescope images: unlabelled cutouts in the pixels and unit of a specification.

The images are read block by block into scratch files of the archive, as only then it is known how
many there are; the blocks are then written as the shards of the group train/unlabelled. A run that
was cut short goes on with the blocks that are missing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lenssim.archive.cutout_columns import CUTOUT_COLUMNS
from lenssim.archive.layout import GroupLayout, group_sizes, read_layout
from lenssim.archive.manifest import (
    NOT_STATED,
    REFUSED,
    SOURCES,
    CutoutRecord,
    FileRecord,
    GroupRecord,
    ImportRecord,
    Manifest,
    write_manifest,
)
from lenssim.archive.ownership import clear_scratch, read_own_manifest
from lenssim.archive.reader import Archive
from lenssim.archive.writer import create_group, shards_done
from lenssim.build.description import describe
from lenssim.build.execution import executor
from lenssim.build.importers.cutout_blocks import (
    BLOCKS,
    block_facts,
    block_name,
    join_blocks,
    read_block,
    read_request,
)
from lenssim.build.run import work_on_groups
from lenssim.cutouts.inputs import find_requests
from lenssim.cutouts.settings import CutoutSettings, Target
from lenssim.errors import ImportFileError, LenssimError, UsageError
from lenssim.progress import Phase, Progress, progress_callbacks
from lenssim.spec import UNLABELLED, Specification, load_spec
from lenssim.storage.location import Location
from lenssim.version import VERSION

if TYPE_CHECKING:
    from lenssim.cutouts.reading import Cutout, Request

BLOCK = 64
"""Images that are read by a task, and kept in one scratch file."""


def import_cutouts(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    settings: CutoutSettings | None = None,
    instrument: str | os.PathLike[str] | Specification = "B",
    positions: str | os.PathLike[str] | None = None,
    name: str | None = None,
    licence: str = NOT_STATED,
    workers: int | None = None,
    progress: Progress | bool = False,
    phase: Phase | None = None,
    note: Callable[[str], None] | None = None,
) -> Archive:
    """Converts telescope images into an archive; goes on where an earlier call stopped.

    Images that cannot be taken are left out, and listed with the reason in the archive's
    refused.csv. Nothing is written if none can be taken.

    Args:
        inputs: files, folders or tables of images, as `lenssim.cutouts.inputs.find_requests`.
        out: folder or URL of the archive.
        settings: how images are found in files, and what the files do not say.
        instrument: specification whose pixels and zero point the images get.
        positions: table of centres of the cutouts in the inputs, as in `find_requests`.
        name: of the data set; that of the first input if not given.
        licence: of the data, which is its makers'.
        workers: on this machine; all cores if not given.
        progress: True for a bar on stderr, or a function that is called as images are read.
        phase: called with a short text that says what is being done now.
        note: called with a sentence on images that were left out, or kept in another unit.

    Returns:
        The archive, opened.

    Raises:
        UsageError: where the request is wrong, or does not fit the archive that is there.
        ImportFileError: where no image can be taken, with the reason.
        ArchiveError: where the archive cannot be written; a later call goes on from there.
    """
    settings = settings or CutoutSettings()
    spec = instrument if isinstance(instrument, Specification) else load_spec(os.fspath(instrument))
    target = Target.of(spec)
    requests = find_requests(inputs, positions, settings=settings, num_pix=target.num_pix)
    first = _first_taken(requests, settings, target)
    psf_pix = 0 if first.psf is None else len(first.psf)
    location = Location(out)
    wanted = Manifest(
        generator_version=VERSION,
        engine="imported",
        seed=0,
        imported=_record(inputs, requests, settings, spec, psf_pix, name, licence),
    )
    with location.exclusive():
        manifest = _own_manifest(location, wanted)
        if not manifest.groups:
            total = len(requests)
            with progress_callbacks(progress, phase, "reading", total) as (advance, say):
                _carry_out(
                    location,
                    manifest,
                    requests,
                    settings,
                    target,
                    workers,
                    progress=advance,
                    phase=say,
                    note=note,
                )
        return describe(location.url, phase)


def _first_taken(requests: Sequence[Request], settings: CutoutSettings, target: Target) -> Cutout:
    """The first image that can be taken, before anything is written.

    Raises:
        ImportFileError: if there is none: the reason, or the first of several.
    """
    reasons: list[LenssimError] = []
    for request in requests:
        try:
            return read_request(request, settings, target)
        except LenssimError as error:
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise ImportFileError(f"None of {len(reasons):,} images can be taken. The first: {reasons[0]}")


def _record(
    inputs: Sequence[str | os.PathLike[str]],
    requests: Sequence[Request],
    settings: CutoutSettings,
    spec: Specification,
    psf_pix: int,
    name: str | None,
    licence: str,
) -> ImportRecord:
    """The manifest's record of the source."""
    lines = [f"{_size(each.file)}  {each}\n" for each in requests]
    stem = PurePosixPath(os.fspath(inputs[0]).rstrip("/")).name or "cutouts"
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", stem.split(".")[0]).strip("_-")
    stated = {
        key: value if isinstance(value, float) else str(value)
        for key, value in asdict(settings).items()
        if value is not None and key not in ("assumed", "centre")
    }
    try:
        return ImportRecord(
            name=name or plain[:64] or "cutouts",
            layout="cutouts",
            listing_sha256=hashlib.sha256("".join(lines).encode()).hexdigest(),
            source_files=len({each.file for each in requests if each.file}),
            num_pix=spec.instrument.num_pix,
            pixel_scale=spec.instrument.pixel_scale,
            licence=licence,
            cutouts=CutoutRecord(
                instrument=f"{spec.name} {spec.version}",
                zero_point=spec.instrument.zero_point,
                psf_pix=psf_pix,
                settings={**stated, "centre": str(settings.centre)},
            ),
        )
    except ValueError as error:
        [problem, *_] = error.errors()  # type: ignore[attr-defined]
        key = str(problem["loc"][0])
        raise UsageError(
            f"{key} = {problem['input']!r} is not allowed: {problem['msg']}."
        ) from None


def _size(file: str) -> int:
    path = Path(file)
    return path.stat().st_size if path.is_file() else -1


def _own_manifest(location: Location, wanted: Manifest) -> Manifest:
    """The manifest to go on from: the one that is there, where it is of the same import."""
    held = read_own_manifest(location)
    if held is not None and held.imported != wanted.imported:
        raise UsageError(
            f"{location} holds another data set, or the same files by other options: choose "
            "another --out."
        )
    return held or wanted


def _carry_out(
    location: Location,
    manifest: Manifest,
    requests: Sequence[Request],
    settings: CutoutSettings,
    target: Target,
    workers: int | None,
    *,
    progress: Progress | None,
    phase: Phase | None,
    note: Callable[[str], None] | None,
) -> None:
    """Reads the blocks that are missing, and writes them as the shards of the group."""
    write_manifest(location, manifest)
    clear_scratch(location)
    cutouts = manifest.imported.cutouts if manifest.imported is not None else None
    assert cutouts is not None
    numbers = range(0, len(requests), BLOCK)
    held = set(location.names(BLOCKS))
    missing = [start for start in numbers if block_name(start) not in held]
    task = partial(read_block, location.absolute_url, settings, target, cutouts.psf_pix)
    blocks_to_read = [(start, requests[start : start + BLOCK]) for start in missing]
    # reading many small files holds Python's lock: two processes, too, are better than threads
    with executor(
        task,
        workers,
        None,
        images=len(requests),
        max_threads=1,
        location=location,
    ) as run:
        run(blocks_to_read, lambda index: None, progress)
    if phase is not None:
        phase("writing")
    blocks = [block_facts(location, start) for start in numbers]
    accepted = [
        (start, row)
        for start, block in zip(numbers, blocks, strict=True)
        for row in range(len(block.numbers))
    ]
    refused = [row for block in blocks for row in block.refused]
    files: dict[str, FileRecord] = dict(manifest.files)
    sources = [row for block in blocks for row in block.sources]
    order = {file: number for number, file in enumerate(dict.fromkeys(row[0] for row in sources))}
    for path, heading, rows in (
        (SOURCES, _SOURCE_HEADING, [[str(n), *row] for n, row in enumerate(sources)]),
        (REFUSED, _REFUSED_HEADING, refused),
    ):
        content = _as_csv(heading, rows)
        location.write(path, content)
        files[path] = FileRecord.of(content)
    _say_what_was_refused(location, refused, len(requests), note)
    _say_what_is_missing(sources, note)
    manifest = manifest.model_copy(update={"files": dict(sorted(files.items()))})
    layout = _layout(manifest, len(accepted), has_psf=cutouts.psf_pix > 0)
    begun = read_layout(location, layout.record.name)
    if begun != layout:
        create_group(location, layout, manifest, 1)
    done = shards_done(location, layout)
    shards = [shard for shard in range(layout.record.shards) if shard not in done]
    places = [order[row[0]] for row in sources]
    writing = partial(join_blocks, location.absolute_url, manifest, accepted, places)
    with executor(writing, workers, None, images=len(accepted), location=location) as run:
        work_on_groups(location, manifest, [(layout, shards)], run, None)


def _layout(manifest: Manifest, count: int, *, has_psf: bool) -> GroupLayout:
    """How the group is cut; it has a PSF of each image where the first one has."""
    shard_size, chunk_size = group_sizes(count, manifest.model.num_pix)
    extra = [column.name for column in CUTOUT_COLUMNS if has_psf or column.name != "psf"]
    if has_psf:
        extra.append("psf_fwhm")
    record = GroupRecord(
        split="train",
        substructure_class=UNLABELLED,
        count=count,
        shard_size=shard_size,
        extra_columns=tuple(extra),
    )
    return GroupLayout(record, chunk_size)


def _say_what_is_missing(
    sources: Sequence[Sequence[str]], note: Callable[[str], None] | None
) -> None:
    """Counts the images without noise map or PSF: a file that was cut short may have lost them."""
    texts = []
    for heading, part in (("noise", "noise map"), ("psf", "PSF")):
        place = _SOURCE_HEADING.index(heading) - 1  # without the sample
        if count := sum(not row[place] for row in sources):
            texts.append(f"{count:,} of {len(sources):,} images have no {part}")
    if note is not None and texts:
        note(f"{', '.join(texts)}: a fit takes what the instrument's specification says.")


_SOURCE_HEADING = (
    "sample", "file", "sha256", "extension", "noise", "mask", "psf", "unit", "conversions",
)  # fmt: skip
_REFUSED_HEADING = ("file", "position", "reason")


def _as_csv(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return text.getvalue().encode()


def _say_what_was_refused(
    location: Location,
    refused: Sequence[Sequence[str]],
    total: int,
    note: Callable[[str], None] | None,
) -> None:
    if note is None or not refused:
        return
    note(
        f"{len(refused):,} of {total:,} images were left out; {location}/{REFUSED} says why. The "
        f"first: {refused[0][2]}"
    )
