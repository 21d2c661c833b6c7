"""Archives: the data sets on disk, or behind a URL, that everything else reads.

schema            the columns: base, those that only some specifications store, those of a fit
manifest          archive.json
layout            shape and shards of a group's arrays
writer, reader    groups shard by shard; `open_archive`, which checks what it reads
webdataset        the bytes of a WebDataset shard
content           what groups hold, in Zarr or in shards, and as CSV
documents         writes README.md (card), croissant.json (croissant) and columns/
audit_record      audit.json
ownership         which files in a folder are the archive's own
integrity         every file, the structure and the columns against the manifest
publish           immutable versions in a folder or bucket; versions finds them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lenssim.archive.manifest import GroupRecord, Manifest, read_manifest
    from lenssim.archive.reader import Archive, open_archive
    from lenssim.errors import ArchiveError, ServerError
    from lenssim.storage.location import Location

__all__ = [
    "Archive",
    "ArchiveError",
    "GroupRecord",
    "Location",
    "Manifest",
    "ServerError",
    "open_archive",
    "read_manifest",
]

_HOMES = {
    "Archive": "lenssim.archive.reader",
    "ArchiveError": "lenssim.errors",
    "ServerError": "lenssim.errors",
    "GroupRecord": "lenssim.archive.manifest",
    "Location": "lenssim.storage.location",
    "Manifest": "lenssim.archive.manifest",
    "open_archive": "lenssim.archive.reader",
    "read_manifest": "lenssim.archive.manifest",
}

__getattr__ = lazy_names(__name__, _HOMES)
"""Imports a public name when it is first used: a command's help needs no zarr."""
