"""Generating a data set in one call: simulated, archived and described."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lenssim.archive.reader import Archive
from lenssim.archive.schema import Format
from lenssim.build.description import describe
from lenssim.build.plan import DEFAULT_COUNTS, planned
from lenssim.build.run import carry_out
from lenssim.progress import Phase, Progress, progress_callbacks
from lenssim.spec import CLASSES, Specification, SubstructureClass, load_spec

if TYPE_CHECKING:
    from lenssim.rendering import EngineName


def generate(
    model: str | os.PathLike[str] | Specification,
    classes: Iterable[SubstructureClass] = CLASSES,
    *,
    train: int = DEFAULT_COUNTS["train"],
    test: int = DEFAULT_COUNTS["test"],
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    formats: Sequence[Format] = ("zarr",),
    engine: EngineName = "fast",
    overrides: Iterable[str] = (),
    overwrite: bool = False,
    chunk_size: int | None = None,
    shard_size: int | None = None,
    progress: Progress | bool = False,
    phase: Phase | None = None,
    note: Callable[[str], None] | None = None,
) -> Archive:
    """Simulates a data set and archives it; continues where an earlier call was cut short.

    Args:
        model: name of a shipped specification, path of a YAML file, or a specification.
        classes: substructure classes to make.
        train, test: images of each class in the two splits; 0 leaves a split out.
        out: folder or URL of the archive; archives/NAME if not given.
        seed: with the specification, decides every bit of every image.
        workers: on this machine; one a core if not given.
        scheduler: address of a dask.distributed scheduler that does the work instead.
        formats: what the images are stored as: "zarr", "webdataset", or both.
        engine: "fast" or "lenstronomy".
        overrides: KEY=VALUE strings for `load_spec`, where `model` is not a specification.
        overwrite: replace what is there: the groups asked for, or the whole archive where its
            specification, seed or engine differs.
        chunk_size, shard_size: images in a chunk and in a file; they do not change the data. By
            default 256 and 2,048, or fewer for a group of fewer images than a file holds.
        progress: True for a bar on stderr, or a function that is called as images are made.
        phase: called with a short text that says what is being done now.
        note: called with a sentence for each group that is complete already.

    Returns:
        The archive, opened.

    Raises:
        UsageError: if the request is wrong, or does not fit the archive that is there.
        ArchiveError: if the archive cannot be written, or another run is writing into it; a
            later call continues from there.
    """
    spec = model if isinstance(model, Specification) else load_spec(os.fspath(model), overrides)
    if spec.source.images is not None:
        from lenssim.pictures import with_checksum  # imports scipy

        spec = with_checksum(spec)
    with planned(
        spec,
        classes,
        train=train,
        test=test,
        out=out,
        seed=seed,
        formats=formats,
        engine=engine,
        overwrite=overwrite,
        chunk_size=chunk_size,
        shard_size=shard_size,
    ) as work:
        for record in (group.layout.record for group in work.groups if group.is_complete):
            if note is not None:
                note(f"{record.name}: {record.count} images, complete already.")
        total = work.missing_images
        with progress_callbacks(progress, phase, "simulating", total) as (advance, say):
            carry_out(work, workers=workers, scheduler=scheduler, progress=advance, phase=say)
            return describe(work.location.url, say)
