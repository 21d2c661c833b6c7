"""The leak audit: whether anything but dark matter tells the classes of an archive apart."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.audit_record import MAX_P, AuditedFeature, AuditRecord
from lenssim.archive.reader import Archive, open_archive
from lenssim.audit.features import Features, class_counts, read_features
from lenssim.audit.image_statistics import NAMES
from lenssim.audit.scores import check_installed, class_auc, cross_validated_auc
from lenssim.build.execution import thread_count
from lenssim.errors import UsageError
from lenssim.multiple_testing import holm
from lenssim.progress import Phase, Progress
from lenssim.simulation import compile_kernels

FloatArray = NDArray[np.float64]

LIMIT = 3.0
"""Standard errors that the macro AUC may be from 0.5."""

IMAGES_PER_CLASS = 10_000

MIN_IMAGES = 100
"""Of each class, below which an audit says nothing."""


def audit(
    url: str | os.PathLike[str],
    *,
    images_per_class: int = IMAGES_PER_CLASS,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    phase: Phase | None = None,
) -> AuditRecord:
    """Trains a classifier on what must not tell the class, and says how well it does.

    Args:
        url: folder or URL of an archive with images in Zarr.
        images_per_class: that are looked at, at most.
        seed: of the folds and of the measurement errors.
        workers: threads that render; as many as there are cores if not given.
        progress: called as images are rendered.
        phase: called with a short text that says what is being done now.

    Returns:
        The result; nothing is written, see `record_audit`.

    Raises:
        ArchiveError: if there is no archive, or it is damaged.
        UsageError: if scikit-learn is not installed, or the archive holds fewer than two
            classes, or too few images of one.
    """
    check_installed()
    threads = thread_count(workers)
    archive = open_archive(url)
    check_counts(archive, images_per_class)
    if archive.manifest.imported is None:
        compile_kernels(phase)
    say = phase or (lambda text: None)
    say("rendering the images without noise and substructure")
    features = read_features(
        archive, images_per_class, workers=threads, seed=seed, progress=progress
    )
    say("training on what must not tell the class")
    return result(features, seed)


def check_counts(archive: Archive, images_per_class: int) -> dict[str, int]:
    """Images of each class that will be looked at.

    Raises:
        UsageError: if they are too few.
    """
    counts = class_counts(archive, images_per_class)
    if len(counts) < 2:
        held = next(iter(counts), "no complete class")
        raise UsageError(f"{archive.location} holds {held}: an audit compares classes.")
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < MIN_IMAGES:
        raise UsageError(
            f"{archive.location}: {fewest} images of class {name} are too few to audit; it takes "
            f"{MIN_IMAGES} of each class, and {IMAGES_PER_CLASS:,} to find small leaks."
        )
    return counts


def result(features: Features, seed: int = 0) -> AuditRecord:
    """The audit of features: of all together, and of each alone.

    Args:
        features: of an archive.
        seed: of the folds and of the measurement errors.
    """
    measured = with_errors(features, seed)
    is_simulated = len(features.ring_excess) > 0
    together = cross_validated_auc(
        features.labels, np.concatenate([measured, features.image_values], axis=1), seed
    )
    with_substructure = None
    if is_simulated:
        others = features.image_values[:, len(NAMES) :]
        raw = np.concatenate([measured, features.raw_values, others], axis=1)
        with_substructure = cross_validated_auc(features.labels, raw, seed).value
    singles = single_features(features, measured)
    passed = abs(together.deviation) <= LIMIT and not any(
        single.p_value < MAX_P for single in singles
    )
    excess = np.abs(features.ring_excess)
    counts = np.bincount(features.labels)
    return AuditRecord(
        auc=together.value,
        standard_error=together.error,
        limit=LIMIT,
        passed=passed,
        images={name: int(n) for name, n in zip(features.classes, counts, strict=True)},
        seed=seed,
        features=singles,
        ring_excess={
            name: float(excess[features.labels == label].max())
            for label, name in enumerate(features.classes)
            if is_simulated
        },
        with_substructure=with_substructure,
        not_rendered=not is_simulated,
    )


def with_errors(features: Features, seed: int) -> FloatArray:
    """Columns as an observer would measure them, shape (n, columns)."""
    errors = np.array([features.errors.get(name, 0.0) for name in features.columns])
    deviates = np.random.default_rng(seed).standard_normal(features.values.shape)
    return features.values + errors * deviates


def single_features(features: Features, measured: FloatArray) -> list[AuditedFeature]:
    """How well each feature alone tells a class, by its value or by its spread.

    Args:
        features: of an archive.
        measured: its columns with their measurement errors, shape (n, columns).

    Returns:
        The clearest test of each feature, in their order.
    """
    names = [*features.columns, *features.statistics]
    values = np.concatenate([measured, features.image_values], axis=1)
    tests = [
        (column, by, name, class_auc(features.labels, label, scores))
        for column in range(len(names))
        for by, scores in _orders(values[:, column]).items()
        for label, name in enumerate(features.classes)
    ]
    corrected = holm([auc.p_value for *_, auc in tests])
    best: dict[int, AuditedFeature] = {}
    largest: dict[int, float] = {}
    for (column, by, name, auc), p_value in zip(tests, corrected, strict=True):
        if abs(auc.deviation) > largest.get(column, -1.0):
            largest[column] = abs(auc.deviation)
            best[column] = AuditedFeature(
                name=names[column],
                origin="column" if column < len(features.columns) else "image",
                measurement_error=features.errors.get(names[column]),
                tells=name,
                by=by,
                auc=auc.value,
                standard_error=auc.error,
                p_value=float(p_value),
            )
    return [best[column] for column in sorted(best)]


def _orders(values: FloatArray) -> dict[Literal["value", "spread"], FloatArray]:
    """What images are ordered by: a feature, and its distance from the median."""
    return {"value": values, "spread": np.abs(values - np.median(values))}
