"""Importing a DeepLense-style folder: one sub-folder a class, one .npy file an image.

`folder` assigns files to classes, `splits` assigns them to train and test. An
axion file may hold its axion mass beside the image, in a pickle; `lenssim.storage.npy` reads it
without running it. What such a folder does not say (the lens, the source, the substructure, the
mass of an axion file without one) is NaN in the archive.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.layout import GroupLayout, group_sizes, read_layout
from lenssim.archive.manifest import (
    NOT_STATED,
    GroupRecord,
    ImportRecord,
    Manifest,
    write_manifest,
)
from lenssim.archive.ownership import clear_scratch, read_own_manifest
from lenssim.archive.reader import Archive
from lenssim.archive.writer import create_group, shards_done, write_shard
from lenssim.build.description import describe
from lenssim.build.execution import executor, thread_count
from lenssim.build.importers.folder import (
    Counts,
    Files,
    Source,
    SourceFile,
    chosen_files,
    find_source,
    of_two_classes,
    split_counts,
)
from lenssim.build.run import work_on_groups
from lenssim.errors import ImportFileError, UsageError
from lenssim.progress import Phase, Progress, progress_callbacks
from lenssim.spec import SPLITS, Split, SubstructureClass, label_of
from lenssim.storage.location import Location
from lenssim.storage.npy import MAX_SIZE, UnsafeFileError, read_npy
from lenssim.version import VERSION

_SUBHALOS = 1
"""Length of the subhalo dimension, all of it NaN: no subhalo is known."""


def import_deeplense(
    source: Source | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: float | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    pixel_scale: float | None = None,
    name: str | None = None,
    licence: str = NOT_STATED,
    workers: int | None = None,
    progress: Progress | bool = False,
    phase: Phase | None = None,
    note: Callable[[str], None] | None = None,
) -> Archive:
    """Converts a DeepLense-style folder into an archive; continues where it was cut short.

    Which images are test images depends on the content of the files and the seed alone, whatever
    the files are called: copies of an image are never in both splits. A folder that has train/,
    and test/ or val/, keeps its own splits.

    Args:
        source: the folder, or what `find_source` found in it.
        out: folder or URL of the archive.
        split: share of each class that becomes its test split; 0.1 where no counts are given.
            Copies of an image stay together, so that it can come out smaller.
        train, test: images of each class in the two splits, instead of `split`.
        seed: chooses the test images.
        pixel_scale: arcsec, where it is known.
        name: of the data set: letters, digits, dots, hyphens and underscores; that of the folder
            if not given.
        licence: of the data, which is its makers'.
        workers: on this machine; one a core if not given.
        progress: True for a bar on stderr, or a function that is called as images are converted.
        phase: called with a short text that says what is being done now.
        note: called with a sentence on what the files hold that one would not expect.

    Returns:
        The archive, opened.

    Raises:
        UsageError: if the request is wrong, or does not fit the archive that is there.
        ImportFileError: if a file is not an image, or is the same as one of the other split of a
            folder with splits of its own; naming it.
        ArchiveError: if the archive cannot be written; a later call continues from there.
    """
    contents = source if isinstance(source, Source) else find_source(source)
    counts = split_counts(contents, split, train, test)
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed = {seed} must be a non-negative integer below 2^63.")
    location = Location(out)
    first = _image(contents.folder / next(iter(contents.files.values()))[0])[0]
    files = {name: _hashed(contents, name, workers) for name in contents.files}
    wanted = Manifest(
        generator_version=VERSION,
        engine="imported",
        seed=seed,
        imported=_record(contents, files, name, licence, pixel_scale, len(first)),
    )
    is_exact = train is not None or test is not None
    paths = chosen_files(contents, files, counts, seed, exact=is_exact)
    for sentence in _notes(files, counts, paths):
        if note is not None:
            note(sentence)
    with location.exclusive():
        manifest = _manifest(location, wanted)
        groups = [
            group
            for part in SPLITS
            for name in contents.files
            if (chosen := paths.get(f"{part}/{name}"))
            for group in _missing(location, manifest, part, name, len(chosen))
        ]
        write_manifest(location, manifest)
        clear_scratch(location)
        for layout, _ in groups:
            if read_layout(location, layout.record.name) is None:
                create_group(location, layout, manifest, _SUBHALOS)
        task = partial(convert_shard, location.url, manifest, contents.folder, paths)
        total = sum(number for sizes in counts.values() for number in sizes.values())
        with progress_callbacks(progress, phase, "importing", total) as (advance, say):
            with executor(task, workers, scheduler=None, location=location) as run:
                work_on_groups(location, manifest, groups, run, advance)
            return describe(location.url, say)


def _notes(files: Files, counts: Counts, paths: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What copies of an image among the files did to the data set."""
    contradicting = of_two_classes(files)
    if contradicting:
        yield f"{contradicting} files have the same content as a file of another class."
    for name, sizes in counts.items():
        tested = len(paths.get(f"test/{name}", ()))
        if tested != sizes["test"]:
            yield (
                f"{name} has {tested} test images instead of {sizes['test']}: copies of an image "
                "stay in one split."
            )


def _manifest(location: Location, wanted: Manifest) -> Manifest:
    """The manifest to continue from: the one that is there, if it is of the same import."""
    held = read_own_manifest(location)
    if held is not None and (held.imported, held.seed) != (wanted.imported, wanted.seed):
        raise UsageError(f"{location} holds another data set: choose another --out.")
    return held or wanted


def _missing(
    location: Location, manifest: Manifest, part: Split, name: SubstructureClass, count: int
) -> list[tuple[GroupLayout, list[int]]]:
    """A group with its missing shards; empty if it is complete."""
    shard_size, chunk_size = group_sizes(count, manifest.model.num_pix)
    record = GroupRecord(split=part, substructure_class=name, count=count, shard_size=shard_size)
    held = manifest.group(record.name)
    begun = read_layout(location, record.name)
    for other in (held, begun.record if begun else None):
        if other is not None and other.count != count:
            raise UsageError(
                f"{location} holds {other.count} images of {record.name}, not {count}: "
                "choose another --out."
            )
    if held is not None:
        return []
    layout = begun or GroupLayout(record, chunk_size)
    done = shards_done(location, layout)
    return [(layout, [shard for shard in range(layout.record.shards) if shard not in done])]


def _hashed(source: Source, name: SubstructureClass, workers: int | None) -> tuple[SourceFile, ...]:
    """The files of a class with their checksums."""

    def checksum(path: str) -> SourceFile:
        return SourceFile(path, hashlib.sha256(_content(source.folder / path)).hexdigest())

    with ThreadPoolExecutor(thread_count(workers)) as pool:
        return tuple(pool.map(checksum, source.files[name]))


def _record(
    source: Source,
    files: dict[SubstructureClass, tuple[SourceFile, ...]],
    name: str | None,
    licence: str,
    pixel_scale: float | None,
    num_pix: int,
) -> ImportRecord:
    """The manifest's record of the source; refuses settings that are not allowed."""
    listed = sorted(
        (file for group in files.values() for file in group), key=lambda file: file.path
    )
    listing = "".join(f"{file.sha256}  {file.path}\n" for file in listed)
    own_names = {name: name for name in source.class_folders.values()}
    named = name or re.sub(r"[^A-Za-z0-9._-]+", "_", source.folder.resolve().name)
    try:
        return ImportRecord(
            name=named,
            layout="deeplense",
            listing_sha256=hashlib.sha256(listing.encode()).hexdigest(),
            source_files=len(listed),
            num_pix=num_pix,
            pixel_scale=pixel_scale,
            licence=licence,
            folders=None if own_names == source.class_folders else source.class_folders,
        )
    except ValueError as error:
        [first, *_] = error.errors()  # type: ignore[attr-defined]
        key = str(first["loc"][0])
        raise UsageError(f"{key} = {first['input']!r} is not allowed: {first['msg']}.") from None


def convert_shard(
    url: str,
    manifest: Manifest,
    folder: Path,
    paths: Mapping[str, Sequence[str]],
    layout: GroupLayout,
    shard: int,
    progress: Progress | None = None,
) -> int:
    """The task: reads the files of one shard and writes it.

    Args:
        url, manifest: of the archive.
        folder: of the source.
        paths: of the files in it, one a sample, for each group by name.
        layout, shard: the group, and the index of the shard in it.
        progress: called after every few images.

    Returns:
        The number of images converted.

    Raises:
        ImportFileError: if a file cannot be read, has another size than the first image, or holds
            an axion mass in a class without axions.
    """
    samples, name = layout.record.samples(shard), layout.record.substructure_class
    num_pix = manifest.model.num_pix
    sizes = {"y": num_pix, "x": num_pix, "subhalo": _SUBHALOS}
    columns: dict[str, NDArray[Any]] = {}
    for column in layout.record.columns:
        shape = (len(samples), *(sizes[dimension] for dimension in column.dimensions[1:]))
        unknown = np.nan if column.dtype.startswith("float") else 0
        columns[column.name] = np.full(shape, unknown, dtype=column.dtype)
    columns["label"][:] = label_of(name)
    for row, sample in enumerate(samples):
        path = folder / paths[layout.record.name][sample]
        image, mass = _image(path)
        if image.shape != (num_pix, num_pix):
            raise ImportFileError(
                f"{path} has {image.shape[0]} x {image.shape[1]} pixels where the first image has "
                f"{num_pix} x {num_pix}: import images of one size at a time."
            )
        if mass is not None and name != "axion":
            raise ImportFileError(
                f"{path} holds an axion mass, which does not fit the class {name}."
            )
        columns["image"][row] = image
        columns["axion_mass"][row] = math.nan if mass is None else mass
        if progress is not None:
            progress(1)
    write_shard(Location(url), layout, manifest.name, shard, columns)
    return len(samples)


def _content(path: Path) -> bytes:
    """Content of a file that is no larger than an image can be."""
    try:
        if path.stat().st_size > MAX_SIZE:
            raise ImportFileError(f"{path} is no image: it is larger than {MAX_SIZE} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}.") from None


def _image(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Image (y, x) and axion mass in eV, or None, of a file.

    Leading axes of length 1 are dropped.
    """
    try:
        held = read_npy(_content(path))
    except UnsafeFileError as error:
        raise ImportFileError(f"{path} is not taken: {error}.") from None
    mass = None
    if isinstance(held, list):
        if len(held) != 2 or not isinstance(held[0], np.ndarray):
            raise ImportFileError(f"{path} is not taken: it is not [image, axion mass].")
        held, mass = held
        if isinstance(mass, np.ndarray) and mass.shape == ():
            mass = float(mass)
        if not isinstance(mass, float) or not 0.0 < mass < math.inf:
            raise ImportFileError(
                f"{path} is not taken: its axion mass, {mass!r:.40}, is no positive number of eV."
            )
    while held.ndim > 2 and held.shape[0] == 1:
        held = held[0]
    if held.ndim != 2 or held.shape[0] != held.shape[1]:
        raise ImportFileError(f"{path} is not taken: shape {held.shape} is not a square image.")
    with np.errstate(over="ignore"):
        image = held.astype(np.float32)
    if not np.isfinite(image).all():
        raise ImportFileError(f"{path} is not taken: it has pixels that are not finite numbers.")
    return image, mass
