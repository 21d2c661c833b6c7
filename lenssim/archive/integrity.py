"""Checking an archive against its own manifest: every byte, the structure, and the columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from lenssim.archive.column import Column
from lenssim.archive.fit_columns import FIT_COLUMNS
from lenssim.archive.manifest import (
    FITS,
    IMAGES,
    MANIFEST,
    SHARDS,
    FileRecord,
    GroupRecord,
    Manifest,
)
from lenssim.archive.reader import Archive
from lenssim.archive.webdataset import shard_path
from lenssim.errors import ArchiveError, ServerError
from lenssim.progress import Progress
from lenssim.spec import label_of
from lenssim.storage.atomic import is_scratch
from lenssim.storage.location import Location

_SERSIC_SHAPE = ("source_n_sersic", "source_e1", "source_e2")
"""Columns of the source that are NaN if it is a picture."""


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be: where, as a path or an image, and what."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def file_problems(
    archive: Archive, *, workers: int, progress: Progress | None = None
) -> list[Problem]:
    """What is wrong with the files: missing, of another size or content, or not listed.

    Args:
        archive: opened.
        workers: files that are read at a time.
        progress: called as bytes are checked.

    Returns:
        One problem a file, sorted by path; none where every file is what the manifest says.

    Raises:
        ServerError: if the server fails, so that its files cannot be judged.
    """
    location, manifest = archive.location, archive.manifest

    def check(item: tuple[str, FileRecord]) -> Problem | None:
        path, record = item
        what = file_problem(location, path, record, progress)
        return Problem(path, what) if what else None

    # large files first, so that no worker is left with one at the end
    items = sorted(manifest.files.items(), key=lambda item: -item[1].size)
    with ThreadPoolExecutor(workers) as pool:
        problems = [problem for problem in pool.map(check, items) if problem is not None]
    problems += [Problem(path, f"is not listed in {MANIFEST}") for path in _unlisted(archive)]
    return sorted(problems, key=lambda problem: problem.place)


def file_problem(
    location: Location,
    path: str,
    record: FileRecord,
    progress: Progress | None = None,
    listing: str = MANIFEST,
) -> str | None:
    """What is wrong with one file, as a clause that follows its name; None if it is sound.

    Args:
        location: of the archive.
        path, record: of the file, as the manifest has them.
        progress: called as bytes are checked.
        listing: name of the file that the record is from.
    """
    if location.is_local:
        root = Path(location.path("")).resolve()
        if not Path(location.path(path)).resolve().is_relative_to(root):
            return "is a link that leaves the archive"
    digest, size = hashlib.sha256(), 0
    try:
        for block in location.blocks(path, record.size):
            digest.update(block)
            size += len(block)
            if progress is not None:
                progress(len(block))
            if size > record.size:
                break
    except FileNotFoundError:
        return "is missing"
    except ServerError:
        raise
    except ArchiveError as error:
        return str(error)
    if size != record.size:
        least = "more than" if size > record.size else f"{size} instead of"
        return f"has {least} {record.size} bytes"
    if digest.hexdigest() != record.sha256:
        return f"is damaged: its content is not what {listing} describes"
    return None


def _unlisted(archive: Archive) -> Iterator[str]:
    """Files among the data that the manifest does not know; only a local folder is listed."""
    if not archive.location.is_local:
        return
    for folder in (IMAGES, SHARDS, FITS):
        for path in archive.location.sizes(folder):
            name = path.rpartition("/")[2]
            if path not in archive.manifest.files and not is_scratch(name):
                yield path


def group_problems(archive: Archive, record: GroupRecord) -> list[Problem]:
    """What is wrong with a group's structure, and with its columns against the schema.

    Pixels are not read: that they are what was written is a matter of `file_problems`, that they
    are what they should be one of `lenssim verify --deep`.

    Args:
        archive: opened.
        record: of the group.

    Returns:
        The problems, none if the group is sound.
    """
    problems = []
    if "webdataset" in record.formats:
        problems += _shard_gaps(archive.manifest, record)
    if "zarr" in record.formats:
        try:
            dataset = archive.dataset(
                record.split, record.substructure_class, allow_whole_files=True
            )
            names = [name for name in dataset.variables if name not in _pixel_columns(record)]
            loaded = dataset[names].load()
            attributes = dataset["image"].attrs
        except ServerError:
            raise
        except ArchiveError as error:
            return [*problems, Problem(f"{IMAGES}/{record.name}", str(error))]
        except ValueError as error:  # a chunk whose own checksum does not fit
            return [*problems, Problem(f"{IMAGES}/{record.name}", f"is damaged: {error}")]
        if "units" not in attributes:
            problems.append(Problem(f"{IMAGES}/{record.name}/image", "has no units"))
        problems += _column_problems(loaded, record, archive.manifest)
    return problems


def fit_problems(archive: Archive, record: GroupRecord) -> list[Problem]:
    """What is wrong with the fits of a group: their structure, and values that they cannot have.

    Args:
        archive: opened.
        record: of a group that was fitted.
    """
    place = f"{FITS}/{record.name}"
    try:
        dataset = archive.fits(record.split, record.substructure_class)
        loaded = dataset[[name for name in dataset.variables if name != "residual"]].load()
    except ServerError:
        raise
    except ArchiveError as error:
        return [Problem(place, str(error))]
    except ValueError as error:  # a chunk whose own checksum does not fit
        return [Problem(place, f"is damaged: {error}")]
    problems = []
    for column in FIT_COLUMNS:
        if column.name == "residual":
            continue
        values = loaded[column.name].values
        wrong = (values < column.least) | (values > column.most)
        if column.name in ("value", "error", "reduced_chi_square"):
            unknown = ~np.isfinite(values)
            is_fitted = loaded["converged"].values == 1
            wrong |= unknown & (is_fitted[:, np.newaxis] if values.ndim == 2 else is_fitted)
        if wrong.any():
            first = int(np.argwhere(wrong)[0][0])
            what = f"has a value that it cannot have, at sample {first}"
            problems.append(Problem(f"{place}/{column.name}", what))
    return problems


def _shard_gaps(manifest: Manifest, record: GroupRecord) -> list[Problem]:
    """Shards of a group that the manifest should list and does not, or the other way round."""
    held = manifest.files_of(f"{SHARDS}/{record.name}-")
    expected = {shard_path(record, shard) for shard in range(record.shards)}
    return [
        Problem(path, f"is not in {MANIFEST}" if path in expected else "should not be there")
        for path in sorted(expected ^ set(held))
    ]


def _column_problems(dataset: xr.Dataset, record: GroupRecord, manifest: Manifest) -> list[Problem]:
    problems = []
    if not np.array_equal(dataset["sample"].values, np.arange(record.count)):
        problems.append(Problem(f"{IMAGES}/{record.name}/sample", "does not count from 0"))
    for column in record.columns:
        if column.name not in _pixel_columns(record):
            what = _column_problem(dataset, column, record, manifest)
            if what:
                problems.append(Problem(f"{IMAGES}/{record.name}/{column.name}", what))
    return problems


def _pixel_columns(record: GroupRecord) -> set[str]:
    """Names of the columns of an array of pixels an image."""
    return {column.name for column in record.columns if len(column.dimensions) == 3}


def _may_be_unknown(column: Column, record: GroupRecord) -> bool:
    """Whether values of a column may be NaN: a picture of a galaxy is no Sersic ellipse."""
    if "source_galaxy" in record.extra_columns and column.name in _SERSIC_SHAPE:
        return True
    return column.may_be_unknown


def _column_problem(
    dataset: xr.Dataset, column: Column, record: GroupRecord, manifest: Manifest
) -> str | None:
    """The first thing wrong with one column, and the sample where it is."""
    variable = dataset[column.name]
    values = variable.values
    if variable.attrs.get("units") != column.units:
        return f"has the unit {variable.attrs.get('units')!r} instead of {column.units!r}"
    if column.name == "label":
        wrong = values != label_of(record.substructure_class)
    elif column.name == "axion_mass" and record.substructure_class != "axion":
        wrong = ~np.isnan(values)
    else:
        wrong = (values < column.least) | (values > column.most)
        if "subhalo" in column.dimensions:
            # as many subhalos as have a mass, one after another
            wrong |= np.isnan(values) != np.isnan(dataset["subhalo_mass"].values)
            wrong[:, 1:] |= np.isnan(values[:, :-1]) & ~np.isnan(values[:, 1:])
        elif manifest.imported is None and not _may_be_unknown(column, record):
            wrong |= ~np.isfinite(values)
    if not wrong.any():
        return None
    first = int(np.argwhere(wrong)[0][0])
    return f"has a value that it cannot have, at sample {first}"
