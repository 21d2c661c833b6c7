"""Adding WebDataset shards to an archive that has its images in Zarr."""

from __future__ import annotations

import os
from functools import partial

from lenssim.archive.layout import GroupLayout
from lenssim.archive.ownership import clear_scratch
from lenssim.archive.reader import Archive, open_archive
from lenssim.archive.writer import shards_done, write_shard
from lenssim.build.description import describe
from lenssim.build.execution import executor
from lenssim.build.run import work_on_groups
from lenssim.errors import ArchiveError
from lenssim.progress import Phase, Progress, progress_callbacks


def export(
    url: str | os.PathLike[str],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | bool = False,
    phase: Phase | None = None,
) -> Archive:
    """Writes WebDataset shards of every group that has none yet, beside its Zarr group.

    Args:
        url: folder or URL of the archive.
        workers: on this machine; one a core if not given.
        scheduler: address of a dask.distributed scheduler that does the work instead.
        progress: True for a bar on stderr, or a function that is called as images are written.
        phase: called with a short text that says what is being done now.

    Returns:
        The archive, opened.

    Raises:
        ArchiveError: if there is no archive with a complete group, or it cannot be written; a
            later call continues from there.
    """
    archive = open_archive(url)
    with archive.location.exclusive():
        layouts = layouts_to_export(archive)
        clear_scratch(archive.location)
        groups = []
        for layout in layouts:
            done = shards_done(archive.location, layout)
            shards = range(layout.record.shards)
            groups.append((layout, [shard for shard in shards if shard not in done]))
        task = partial(export_shard, archive.location.absolute_url)
        total = sum(layout.record.count for layout in layouts)
        with progress_callbacks(progress, phase, "exporting", total) as (advance, say):
            with executor(
                task,
                workers,
                scheduler,
                location=archive.location,
                doing="exporting",
                phase=say,
                images=total,
            ) as run:
                work_on_groups(archive.location, archive.manifest, groups, run, advance)
            return describe(url, say)


def layouts_to_export(archive: Archive) -> list[GroupLayout]:
    """The groups that have no WebDataset shards yet, cut into shards.

    Raises:
        ArchiveError: if the archive holds no complete group.
    """
    if not archive.manifest.groups:
        raise ArchiveError(f"{archive.location} holds no complete group yet: run generate first.")
    return [
        GroupLayout(group.model_copy(update={"formats": ("webdataset",)}), stage="export")
        for group in archive.manifest.groups
        if "webdataset" not in group.formats
    ]


def export_shard(
    url: str, layout: GroupLayout, shard: int, progress: Progress | None = None
) -> int:
    """The task: copies the samples of one shard from Zarr. Doing it again gives the same bytes.

    Args:
        url: of the archive, absolute.
        layout, shard: the group, and the index of the shard in it.
        progress: called with their number when they are written.

    Returns:
        The number of images written.
    """
    archive, record, samples = open_archive(url), layout.record, layout.record.samples(shard)
    dataset = archive.dataset(record.split, record.substructure_class)
    names = [c.name for c in record.columns if c.is_scalar]
    wanted = dataset[["image", *names]].isel(sample=slice(samples.start, samples.stop))
    rows = archive.load(wanted)
    columns = {name: rows[name].values for name in ["image", *names]}
    write_shard(archive.location, layout, archive.manifest.name, shard, columns)
    if progress is not None:
        progress(len(samples))
    return len(samples)
