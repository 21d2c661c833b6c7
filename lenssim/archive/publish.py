"""Publishing an archive: immutable versions in a folder or bucket, listed in an index.

A version's manifest is the last of its files to be written, and without it there is no archive: a
reader sees a version whole, or not at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path, PurePosixPath

from lenssim.archive.card import is_card
from lenssim.archive.documents import CARD
from lenssim.archive.integrity import file_problem, file_problems
from lenssim.archive.manifest import MANIFEST, FileRecord
from lenssim.archive.reader import Archive, open_archive
from lenssim.archive.versions import INDEX, VERSION, published_versions
from lenssim.errors import ArchiveError, UsageError
from lenssim.progress import Phase, Progress, progress_callbacks
from lenssim.storage.atomic import is_scratch
from lenssim.storage.location import SCRATCH, Location
from lenssim.storage.locking import LOCK

UPLOADS = 8
"""Files that are uploaded, or read back, at a time."""


def publish(
    source: str | os.PathLike[str],
    url: str | os.PathLike[str],
    *,
    version: str | None = None,
    progress: Progress | bool = False,
    phase: Phase | None = None,
) -> str:
    """Uploads an archive as one version of a published data set, and reads it back.

    The same call resumes a run that was cut short: files that are there and sound are not uploaded
    again.

    Args:
        source: folder of the archive.
        url: folder or URL that holds all versions: file://, s3://, hf://, or a path.
        version: as in "1.0.0"; that of the specification if not given.
        progress: True for a bar on stderr, or a function that is called as bytes are uploaded.
        phase: called with a short text that says what is being done now.

    Returns:
        URL of the version, which `open_archive` opens.

    Raises:
        UsageError: if the version is there already, or is no version, or where the files of
            something else are in the way.
        ArchiveError: if the archive is not sound, or cannot be written there.
    """
    archive = open_archive(source)
    if not archive.location.is_local:
        raise UsageError(f"{source} must be a folder of this machine, to be published from.")
    if not archive.manifest.groups:
        raise ArchiveError(f"{source} holds no complete group yet: run generate first.")
    chosen = version or archive.manifest.model.version
    if chosen is None or not VERSION.match(chosen):
        raise UsageError(f"version = {chosen} must be three numbers, as in 1.0.0: --version.")
    home = Location(url)
    target = home.below(chosen)
    home.check_writable()
    target.check_writable()
    own = archive.location.read(MANIFEST)
    listed = published_versions(home)
    _check_home(home)
    if _is_published(target, own, any(entry["version"] == chosen for entry in listed)):
        raise UsageError(
            f"{target} is published already, and a version never changes: publish this archive "
            "under another --version."
        )
    # only in a folder are there scratch files to clear; a hold on the hub would cost two commits
    with target.exclusive() if target.is_local else nullcontext():
        size = archive.manifest.size
        with progress_callbacks(progress, phase, "uploading", size, "MB", 1e-6) as (advance, say):
            _upload(archive, target, advance, say or (lambda text: None))
        try:
            target.create(MANIFEST, own)
        except FileExistsError:
            if target.read(MANIFEST) != own:
                raise ArchiveError(f"Another run has published {target} meanwhile.") from None
    _list(home, archive, chosen)
    return target.url


def _check_home(home: Location) -> None:
    """Refuses a place for all versions where a file that is written would replace another's.

    Raises:
        UsageError: if it is an archive, or has a README.md that is no data-set card of ours.
    """
    if home.exists(MANIFEST):
        raise UsageError(
            f"{home} is an archive: name another folder, which is to hold all published versions."
        )
    try:
        card = home.read(CARD)
    except FileNotFoundError:
        return
    if not is_card(card):
        raise UsageError(
            f"{home}/{CARD} is not a data-set card of ours and would be replaced: rename it, or "
            "publish into a folder of its own."
        )


def _is_published(target: Location, own: bytes, is_listed: bool) -> bool:
    """Whether a version is complete and listed; one that only the index lacks is resumed."""
    try:
        return is_listed or target.read(MANIFEST) != own
    except FileNotFoundError:
        return False


def _upload(
    archive: Archive,
    target: Location,
    progress: Progress | None,
    phase: Phase,
) -> None:
    """Brings every file of an archive to a place, where they are then found to be sound."""
    files = archive.manifest.files
    there = {path.removeprefix("/"): size for path, size in target.sizes("").items()}
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}
    foreign = sorted(
        path
        for path in there
        if path not in files and path not in (MANIFEST, LOCK) and not _is_own_scratch(path, folders)
    )
    if foreign:
        raise ArchiveError(
            f"{target} holds files of something else, such as {foreign[0]}: remove them, or "
            "publish under another --version."
        )
    target.clear_scratch([*folders, SCRATCH])
    missing = [path for path, record in files.items() if there.get(path) != record.size]
    if progress is not None:
        progress(sum(record.size for path, record in files.items() if path not in set(missing)))
    published = Archive(target, archive.manifest)
    for _ in range(2):  # a second time for what an earlier, interrupted run left damaged
        phase("uploading")
        _upload_files(archive, missing, target, progress)
        phase("reading it back")
        problems = file_problems(published, workers=UPLOADS)
        if not problems:
            return
        missing = [problem.place for problem in problems]
    path = problems[0].place
    own = file_problem(archive.location, path, files[path]) if path in files else None
    if own is not None:
        raise ArchiveError(f"{archive.location}/{path} {own}: it cannot be published.")
    raise ArchiveError(f"{target} does not keep what is written to it: {problems[0]}.")


def _is_own_scratch(path: str, folders: Collection[str]) -> bool:
    """Whether a file in a version is one that a killed run left half uploaded.

    Args:
        path: of the file, in the version.
        folders: of the version's files.
    """
    folder, _, name = path.rpartition("/")
    return is_scratch(name) and folder in (SCRATCH, *folders)


def _upload_files(
    archive: Archive, paths: list[str], target: Location, progress: Progress | None
) -> None:
    if target.hub is None:
        _in_parallel(lambda path: _upload_file(archive, path, target, progress), paths)
    elif paths:
        target.commit_to_hub(Path(archive.location.path("")), paths)
        if progress is not None:
            progress(sum(archive.manifest.files[path].size for path in paths))


def _upload_file(archive: Archive, path: str, target: Location, progress: Progress | None) -> None:
    try:
        target.upload(Path(archive.location.path(path)), path)
    except FileNotFoundError:
        raise ArchiveError(f"{archive.location}/{path} is missing: run lenssim verify.") from None
    if progress is not None:
        progress(archive.manifest.files[path].size)


def _in_parallel(work: Callable[[str], None], items: Iterable[str]) -> None:
    """Does something for every item; after a failure, what has not begun is left out."""
    with ThreadPoolExecutor(UPLOADS) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _list(home: Location, archive: Archive, version: str) -> None:
    """Adds a version to the index, which is sorted by version, and shows the newest one's card."""
    manifest = archive.manifest
    entry = {
        "version": version,
        "name": manifest.name,
        "images": sum(group.count for group in manifest.groups),
        "bytes": manifest.size,
        "spec_sha256": manifest.spec_sha256,
        "archive_json_sha256": FileRecord.of(archive.location.read(MANIFEST)).sha256,
    }
    others = [listed for listed in published_versions(home) if listed["version"] != version]
    entries = sorted(
        [*others, entry], key=lambda listed: [int(part) for part in listed["version"].split(".")]
    )
    if entry == entries[-1] and CARD in manifest.files:
        card = archive.location.read(CARD).decode()
        home.write(CARD, card_of_newest(card, version).encode())
    home.write(INDEX, (json.dumps({"versions": entries}, indent=1) + "\n").encode())


def card_of_newest(card: str, version: str) -> str:
    """A version's card as that of the whole data set: its paths lead into the version's folder.

    The Hugging Face hub shows the README.md at the top of a repository, and finds the data by it.
    """
    opening, matter, text = card.split("---\n", 2)
    matter = re.sub(r"(?m)^(\s*path: )", rf"\g<1>{version}/", matter)
    return "---\n".join(
        [opening, matter, text.replace("](preview.png)", f"]({version}/preview.png)")]
    )
