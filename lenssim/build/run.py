"""Carrying out a plan: one idempotent task a shard, on this machine or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from lenssim.archive.documents import without_documents
from lenssim.archive.layout import PROGRESS, GroupLayout
from lenssim.archive.manifest import Manifest, write_manifest
from lenssim.archive.ownership import clear_scratch
from lenssim.archive.writer import create_group, finalise_group
from lenssim.build.execution import Run, executor
from lenssim.build.plan import Plan
from lenssim.build.shard import make_shard
from lenssim.progress import Phase, Progress
from lenssim.storage.location import Location


def carry_out(
    work: Plan,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    phase: Phase | None = None,
) -> None:
    """Makes everything that a plan says is missing; each group is complete when its last shard is.

    Nothing is changed before there is something to work with. Arguments and errors are those of
    `lenssim.generate`.
    """
    task = partial(make_shard, work.location.absolute_url, work.spec, work.manifest)
    unfinished = [group for group in work.groups if not group.is_complete]
    with executor(
        task,
        workers,
        scheduler,
        location=work.location,
        doing="simulating",
        phase=phase,
        images=work.missing_images,
    ) as run:
        if work.missing_images:
            _announce(work, is_local=scheduler is None, phase=phase)
        _replace_manifest(work)
        for group in unfinished:
            if not group.is_created:
                bound = work.spec.subhalo_bound
                create_group(work.location, group.layout, work.manifest, bound)
        work_on_groups(
            work.location,
            work.manifest,
            [(group.layout, group.missing_shards) for group in unfinished],
            run,
            progress,
        )


def _announce(work: Plan, *, is_local: bool, phase: Phase | None) -> None:
    """Compiles kernels, where that is for this process to do, and says what comes next."""
    needs_kernels = work.manifest.engine == "fast"
    if needs_kernels and is_local:
        from lenssim.simulation import compile_kernels

        compile_kernels(phase)
    if phase is not None:
        is_remote = needs_kernels and not is_local
        phase("simulating (each worker compiles first)" if is_remote else "simulating")


def _replace_manifest(work: Plan) -> None:
    """Writes a plan's manifest, and removes what does not stay, and what killed runs left.

    What says which shards are done goes first, so that none is taken for one of the new manifest.
    """
    for path in work.discarded:
        if path.startswith(PROGRESS):
            work.location.remove(path)
    write_manifest(work.location, work.manifest)
    for path in work.discarded:
        work.location.remove(path)
    clear_scratch(work.location)


def work_on_groups(
    location: Location,
    manifest: Manifest,
    groups: Sequence[tuple[GroupLayout, Sequence[int]]],
    run: Run,
    progress: Progress | None,
) -> Manifest:
    """Runs a task for every shard that is missing, and finalises each group after its last one.

    Args:
        location: of the archive.
        manifest: as it is before.
        groups: layouts, each with its missing shards; those with none are only finalised.
        run: of an `executor`, whose task takes a layout and a shard, and writes that shard.
        progress: called as images are made.

    Returns:
        The manifest with the groups, as written.
    """
    layouts = [layout for layout, shards in groups for _ in shards]
    tasks = [(layout, shard) for layout, shards in groups for shard in shards]
    missing = {layout.record.name: len(shards) for layout, shards in groups}

    def finalise(layout: GroupLayout) -> None:
        nonlocal manifest
        # what the documents say of the archive is no longer true
        manifest = finalise_group(location, layout, without_documents(manifest))
        write_manifest(location, manifest)
        location.remove(layout.progress_folder)

    def finished(index: int) -> None:
        layout = layouts[index]
        missing[layout.record.name] -= 1
        if missing[layout.record.name] == 0:
            finalise(layout)

    for layout, shards in groups:  # cut short between a last shard and its entry in the manifest
        if not shards:
            finalise(layout)
    run(tasks, finished, progress)
    location.remove(PROGRESS)
    return manifest
