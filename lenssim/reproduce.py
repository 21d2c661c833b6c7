"""Proving that an archive holds what its specification says, by making some of it again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lenssim.archive.integrity import Problem, file_problems, fit_problems, group_problems
from lenssim.archive.manifest import GroupRecord
from lenssim.archive.reader import Archive, open_archive
from lenssim.build.execution import thread_count
from lenssim.build.shard import simulate_samples
from lenssim.errors import ArchiveError, ServerError, SpecError, UsageError
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.pictures import with_checksum
from lenssim.progress import Phase, Progress, progress_callbacks
from lenssim.rendering import platform
from lenssim.simulation import Simulation, compile_kernels
from lenssim.spec import Specification

REGULAR_TOLERANCE = 1e-5
"""Difference in units of the noise that another platform's rounding may make, at fixed sampling."""

SNR_TOLERANCE = 1e-3
"""Relative difference in the S/N of the substructure that another platform may make."""


ROUNDING = 1e-12
"""Relative difference in a drawn number that another platform may make."""


@dataclass(frozen=True)
class Verification:
    """What was checked, and what is wrong."""

    files: int
    size: int
    """Bytes."""
    images: int
    """Images that were rendered again."""
    is_same_platform: bool
    """Whether they were compared bit for bit; else within `pixel_tolerance`."""
    problems: tuple[Problem, ...]


def verify(
    url: str | os.PathLike[str],
    *,
    deep: int = 0,
    seed: int | None = None,
    workers: int | None = None,
    progress: Progress | bool = False,
    phase: Phase | None = None,
) -> Verification:
    """Checks an archive: every file, the structure, the columns and, if asked, the images.

    Args:
        url: folder or URL.
        deep: images of each group, drawn at random, that are rendered again and compared.
        seed: of that draw; another one each time if not given.
        workers: files that are read at a time; as many as there are cores if not given.
        progress: True for a bar on stderr, or a function that is called as bytes are checked.
        phase: called with a short text that says what is being done now.

    Returns:
        What was checked, and every problem.

    Raises:
        ArchiveError: if there is no archive, or its manifest itself is damaged.
        ServerError: if a server fails, so that its files cannot be judged.
        UsageError: if `deep` is asked for images that were imported, or is negative, or the
            pictures of galaxies that images were made from are missing or have changed.
    """
    archive = open_archive(url)
    manifest = archive.manifest
    if deep < 0:
        raise UsageError(f"deep = {deep} must not be negative.")
    if deep and manifest.imported is not None:
        raise UsageError(f"{url} holds imported images, which cannot be rendered again.")
    if deep:
        _check_pictures(archive)
    size = manifest.size
    with progress_callbacks(progress, phase, "checking files", size, "MB", 1e-6) as (advance, say):
        problems = file_problems(archive, workers=thread_count(workers), progress=advance)
        damaged = {problem.place for problem in problems}
        more, images = _check_groups(archive, damaged, deep, seed, say)
    return Verification(
        files=len(manifest.files),
        size=manifest.size,
        images=images,
        is_same_platform=manifest.platform == platform(),
        problems=(*problems, *more),
    )


def _check_pictures(archive: Archive) -> None:
    """Refuses to render again without the pictures that the sources were."""
    try:
        with_checksum(archive.manifest.specification())
    except SpecError as error:
        reason = str(error).rstrip(".")
        raise UsageError(
            f"{archive.location} cannot be rendered again: {reason} (verify without --deep needs "
            "no pictures)."
        ) from None


def _check_groups(
    archive: Archive, damaged: set[str], deep: int, seed: int | None, phase: Phase | None
) -> tuple[list[Problem], int]:
    """Problems of the groups without damaged files, and how many images were rendered again."""
    say = phase or (lambda text: None)
    if deep and archive.manifest.engine == "fast":
        compile_kernels(phase)
    problems: list[Problem] = []
    images = 0
    generator = np.random.default_rng(seed)
    for record in archive.manifest.groups:
        # a damaged file is reported once, not again for every column in it
        prefixes = (f"images.zarr/{record.name}/", f"shards/{record.name}-")
        if any(place.startswith(prefixes) for place in damaged):
            continue
        say(f"checking columns of {record.name}")
        problems += group_problems(archive, record)
        has_sound_files = not any(place.startswith(f"fits/{record.name}/") for place in damaged)
        if archive.manifest.has_fits(record.name) and has_sound_files:
            problems += fit_problems(archive, record)
        count = min(deep, record.count)
        indices = np.sort(generator.choice(record.count, size=count, replace=False))
        if count:
            say(f"rendering {count} images of {record.name} again")
            problems += image_problems(archive, record, [int(index) for index in indices])
            images += count
    return problems, images


def pixel_tolerance(spec: Specification) -> float:
    """Difference in a pixel, in units of its noise, that another platform may make.

    Rounding differs between processors. Where it tips the balance of whether to refine a pixel,
    both results are within the specification's tolerance of the truth.
    """
    tolerance = spec.sampling.tolerance
    return REGULAR_TOLERANCE if tolerance is None else 2 * tolerance


def image_problems(archive: Archive, record: GroupRecord, indices: Sequence[int]) -> list[Problem]:
    """Compares images of a group, and their columns, with the same ones rendered again.

    Args:
        archive: opened; its images were simulated.
        record: of the group.
        indices: sample indices.

    Returns:
        The problems, none if all images are reproduced.
    """
    manifest = archive.manifest
    spec = manifest.specification()
    simulations = simulate_samples(spec, manifest, record, indices)
    is_same = manifest.platform == platform()
    problems = []
    for storage in record.formats:
        read = _rows_from_zarr if storage == "zarr" else _rows_from_shards
        try:
            rows = read(archive, record, indices)
        except ServerError:
            raise
        except (ArchiveError, ValueError) as error:
            problems.append(Problem(f"{storage} of {record.name}", str(error)))
            continue
        for index, row, simulation in zip(indices, rows, simulations, strict=True):
            what = _difference(row, simulation, record, spec, is_same)
            if what:
                problems.append(Problem(f"{storage} of {record.name}, sample {index}", what))
    return problems


Row = dict[str, np.ndarray]
"""One sample: its image and its columns."""


def _rows_from_zarr(archive: Archive, record: GroupRecord, indices: Sequence[int]) -> list[Row]:
    dataset = archive.dataset(record.split, record.substructure_class, allow_whole_files=True)
    drawn = dataset.isel(sample=list(indices)).load()
    return [
        {str(name): drawn[name].values[place] for name in drawn.data_vars}
        for place in range(len(indices))
    ]


def _rows_from_shards(archive: Archive, record: GroupRecord, indices: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for shard in range(record.shards):
        samples = record.samples(shard)
        held = [index for index in indices if index in samples]
        if not held:
            continue
        images, scalars = archive.read_shard(record, shard)
        for index in held:
            place = index - samples.start
            values = {name: np.asarray(value, float) for name, value in scalars[place].items()}
            rows.append({"image": images[place], **values})
    return rows


def _difference(
    row: Row, simulation: Simulation, record: GroupRecord, spec: Specification, is_same: bool
) -> str | None:
    """How a stored sample differs from the same one made again; None if it does not."""
    made = simulation.image.astype(np.float32)
    if is_same:
        if not np.array_equal(row["image"], made):
            pixels = int((row["image"] != made).sum())
            return f"its image differs from the one rendered again in {pixels} pixels"
    else:
        sigma = noise_sigma(simulation.noise_free, pixel_noise(spec.instrument))
        rounding = np.spacing(np.abs(made))
        allowed = pixel_tolerance(spec) * sigma + rounding
        if not (np.abs(row["image"] - made) <= allowed).all():
            return "its image differs from the one rendered again by more than the tolerance"
    for column in record.columns:
        if column.name not in row or column.name in ("image", "label"):
            continue
        stored = row[column.name]
        if column.name in ("substructure_snr", "substructure_snr_refit"):
            again = np.asarray(getattr(simulation, column.name), dtype=np.float32)
            tolerance = SNR_TOLERANCE
        else:
            again = np.asarray(getattr(simulation.system, column.name))
            tolerance = ROUNDING
        if stored.ndim:
            stored = stored[: len(again)]  # what follows is NaN
        if not np.allclose(stored, again, rtol=0 if is_same else tolerance, atol=0, equal_nan=True):
            return f"its {column.name} is not the one that was drawn"
    return None
