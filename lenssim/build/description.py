"""Describing an archive: its card, picture, tables and Croissant description."""

from __future__ import annotations

import os
from dataclasses import replace

from lenssim.archive.documents import CARD, write_documents
from lenssim.archive.reader import Archive, open_archive
from lenssim.progress import Phase


def describe(url: str | os.PathLike[str], phase: Phase | None = None) -> Archive:
    """Writes what goes beside the data of an archive, where that is not there or no longer true.

    To be called by the run that holds the archive.

    Args:
        url: folder or URL.
        phase: called with a short text that says what is being done now.

    Returns:
        The archive, opened, with the documents in its manifest.

    Raises:
        ArchiveError: if there is no archive, or it cannot be written.
    """
    archive = open_archive(url)
    if CARD in archive.manifest.files or not archive.manifest.groups:
        return archive
    has_pictures = any("zarr" in group.formats for group in archive.manifest.groups)
    picture = None
    if has_pictures:
        from lenssim.preview import preview_png
        from lenssim.simulation import compile_kernels

        if archive.manifest.imported is None:
            compile_kernels(phase)
        if phase is not None:
            phase("drawing the picture")
        picture = preview_png(archive)
    if phase is not None:
        phase("writing tables and card")
    return replace(archive, manifest=write_documents(archive, picture))
