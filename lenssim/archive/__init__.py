"""Archives: the data sets on disk, or behind a URL, that everything else reads.

schema         the columns
card           README.md
croissant      croissant.json
content        what groups hold, in Zarr or in shards, and as CSV
documents      writes all that goes beside the data
server_errors  what a failed request means
remote         requests to servers
location       files at a path or URL
lock           holding a location for one writer
ownership      which files in a folder are the archive's own
manifest       archive.json
webdataset     the bytes of a WebDataset shard
writer         groups, shard by shard
reader         open_archive, which checks what it reads
verify         every file, the structure and the columns against the manifest
versions       the versions of a published data set
publish        immutable versions in a folder or bucket
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: a command's help needs no zarr."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lenssim.archive' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
