"""Fitting the smooth model to every image of an archive, beside which the fits are kept."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.documents import write_documents
from lenssim.archive.layout import PROGRESS, GroupLayout
from lenssim.archive.manifest import (
    FITS,
    FileRecord,
    GroupRecord,
    Manifest,
    joined_platforms,
    write_manifest,
)
from lenssim.archive.ownership import clear_scratch
from lenssim.archive.reader import Archive, open_archive
from lenssim.archive.writer import (
    create_group,
    finalise_zarr,
    group_attributes,
    read_progress,
    shards_done,
    write_shard,
)
from lenssim.build.cutout_fit import (
    OWN_COLUMNS,
    has_own_pixels,
    instrument_of_cutouts,
    pixels_of,
)
from lenssim.build.execution import executor
from lenssim.errors import ArchiveError, UsageError
from lenssim.progress import Phase, Progress, progress_callbacks
from lenssim.spec import Specification, Split, load_spec
from lenssim.version import VERSION

if TYPE_CHECKING:
    from lenssim.lens_fit.image_fit import FitSettings, ImageFit

FILE_SIZE, CHUNK_SIZE = 256, 128
"""Images in a file and in a chunk of the fits: a file is what a worker fits before it is kept."""


@dataclass(frozen=True)
class _Task:
    """A group to fit, and what is missing of it."""

    layout: GroupLayout
    is_created: bool
    missing: tuple[int, ...]

    @property
    def images(self) -> int:
        """Images to be fitted."""
        return sum(len(self.layout.record.samples(shard)) for shard in self.missing)


def fit(
    url: str | os.PathLike[str],
    *,
    splits: Iterable[Split] | None = None,
    instrument: str | os.PathLike[str] | Specification | None = None,
    settings: FitSettings | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | bool = False,
    phase: Phase | None = None,
) -> Archive:
    """Fits the smooth model to the images of an archive; continues where an earlier call stopped.

    Elliptical power law, shear, multipoles and a Sersic source, and the light of the lens galaxy
    where there is any, are fitted to each image from the image alone, with no column but the width
    of its PSF; of telescope images, with noise, mask, PSF and pixel scale of each. Failed fits are
    kept and flagged.

    Args:
        url: folder or URL of an archive with images in Zarr.
        splits: "train", "test" or both; both if not given.
        instrument: specification whose pixels, PSF and noise the images have; that of the archive
            if not given. Imported images need one, unless they are telescope images that were
            brought to a specification that comes with lenssim.
        settings: those of `FitSettings` if not given.
        workers: on this machine; one a core if not given.
        overwrite: replace fits that were made with other settings.
        progress: True for a bar on stderr, or a function that is called as images are fitted.
        phase: called with a short text that says what is being done now.

    Returns:
        The archive, opened: `Archive.fits` reads the fits.

    Raises:
        UsageError: if the images cannot be fitted, or have fits by other settings.
        ArchiveError: if there is no archive, or it cannot be written; a later call continues from
            there.
    """
    from lenssim.lens_fit.image_fit import FitSettings

    archive = open_archive(url)
    spec = _instrument(archive, instrument)
    settings = (settings or FitSettings()).of(spec, is_telescope=has_own_pixels(archive))
    identity = _identity(spec, settings, has_own_pixels(archive))
    with archive.location.exclusive():
        archive = open_archive(url)
        records = _wanted(archive, splits)
        tasks = [
            task
            for record in records
            if (task := _missing(archive, record, identity, overwrite)) is not None
        ]
        total = sum(task.images for task in tasks)
        with progress_callbacks(progress, phase, "fitting", total) as (advance, say):
            if tasks:
                manifest = _carry_out(
                    archive, tasks, spec, settings, identity, workers, advance, say
                )
                write_documents(replace(archive, manifest=manifest))
        return open_archive(url)


def _instrument(
    archive: Archive, instrument: str | os.PathLike[str] | Specification | None
) -> Specification:
    """The specification whose instrument the images are taken to have."""
    if instrument is None:
        imported = archive.manifest.imported
        if imported is not None and imported.cutouts is not None:
            return instrument_of_cutouts(archive.location.url, imported.cutouts.instrument)
        if imported is not None:
            raise UsageError(
                f"{archive.location} holds imported images, which do not tell their PSF and noise: "
                "give the --instrument, a specification by name or file."
            )
        return archive.spec
    if isinstance(instrument, Specification):
        spec = instrument
    else:
        spec = load_spec(os.fspath(instrument))
    held = archive.manifest.model.num_pix
    if spec.instrument.num_pix != held:
        raise UsageError(
            f"{archive.location} has images of {held} pixels a side, and the instrument of "
            f"{spec.name} {spec.instrument.num_pix}: set instrument.num_pix in a specification."
        )
    return spec


def _wanted(archive: Archive, splits: Iterable[Split] | None) -> list[GroupRecord]:
    wanted = None if splits is None else set(splits)
    records = [
        group for group in archive.manifest.groups if wanted is None or group.split in wanted
    ]
    if not records:
        raise UsageError(f"{archive.location} holds no complete group to fit.")
    for record in records:
        if "zarr" not in record.formats:
            raise UsageError(
                f"{archive.location} holds {record.name} as WebDataset shards only, and fits are "
                "made from Zarr: generate it with --format both."
            )
    return records


def _identity(spec: Specification, settings: FitSettings, is_telescope: bool) -> dict[str, Any]:
    """What fits depend on beside the images."""
    own = {"fit_columns": list(OWN_COLUMNS)} if is_telescope else {}
    held = asdict(settings)
    if not settings.lens_light:
        del held["lens_light"]  # as in fits that are older than the setting
    if not settings.source_order:
        del held["source_order"]
    return own | {
        "names": list(settings.names),
        "fit_settings": held,
        "fit_instrument": spec.name,
        "fit_spec_sha256": spec.sha256,
        "fit_version": VERSION,
    }


def fit_layout(record: GroupRecord) -> GroupLayout:
    """How the fits of a group are cut into files and chunks."""
    size = min(FILE_SIZE, record.count)
    if size > CHUNK_SIZE:
        size = FILE_SIZE  # of whole chunks
    cut = record.model_copy(update={"shard_size": size, "formats": ("zarr",), "extra_columns": ()})
    return GroupLayout(cut, CHUNK_SIZE if size > CHUNK_SIZE else size, stage="fit")


def _missing(
    archive: Archive, record: GroupRecord, identity: dict[str, Any], overwrite: bool
) -> _Task | None:
    """What is left to fit of a group; None if all of it is fitted."""
    location, layout = archive.location, fit_layout(record)
    begun = _read_identity(archive, f"{layout.progress_folder}/settings.json")
    is_complete = archive.manifest.has_fits(record.name)
    held = begun
    if is_complete:
        attributes = archive.fits(record.split, record.substructure_class).attrs
        held = {key: attributes.get(key) for key in identity}
    if held is not None and held != identity:
        if not overwrite:
            different = ", ".join(key for key in identity if held.get(key) != identity[key])
            raise UsageError(
                f"{location} holds fits of {record.name} that differ in {different}: --overwrite "
                "replaces them."
            )
        return _Task(layout, False, tuple(range(layout.record.shards)))
    if is_complete:
        return None
    done = shards_done(location, layout) if begun is not None else set()
    missing = tuple(shard for shard in range(layout.record.shards) if shard not in done)
    return _Task(layout, begun is not None, missing)


def _read_identity(archive: Archive, path: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(archive.location.read(path)))
    except (FileNotFoundError, ValueError):
        return None


def _carry_out(
    archive: Archive,
    tasks: Sequence[_Task],
    spec: Specification,
    settings: FitSettings,
    identity: dict[str, Any],
    workers: int | None,
    progress: Progress | None,
    phase: Phase | None,
) -> Manifest:
    """Fits all that is missing; returns the manifest that lists it, as written."""
    from lenssim.simulation import compile_kernels

    location, manifest = archive.location, archive.manifest
    clear_scratch(location)
    compile_kernels(phase)
    for task in tasks:
        if not task.is_created:
            location.remove(task.layout.progress_folder)
            manifest = _without_fits(manifest, task.layout.record.name)
            write_manifest(location, manifest)
            create_group(location, task.layout, manifest, 0, parameters=len(settings.names))
            location.write(
                f"{task.layout.progress_folder}/settings.json", json.dumps(identity).encode()
            )
    missing = {task.layout.record.name: len(task.missing) for task in tasks}
    work = [(task.layout, shard) for task in tasks for shard in task.missing]

    def finalise(layout: GroupLayout) -> None:
        nonlocal manifest
        manifest = _finalised(archive, layout, manifest, identity)
        write_manifest(location, manifest)
        location.remove(layout.progress_folder)

    def finished(index: int) -> None:
        name = work[index][0].record.name
        missing[name] -= 1
        if missing[name] == 0:
            finalise(work[index][0])

    for task in tasks:
        if not task.missing:
            finalise(task.layout)
    function = partial(fit_shard, location.absolute_url, spec, settings)
    images = sum(task.images for task in tasks)
    with executor(
        function,
        workers,
        None,
        doing="fitting",
        phase=phase,
        images=images,
        location=location,
    ) as run:
        if phase is not None:
            phase("fitting")
        run(work, finished, progress)
    location.remove(f"{PROGRESS}/fit")
    return manifest


def _without_fits(manifest: Manifest, name: str) -> Manifest:
    gone = manifest.files_of(f"{FITS}/{name}/")
    files = {path: file for path, file in manifest.files.items() if path not in gone}
    return manifest.model_copy(update={"files": files})


def _finalised(
    archive: Archive, layout: GroupLayout, manifest: Manifest, identity: dict[str, Any]
) -> Manifest:
    """The manifest with the fits of a group whose files are all done."""
    location, record = archive.location, layout.record
    files: dict[str, FileRecord] = dict(manifest.files)
    platforms: set[str | None] = set()
    for shard in range(record.shards):
        records, platform = read_progress(location, layout.progress_file(shard))
        if not records:
            raise ArchiveError(
                f"{location}/{layout.progress_file(shard)} is damaged: run lenssim fit again."
            )
        files |= records
        platforms.add(platform)
    attributes = {
        **group_attributes(record, manifest),
        "title": f"lenssim {manifest.name}: smooth model fitted to {record.name}",
        **identity,
        "fit_platform": joined_platforms(platforms),
    }
    complete = [group.name for group in manifest.groups if manifest.has_fits(group.name)]
    files |= finalise_zarr(location, layout, attributes, complete)
    return manifest.model_copy(update={"files": dict(sorted(files.items()))})


def fit_shard(
    url: str,
    spec: Specification,
    settings: FitSettings,
    layout: GroupLayout,
    shard: int,
    progress: Progress | None = None,
) -> int:
    """The task: fits the images of one file and writes it. Doing it again gives the same bytes.

    Args:
        url: of the archive, absolute.
        spec: of the instrument.
        settings: of the fits.
        layout, shard: the group, and the index of the file in it.
        progress: called after each image.

    Returns:
        The number of images fitted.
    """
    from lenssim.lens_fit.image_fit import fit_image
    from lenssim.rendering import platform

    archive, record = open_archive(url), layout.record
    samples = record.samples(shard)
    dataset = archive.dataset(record.split, record.substructure_class)
    own = OWN_COLUMNS if has_own_pixels(archive) else ()
    names = [name for name in ("image", "psf_fwhm", *own) if name in dataset]
    rows = archive.load(dataset[names].isel(sample=slice(samples.start, samples.stop)))
    fits: list[ImageFit] = []
    for number in range(len(samples)):
        row = rows.isel(sample=number)
        width = float(row["psf_fwhm"]) if "psf_fwhm" in row else math.nan
        if own:
            instrument, known = pixels_of(row, spec)
            fitted = fit_image(row["image"].values, instrument, settings=settings, **known)
        else:
            fitted = fit_image(row["image"].values, spec, psf_fwhm=width, settings=settings)
        fits.append(fitted)
        if progress is not None:
            progress(1)
    write_shard(archive.location, layout, archive.manifest.name, shard, _columns(fits), platform())
    return len(samples)


def _columns(fits: Sequence[ImageFit]) -> dict[str, NDArray[Any]]:
    """The columns of `FIT_COLUMNS` of some fits."""
    return {
        "residual": np.stack([each.residual for each in fits]),
        "value": np.stack([each.values for each in fits]),
        "error": np.stack([each.errors for each in fits]),
        "reduced_chi_square": np.array([each.reduced_chi_square for each in fits], np.float32),
        "converged": np.array([each.converged for each in fits], np.int8),
        "iterations": np.array([each.iterations for each in fits], np.int32),
    }
