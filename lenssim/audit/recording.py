"""Keeping the result of an audit: audit.json in the archive, and a section of its card."""

from __future__ import annotations

import os
from dataclasses import replace

from lenssim.archive.audit_record import AUDIT, AuditRecord, read_audit
from lenssim.archive.documents import write_documents
from lenssim.archive.manifest import FileRecord
from lenssim.archive.reader import Archive, open_archive
from lenssim.archive.versions import published_versions
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location


def why_not_recorded(archive: Archive) -> str | None:
    """Why the result of an audit is not to be written into an archive; None if it is.

    Raises:
        ArchiveError: if it would replace an audit.json that is not ours.
    """
    location = archive.location
    if not location.is_local:
        return f"{location} is not a local folder"
    if _is_published(location):
        return f"{location} is a published version, which never changes"
    if not os.access(location.path(""), os.W_OK):
        return f"{location} cannot be written"
    if AUDIT not in archive.manifest.files:
        read_audit(location)
    return None


def record_audit(url: str | os.PathLike[str], record: AuditRecord) -> None:
    """Writes audit.json into an archive, and its card anew.

    Args:
        url: folder of the archive.
        record: from `audit`.

    Raises:
        ArchiveError: if the archive cannot be written, or must not be.
    """
    with open_archive(url).location.exclusive():
        archive = open_archive(url)
        reason = why_not_recorded(archive)
        if reason is not None:
            raise ArchiveError(f"The audit is not recorded: {reason}.")
        content = record.to_bytes()
        archive.location.write(AUDIT, content)
        files = {**archive.manifest.files, AUDIT: FileRecord.of(content)}
        manifest = archive.manifest.model_copy(update={"files": dict(sorted(files.items()))})
        write_documents(replace(archive, manifest=manifest))


def _is_published(location: Location) -> bool:
    """Whether a folder is a version that the index beside it lists."""
    home, _, name = location.absolute_url.rstrip("/").rpartition("/")
    if not home:
        return False
    return any(entry["version"] == name for entry in published_versions(Location(home)))
