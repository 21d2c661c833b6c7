"""What goes beside the data: card, Croissant description, tables, picture, audit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lenssim.archive.audit_record import AUDIT, read_audit
from lenssim.archive.card import PICTURE, archive_card
from lenssim.archive.content import TABLES, table, table_path
from lenssim.archive.croissant import CROISSANT, croissant_bytes
from lenssim.archive.manifest import FileRecord, Manifest, write_manifest
from lenssim.archive.reader import Archive
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location

CARD = "README.md"


def document_paths(manifest: Manifest) -> list[str]:
    """Paths of the documents that a manifest records."""
    single = {CARD, CROISSANT, PICTURE, AUDIT}
    return [path for path in manifest.files if path in single or path.startswith(f"{TABLES}/")]


def without_documents(manifest: Manifest) -> Manifest:
    """The manifest of an archive whose documents are to be written again."""
    gone = set(document_paths(manifest))
    return _with(
        manifest, {path: file for path, file in manifest.files.items() if path not in gone}
    )


def write_documents(
    archive: Archive, picture: bytes | None = None, *, base_url: str | None = None
) -> Manifest:
    """Writes README.md, croissant.json and the tables into an archive, and records them.

    Doing it again writes the same bytes. It is to be done again when groups or shards are added,
    and by one run at a time, which has opened the archive while it holds it.

    Args:
        archive: opened; only its complete groups are described.
        picture: content of preview.png; if not given, one that is there stays. An audit.json
            that the manifest lists stays.
        base_url: where the archive will be published, for croissant.json.

    Returns:
        The manifest with the new files, as it is now in the archive.
    """
    location = archive.location
    files = dict(archive.manifest.files)
    for path in document_paths(archive.manifest):
        if path not in (PICTURE, AUDIT):
            del files[path]
    if AUDIT not in files:
        _remove_outdated_audit(location)
    for group in archive.manifest.groups:
        path = table_path(group)
        files[path] = _write_pieces(location, path, table(archive, group))
    if picture is not None:
        location.write(PICTURE, picture)
        files[PICTURE] = FileRecord.of(picture)
    described = replace(archive, manifest=_with(archive.manifest, files))
    for path, content in (
        (CARD, archive_card(described, has_picture=PICTURE in files).encode()),
        (CROISSANT, croissant_bytes(described, base_url=base_url)),
    ):
        location.write(path, content)
        files[path] = FileRecord.of(content)
    manifest = _with(archive.manifest, files)
    write_manifest(location, manifest)
    return manifest


def _remove_outdated_audit(location: Location) -> None:
    """Removes an audit.json of ours that is of an earlier content of the archive."""
    try:
        if read_audit(location) is not None:
            location.remove(AUDIT)
    except ArchiveError:
        return


def _write_pieces(location: Location, path: str, pieces: Iterable[bytes]) -> FileRecord:
    """Writes a file, and gives its record, without all of it in memory."""
    digest, size = hashlib.sha256(), 0

    def recorded() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            yield piece

    location.write_pieces(path, recorded())
    return FileRecord(size=size, sha256=digest.hexdigest())


def _with(manifest: Manifest, files: dict[str, FileRecord]) -> Manifest:
    return manifest.model_copy(update={"files": dict(sorted(files.items()))})
