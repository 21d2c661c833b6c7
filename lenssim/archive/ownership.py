"""What in a folder belongs to an archive: nothing else there is ever replaced or removed."""

from __future__ import annotations

from lenssim.archive.audit_record import AUDIT
from lenssim.archive.card import PICTURE
from lenssim.archive.content import TABLES
from lenssim.archive.croissant import CROISSANT
from lenssim.archive.documents import CARD
from lenssim.archive.layout import PROGRESS
from lenssim.archive.manifest import (
    FITS,
    IMAGES,
    MANIFEST,
    REFUSED,
    SHARDS,
    SOURCES,
    Manifest,
    read_manifest,
)
from lenssim.errors import UsageError
from lenssim.storage.location import SCRATCH, Location

_FILES = (CARD, CROISSANT, PICTURE, AUDIT, SOURCES, REFUSED)
_FOLDERS = (IMAGES, SHARDS, FITS, TABLES, PROGRESS)


def read_own_manifest(location: Location) -> Manifest | None:
    """The manifest of the archive at a location; None if a new archive can be made there.

    Other files may be there, as long as none has the name of one that an archive consists of.

    Raises:
        UsageError: if such files are there without a manifest, so that they are not ours.
        ArchiveError: if the manifest cannot be read or understood, or was changed.
    """
    manifest = read_manifest(location)
    if manifest is not None:
        return manifest
    foreign = sorted({*_FILES, *_FOLDERS}.intersection(location.names("")))
    if foreign:
        raise UsageError(
            f"{location} holds {' and '.join(foreign)} but no {MANIFEST}, so it is not an archive "
            "of ours: choose another --out."
        )
    return None


def clear_scratch(location: Location) -> None:
    """Removes the scratch files that killed runs left in an archive.

    To be called by the run that holds the archive, after everything that may refuse the request.
    """
    location.clear_scratch((*_FOLDERS, SCRATCH))
