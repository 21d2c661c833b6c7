"""Archives: the data sets on disk, or behind a URL, that everything else reads.

schema      the columns
location    files at a path or URL
manifest    archive.json
writer      groups, shard by shard
reader      open_archive
"""

from lenssim.archive.location import Location
from lenssim.archive.manifest import GroupRecord, Manifest, read_manifest
from lenssim.archive.reader import Archive, open_archive

__all__ = ["Archive", "GroupRecord", "Location", "Manifest", "open_archive", "read_manifest"]
