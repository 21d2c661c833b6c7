"""Published models: what lists their files, and a local copy of one at a URL."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import StringConstraints, ValidationError

from lensmodels.data.files import usable_cache_folder
from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.image_files.inputs import is_url
from lensmodels.schema import Settings
from lenssim.archive.integrity import file_problem
from lenssim.archive.manifest import FileRecord
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location

LISTING = "published.json"
"""File that lists the others of a published model; the last one to be written."""

_COPIES = "models"
"""Folder of the cache that holds copies of published models."""

_REMEDY = "publish the model again."

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Name of a file at the top of a model: no path that leads elsewhere."""


class PublishedModel(Settings):
    """What published.json holds."""

    files: Mapping[FileName, FileRecord]
    """Every other file of the model, with its size and SHA-256."""


def local_run(run: str | os.PathLike[str], cache_dir: Path | None = None) -> Path:
    """The folder of a run: as it is, or a copy of the model that was published at a URL.

    A copy is kept by the hash of its listing, so that a model which changes at its URL is fetched
    again, and one that does not is fetched once. Every file is compared with its SHA-256.

    Args:
        run: folder of a run or a published model, or URL of a published model.
        cache_dir: folder for copies; ~/.cache/lensmodels if not given.

    Returns:
        A folder of this machine.

    Raises:
        UsageError: if there is no published model at the URL.
        LensmodelsError: if it cannot be read, or is damaged.
    """
    if not is_url(os.fspath(run)):
        return Path(run)
    try:
        location = Location(run)
        if location.local_folder is not None:
            return Path(location.local_folder)
        content = _content(location)
        listed = read_listing(content, str(location))
        kept = usable_cache_folder(cache_dir) or Path(tempfile.mkdtemp(prefix="lensmodels-"))
        name = PurePosixPath(str(location)).name
        folder = kept / _COPIES / hashlib.sha256(content).hexdigest()[:16] / name
        _fetch(location, listed, folder)
    except ArchiveError as error:
        raise LensmodelsError(str(error)) from None
    return folder


def _content(location: Location) -> bytes:
    """What a model's published.json holds, unread."""
    try:
        return location.read(LISTING)
    except FileNotFoundError:
        raise UsageError(
            f"{location} is not a published model: it has no {LISTING}; name a run's folder, or "
            "what `lensmodels publish` wrote."
        ) from None


def read_listing(content: bytes, place: str) -> PublishedModel:
    """What a published.json holds.

    Args:
        content: of the file.
        place: where it is, for the message.

    Raises:
        LensmodelsError: if it is damaged.
    """
    try:
        return PublishedModel.model_validate_json(content)
    except ValidationError:
        raise LensmodelsError(f"{place}/{LISTING} is damaged: {_REMEDY}") from None


def _fetch(location: Location, listed: PublishedModel, folder: Path) -> None:
    """Copies the files of a model that a folder lacks, or holds damaged.

    Raises:
        LensmodelsError: if what was fetched is not what the listing says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy = Location(folder)
    for path, record in listed.files.items():
        if published_problem(copy, path, record) is None:
            continue
        copy.write_pieces(path, _pieces(location, path, record.size))
        problem = published_problem(copy, path, record)
        if problem is not None:
            copy.remove(path)
            raise LensmodelsError(f"{location}/{path} {problem}: {_REMEDY}")


def _pieces(location: Location, path: str, size: int) -> Iterator[bytes]:
    """A file of a model, piece by piece."""
    try:
        yield from map(bytes, location.blocks(path, size))
    except FileNotFoundError:
        raise LensmodelsError(f"{location}/{path} is missing: {_REMEDY}") from None


def published_problem(location: Location, path: str, record: FileRecord) -> str | None:
    """What is wrong with a file of a model, as a clause after its name; None if it is sound."""
    return file_problem(location, path, record, listing=LISTING)
