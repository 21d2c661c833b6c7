"""Publishing a run: its model and its card, to a folder, a bucket or the hub.

The listing, published.json, is the last file to be written, and without it there is no model at a
URL: a reader sees a model whole, or not at all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from pathlib import Path

from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.publishing import DEFAULT_LICENCE
from lensmodels.publishing.card import CARD, model_card
from lensmodels.publishing.files import copy_files, without_folders
from lensmodels.publishing.requests import check_publication
from lensmodels.runs.published import LISTING, PublishedModel, published_problem, read_listing
from lensmodels.startup import announce
from lenssim.archive.manifest import FileRecord
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location


def publish(
    run: str | os.PathLike[str],
    url: str | os.PathLike[str],
    *,
    licence: str = DEFAULT_LICENCE,
    overwrite: bool = False,
) -> str:
    """Uploads the model of a run, or its encoder, with a card, and reads it back.

    What is published is a run's folder to `lensmodels predict` and `embed`, without checkpoints,
    logs and plots, and without paths of this machine. The same call resumes one that was cut short.

    Args:
        run: folder of a run: finetuned and evaluated, or pretrained.
        url: folder or URL that is to hold the model: a path, s3://, or hf://OWNER/NAME, whose
            repository exists.
        licence: of the weights, by the hub's identifier, as in "mit".
        overwrite: whether a model that is there may be replaced, and other files of its names.

    Returns:
        The folder or URL.

    Raises:
        UsageError: if the run has no trained encoder or was not evaluated, or other files are in
            the way.
        LensmodelsError: if it cannot be written.
    """
    run = Path(run)
    check_publication(run, url)
    try:
        target = Location(url)
        with tempfile.TemporaryDirectory(prefix="lensmodels-") as scratch:
            folder = Path(scratch)
            copy_files(run, folder)
            announce("writing the card")
            card = model_card(run, folder, without_folders(str(target)), licence=licence)
            (folder / CARD).write_text(card, encoding="utf-8")
            listed = PublishedModel(
                files={file.name: _record(file) for file in sorted(folder.iterdir())}
            )
            (folder / LISTING).write_text(listed.model_dump_json(indent=1) + "\n")
            _bring(folder, listed, target, overwrite)
    except ArchiveError as error:
        raise LensmodelsError(str(error)) from None
    return str(target)


def _record(file: Path) -> FileRecord:
    return FileRecord.of(file.read_bytes())


def _bring(folder: Path, listed: PublishedModel, target: Location, overwrite: bool) -> None:
    """Copies the files of a folder to a place, the listing last, and compares them.

    Raises:
        UsageError: if files of another content are there.
        LensmodelsError: if the place does not keep what is written to it.
    """
    # only a folder can be held: that costs two commits on the hub
    with target.exclusive() if target.is_local else nullcontext():
        held = _held(target)
        missing = [path for path in listed.files if _problem(target, listed, path)]
        if not missing and held == listed:
            return
        in_the_way = [path for path in missing if target.exists(path)]
        if in_the_way and not overwrite:
            what = "another model" if held.files else f"another {in_the_way[0]}"
            raise UsageError(
                f"{target} holds {what}: choose another folder or URL, or add --overwrite to "
                "replace it."
            )
        announce(f"uploading to {target}")
        if target.hub is not None:
            target.commit_to_hub(folder, [*missing, LISTING])
        else:
            _upload(folder, [*missing, LISTING], target, held.files.keys() - listed.files.keys())
        for path in listed.files:
            if problem := _problem(target, listed, path):
                raise LensmodelsError(
                    f"{target} does not keep what is written to it: {path} {problem}."
                )


def _upload(folder: Path, paths: Sequence[str], target: Location, stale: Collection[str]) -> None:
    """Copies files, the last of which is the listing, and removes those of an earlier model."""
    for path in (LISTING, *stale):  # while its files change there is no model
        target.remove(path)
    for path in paths:
        target.upload(folder / path, path)


def _held(target: Location) -> PublishedModel:
    """The listing of the model that is there; one without files if there is none."""
    try:
        return read_listing(target.read(LISTING), str(target))
    except FileNotFoundError:
        return PublishedModel(files={})


def _problem(target: Location, listed: PublishedModel, path: str) -> str | None:
    return published_problem(target, path, listed.files[path])
