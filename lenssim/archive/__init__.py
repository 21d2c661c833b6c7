"""Archives: the data sets on disk, or behind a URL, that everything else reads.

schema         the columns
tables         those that hold one number an image, as CSV
card           README.md
croissant      croissant.json
content        what groups hold, in Zarr or in shards
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

from lenssim.archive.location import Location
from lenssim.archive.manifest import GroupRecord, Manifest, read_manifest
from lenssim.archive.reader import Archive, open_archive
from lenssim.errors import ArchiveError, ServerError

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
