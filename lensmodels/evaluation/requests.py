"""What `evaluate`, `predict` and `embed` are asked for, checked before torch is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lensmodels.data.archives import check_image_size, how_to_add, read_archive
from lensmodels.errors import DataError, UsageError
from lensmodels.evaluation.outputs import (
    EMBEDDING_SUFFIXES,
    PREDICTION_SUFFIXES,
    check_parquet,
    is_embedding,
    is_prediction,
)
from lensmodels.image_files.inputs import (
    Input,
    InputKind,
    check_is_archive,
    classify_input,
    is_url,
)
from lensmodels.runs import CONFIG, RunConfig, require_encoder, require_model
from lensmodels.runs.folder import DESCRIBED, EVALUATIONS
from lensmodels.tasks.settings import check_needs
from lenssim.storage.output_paths import check_output, check_output_folder

if TYPE_CHECKING:
    from lenssim.archive import Archive
    from lenssim.cutouts.settings import CutoutSettings
    from lenssim.spec import Specification


def check_test(
    run: Path, data: str | None, out: Path | None = None, *, shifted: bool = False
) -> tuple[RunConfig, Archive]:
    """Refuse a test that cannot be made.

    Args:
        run: folder of a run that was trained.
        data: folder or URL of another archive than the one it was trained on.
        out: folder to write in place of the run.
        shifted: whether shifted images are tested, too.

    Returns:
        Settings of the run, and the archive to test on.

    Raises:
        UsageError: if there is no trained model, `data` is an image file, or `out` is another run
            or holds files of another origin.
        DataError: if the archive cannot be read, has no test images of the task or images of
            another size, or does not state what the predictions are compared with.
    """
    config = require_model(run)
    if data is not None:
        check_is_archive(data)
    if shifted:
        check_shifts(run, data)
    if out is not None and out.resolve() != run.resolve():
        _check_test_folder(out)
    archive = read_archive(data or config.data.test_url)
    check_needs(config.task, archive, ("test",))
    if not any(archive.manifest.group(f"test/{name}") for name in config.task.classes):
        raise DataError(
            f"{archive.location} has no test images of class {' or '.join(config.task.classes)}; "
            f"{how_to_add(archive.manifest, 'test')}, or choose another archive."
        )
    _check_images(archive, config)
    return config, archive


def check_shifts(run: Path, data: str | None = None) -> tuple[RunConfig, Specification]:
    """Refuse shift tests that cannot be made.

    Args:
        run: folder of a run that was trained.
        data: folder or URL of another archive than the one it was trained on.

    Returns:
        Settings of the run, and the specification that the shifts depart from: that of `data`, or
        of the training archive.

    Raises:
        UsageError: if there is no trained model, or it sees residuals.
        DataError: if the archive cannot be read, or has no specification.
    """
    config = require_model(run)
    if config.data.input != "image":
        raise UsageError(
            f"{run} learned from residuals, and shifted images have no fits: --shifts is for runs "
            "that learned from --input image."
        )
    url = data or config.data.url
    archive = read_archive(url)
    if archive.manifest.imported is not None:
        raise DataError(
            f"{url} was imported and has no specification to shift: --shifts is for runs that were "
            "trained on simulated images."
        )
    return config, archive.manifest.specification()


def evaluation_folder(run: Path, data: str | None = None, out: Path | None = None) -> Path:
    """Where a test is written: `out`, or the run, or RUN/evaluations/NAME for another archive.

    NAME is the model of the archive with the first digits of its data's fingerprint.

    Args:
        run: folder of the run.
        data: folder or URL of the archive, if it is not the one that the run names.
        out: folder that was asked for.

    Raises:
        UsageError: if there is no trained model, or `data` is an image file.
        DataError: if the archive cannot be read.
    """
    if out is not None:
        return Path(out)
    own = require_model(run).data.test_url
    if data is None or _place(data) == _place(own):
        return Path(run)
    from lenssim.archive.card import data_fingerprint

    check_is_archive(data)
    manifest = read_archive(data).manifest
    fingerprint = data_fingerprint(manifest)
    try:
        if fingerprint == data_fingerprint(read_archive(own).manifest):
            return Path(run)
    except DataError:  # it is no longer where the run was trained
        pass
    return Path(run) / EVALUATIONS / f"{manifest.name}-{fingerprint[:8]}"


def _place(url: str) -> str:
    return url.rstrip("/") if is_url(url) else str(Path(url).resolve())


def check_prediction(
    run: Path,
    inputs: Sequence[str | os.PathLike[str]],
    out: Path,
    *,
    settings: CutoutSettings | None = None,
    overwrite: bool = False,
) -> tuple[RunConfig, list[Input]]:
    """Refuse a prediction that cannot be made.

    Args:
        run: folder of a run that was trained.
        inputs: paths or URLs of images or archives.
        out: .csv or .parquet to write.
        settings: how images are found in files.
        overwrite: whether an earlier output of `predict` may be replaced.

    Returns:
        Settings of the run, and what each input is.

    Raises:
        UsageError: if there is no trained model or no input, an input has a format that is not
            read, or `out` has another suffix or holds something else.
        DataError: if a local input does not exist, or an archive among them cannot be read or has
            images of another size.
    """
    config = require_model(run)
    if not inputs:
        raise UsageError("Name at least one file or archive to predict.")
    check_parquet(check_output(out, PREDICTION_SUFFIXES, is_prediction, overwrite))
    sources = [classify_input(given) for given in inputs]
    if config.data.input != "image" and any(
        source.kind is not InputKind.ARCHIVE for source in sources
    ):
        raise UsageError(
            f"{run} learned from residuals, which only an archive has: import the images into one, "
            "and fit them with `lenssim fit`."
        )
    named = "--hdu" if settings and settings.hdu is not None else "--band"
    is_named = settings is not None and (settings.hdu or settings.band) is not None
    if is_named and all(source.kind is not InputKind.FITS for source in sources):
        raise UsageError(
            f"{named} chooses an extension of FITS files, and none is among the inputs."
        )
    for source in sources:
        if source.kind is InputKind.ARCHIVE:
            _check_any_images(read_archive(source.name), config)
    return config, sources


def check_embedding(run: Path, data: str, out: Path, *, overwrite: bool = False) -> RunConfig:
    """Refuse an embedding that cannot be made.

    Args:
        run: folder of a run with an encoder.
        data: folder or URL of an archive.
        out: .parquet or .zarr to write.
        overwrite: whether an earlier output of `embed` may be replaced.

    Returns:
        Settings of the run.

    Raises:
        UsageError: if there is no trained encoder, `out` has another suffix or holds something
            else, or `data` is an image file.
        DataError: if the archive cannot be read, is empty or has images of another size.
    """
    config = require_encoder(run)
    check_parquet(check_output(out, EMBEDDING_SUFFIXES, is_embedding, overwrite))
    check_is_archive(data)
    _check_any_images(read_archive(data), config)
    return config


def _check_any_images(archive: Archive, config: RunConfig) -> None:
    """Refuse an archive without images, or with images of another size than a run takes."""
    if not any(group.count for group in archive.manifest.groups):
        raise DataError(
            f"{archive.location} holds no complete group yet: run `lenssim generate` first."
        )
    _check_images(archive, config)


def _check_images(archive: Archive, config: RunConfig) -> None:
    if config.measured is not None:
        check_image_size(str(archive.location), archive.manifest, config.measured.num_pix)


def _check_test_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier test: its files would be replaced."""
    check_output_folder(folder)
    if not folder.is_dir() or (folder / DESCRIBED).exists() or not any(folder.iterdir()):
        return
    if (folder / CONFIG).exists():
        raise UsageError(f"{folder} is a run of its own; choose another folder for --out.")
    raise UsageError(
        f"{folder} holds other files than an earlier test of a run; choose another folder for "
        "--out."
    )
