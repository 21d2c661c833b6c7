"""Importing a DeepLense-style folder: one sub-folder a class, one .npy file an image.

The axion files hold an image with its axion mass in a pickle; `lenssim.npy` reads them without
running it. What such a folder does not say (the lens, the source, the substructure) is NaN in the
archive.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.location import Location
from lenssim.archive.manifest import (
    IMAGES,
    MANIFEST,
    NOT_STATED,
    GroupRecord,
    ImportRecord,
    Manifest,
    read_manifest,
    write_manifest,
)
from lenssim.archive.reader import Archive, open_archive
from lenssim.archive.schema import columns_of
from lenssim.archive.writer import (
    CHUNK_SIZE,
    SHARD_SIZE,
    GroupLayout,
    create_group,
    read_layout,
    shards_done,
    write_shard,
)
from lenssim.errors import ImportFileError, UsageError
from lenssim.execution import Progress, executor, thread_count
from lenssim.npy import MAXIMUM_SIZE, UnsafeFileError, read_npy
from lenssim.pipeline import work_on_groups
from lenssim.spec import CLASSES, SPLITS, Split, SubstructureClass
from lenssim.version import VERSION

TEST_FRACTION = 0.1
"""Share of each class that becomes its test split, where nothing else is asked for."""

_SIMULATED_PIX = 64
"""Pixels along each side of the images that shards are measured by."""

_SUBHALOS = 1
"""Length of the subhalo dimension, all of it NaN: no subhalo is known."""


@dataclass(frozen=True)
class SourceFile:
    """One file of the folder: its path there, and the SHA-256 of its content."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """What a DeepLense-style folder holds."""

    folder: Path
    files: dict[SubstructureClass, tuple[str, ...]]
    """Paths of the .npy files of each class, relative to the folder, sorted."""
    others: tuple[str, ...]
    """Names of what is there and not imported."""


def find_source(folder: str | os.PathLike[str]) -> Source:
    """Looks what is in a folder; reads no file.

    Raises:
        UsageError: where it has no sub-folder axion, cdm or no_sub with .npy files in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder.")
    files: dict[SubstructureClass, tuple[str, ...]] = {}
    others = []
    for entry in sorted(root.iterdir()):
        if entry.name not in CLASSES or not entry.is_dir():
            others.append(f"{entry.name}/" if entry.is_dir() else entry.name)
            continue
        inside = sorted(entry.iterdir())
        found = [f"{entry.name}/{path.name}" for path in inside if _is_image_file(path)]
        others += [f"{entry.name}/{path.name}" for path in inside if not _is_image_file(path)]
        if found:
            files[entry.name] = tuple(found)
    if not files:
        there = ", ".join(others[:8]) or "nothing"
        raise UsageError(
            f"{root} has no .npy files in axion/, cdm/ or no_sub/; it holds {there}. "
            "Give the folder that holds those, and rename a class that has another name."
        )
    ordered = {name: files[name] for name in CLASSES if name in files}
    return Source(root, ordered, tuple(others))


def _is_image_file(path: Path) -> bool:
    return path.suffix == ".npy" and path.is_file()


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
    progress: Progress | None = None,
) -> Archive:
    """Converts a DeepLense-style folder into an archive; goes on where it was cut short.

    Which images are test images depends on the content of the files and the seed alone, so the
    same image is on the same side whatever the files are called.

    Args:
        source: the folder, or what `find_source` found in it.
        out: folder or URL of the archive.
        split: share of each class that becomes its test split; 0.1 where no counts are given.
        train, test: images of each class in the two splits, instead of `split`.
        seed: chooses the test images.
        pixel_scale: arcsec, where it is known.
        name: of the data set: letters, digits, dots, hyphens and underscores; that of the folder
            where not given.
        licence: of the data, which is its makers'.
        workers: threads; all cores where not given.
        progress: called as images are converted.

    Returns:
        The archive, opened.

    Raises:
        UsageError: where the request is wrong, or does not fit the archive that is there.
        ImportFileError: where a file is not an image, naming it.
        ArchiveError: where the archive cannot be written; a later call goes on from there.
    """
    found = source if isinstance(source, Source) else find_source(source)
    counts = split_counts(found, split, train, test)
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed = {seed} must be a non-negative integer below 2^63.")
    location = Location(out)
    first = _image(found.folder / next(iter(found.files.values()))[0])[0]
    files = {each: _hashed(found, each, workers) for each in found.files}
    wanted = Manifest(
        generator_version=VERSION,
        engine="imported",
        seed=seed,
        imported=_record(found, files, name, licence, pixel_scale, len(first)),
    )
    paths = {
        f"{part}/{each}": _chosen(files[each], seed, part, counts[each])
        for part in SPLITS
        for each in found.files
    }
    with location.exclusive():
        manifest = _manifest(location, wanted)
        groups = [
            group
            for part in SPLITS
            for each in found.files
            if counts[each][part]
            for group in _missing(location, manifest, part, each, counts[each][part])
        ]
        write_manifest(location, manifest)
        for layout, _ in groups:
            if read_layout(location, layout.record.name) is None:
                create_group(location, layout, manifest, _SUBHALOS)
        task = partial(convert_shard, location.url, manifest, found.folder, paths)
        with executor(task, workers, scheduler=None) as run:
            work_on_groups(location, manifest, groups, run, progress)
    return open_archive(location.url)


def _manifest(location: Location, wanted: Manifest) -> Manifest:
    """The manifest to go on from: the one that is there, where it is of the same import."""
    held = read_manifest(location)
    if held is None and location.exists(IMAGES):
        raise UsageError(
            f"{location} holds {IMAGES} but no {MANIFEST}, so it is not an archive of ours: "
            "choose another --out."
        )
    if held is not None and (held.imported, held.seed) != (wanted.imported, wanted.seed):
        raise UsageError(f"{location} holds another data set: choose another --out.")
    return held or wanted


def _missing(
    location: Location, manifest: Manifest, part: Split, name: SubstructureClass, count: int
) -> list[tuple[GroupLayout, list[int]]]:
    """A group with its missing shards; nothing where it is complete."""
    shard_size = _shard_size(manifest.frame.num_pix)
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
    layout = begun or GroupLayout(record)
    done = shards_done(location, layout)
    return [(layout, [shard for shard in range(layout.record.shards) if shard not in done])]


def split_counts(
    source: Source, split: float | None, train: int | None, test: int | None
) -> dict[SubstructureClass, dict[Split, int]]:
    """Images of each class in the two splits; arguments and errors are `import_deeplense`'s."""
    if split is not None and (train is not None or test is not None):
        raise UsageError("Give either split, or train and test, not both.")
    share = TEST_FRACTION if split is None else split
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"split = {share:g} must be between 0 and 1.")
    counts: dict[SubstructureClass, dict[Split, int]] = {}
    for name, files in source.files.items():
        held = len(files)
        if train is None and test is None:
            tested = round(share * held)
            counts[name] = {"train": held - tested, "test": tested}
            continue
        tested = test or 0
        trained = train if train is not None else held - tested
        if trained < 0 or tested < 0 or trained + tested > held:
            raise UsageError(
                f"{source.folder / name} holds {held} images, which is not enough for "
                f"{max(trained, 0)} to train and {tested} to test."
            )
        counts[name] = {"train": trained, "test": tested}
    if not any(number for each in counts.values() for number in each.values()):
        raise UsageError("train and test are both 0: there is nothing to import.")
    return counts


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
    listed = sorted((file for each in files.values() for file in each), key=lambda file: file.path)
    listing = "".join(f"{file.sha256}  {file.path}\n" for file in listed)
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
        )
    except ValueError as error:
        [first, *_] = error.errors()  # type: ignore[attr-defined]
        key = str(first["loc"][0])
        raise UsageError(f"{key} = {first['input']!r} is not allowed: {first['msg']}.") from None


def _chosen(
    files: Iterable[SourceFile], seed: int, part: Split, counts: dict[Split, int]
) -> tuple[str, ...]:
    """Paths of the files of a split, sorted: the first of a random order are the test images."""

    def key(file: SourceFile) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed} {file.sha256}".encode()).digest(), file.path

    order = [file.path for file in sorted(files, key=key)]
    start = 0 if part == "test" else counts["test"]
    return tuple(sorted(order[start : start + counts[part]]))


def _shard_size(num_pix: int) -> int:
    """Images in a file: whole chunks of about as many bytes as simulated images fill.

    A worker holds a shard in memory, so that larger images must not make larger shards.
    """
    alike = SHARD_SIZE * _SIMULATED_PIX**2 // num_pix**2
    return max(min(alike, SHARD_SIZE) // CHUNK_SIZE, 1) * CHUNK_SIZE


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
        layout, shard: which samples of which group.
        progress: called after every few images.

    Returns:
        The number of images converted.
    """
    samples, name = layout.record.samples(shard), layout.record.substructure_class
    num_pix = manifest.frame.num_pix
    sizes = {"y": num_pix, "x": num_pix, "subhalo": _SUBHALOS}
    columns: dict[str, NDArray[Any]] = {}
    for column in columns_of(name):
        shape = (len(samples), *(sizes[dimension] for dimension in column.dimensions[1:]))
        unknown = np.nan if column.dtype.startswith("float") else 0
        columns[column.name] = np.full(shape, unknown, dtype=column.dtype)
    columns["label"][:] = CLASSES.index(name)
    for row, sample in enumerate(samples):
        path = folder / paths[layout.record.name][sample]
        image, mass = _image(path)
        if image.shape != (num_pix, num_pix):
            raise ImportFileError(
                f"{path} has {image.shape[0]} x {image.shape[1]} pixels where the first image has "
                f"{num_pix} x {num_pix}: import images of one size at a time."
            )
        if (mass is None) == (name == "axion"):
            raise ImportFileError(
                f"{path} holds {'no' if mass is None else 'an'} axion mass, "
                f"which does not fit the class {name}."
            )
        columns["image"][row] = image
        if mass is not None:
            columns["axion_mass"][row] = mass
        if progress is not None:
            progress(1)
    write_shard(Location(url), layout, manifest.name, shard, columns)
    return len(samples)


def _content(path: Path) -> bytes:
    """Content of a file that is no larger than an image can be."""
    try:
        if path.stat().st_size > MAXIMUM_SIZE:
            raise ImportFileError(f"{path} is no image: it is larger than {MAXIMUM_SIZE} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}.") from None


def _image(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """Image (y, x) and axion mass in eV, None where there is none, of a file."""
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
