"""What an audit looks at: for each image, the columns and the statistics that must not tell.

To audit one more column: store it under a name that begins with lens_ or source_, or add it to
`_OTHER_COLUMNS`; give it a step in `measurement_errors` if images depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.archive.manifest import GroupRecord
from lenssim.archive.reader import Archive
from lenssim.audit.image_statistics import (
    NAMES,
    NOISE_NAMES,
    image_statistics,
    noise_statistics,
)
from lenssim.audit.measurement_errors import FISHER_IMAGES, RING_RADIUS, measurement_errors
from lenssim.errors import ArchiveError
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import GroupStreams, LensSystem
from lenssim.population.ring import measured_ring_radius
from lenssim.progress import Progress
from lenssim.simulation import draw_system, render, smooth_system
from lenssim.spec import CLASSES, Specification, label_of

FloatArray = NDArray[np.float64]
Columns = Mapping[str, NDArray[np.generic]]

BLOCK = 64
"""Images that a thread renders together."""

_OTHER_COLUMNS = ("psf_fwhm", "tries")
_HALO_COLUMNS = ("lens_theta_e",)
"""Columns of the halo without its substructure, which differ by class so that the ring does not."""

_SYSTEM_FIELDS = {field.name for field in fields(LensSystem)} - {"substructure_class"}


@dataclass(frozen=True)
class Features:
    """Features of n images.

    Attributes:
        labels: class of each image, its place in `classes`, shape (n,).
        classes: those that the archive holds.
        columns: names of the audited columns; the ring radius is one.
        values: of the columns, shape (n, columns).
        statistics: names of the statistics of images.
        image_values: statistics of the smooth lens with the noise of the image, or, of imported
            images, of the image; shape (n, statistics).
        raw_values: statistics of the image itself, shape (n, 4).
        errors: measurement error of each column that has one.
        ring_excess: relative difference of each ring radius from that of the smooth lens, (n,).
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray
    statistics: tuple[str, ...]
    image_values: FloatArray
    raw_values: FloatArray
    errors: dict[str, float]
    ring_excess: FloatArray


@dataclass(frozen=True)
class _Block:
    """Images of one group, with their columns and sample indices."""

    record: GroupRecord
    indices: range
    columns: Columns


@dataclass(frozen=True)
class _Measured:
    """Features of the images of a block."""

    label: int
    values: dict[str, NDArray[np.float64]]
    image_values: FloatArray
    raw_values: FloatArray
    ring_excess: FloatArray
    first_systems: Sequence[LensSystem]


def read_features(
    archive: Archive,
    images_per_class: int,
    *,
    workers: int,
    seed: int,
    progress: Progress | None = None,
) -> Features:
    """Reads images and columns, and renders each image without its noise and its substructure.

    Args:
        archive: opened; its groups must be in Zarr.
        images_per_class: first ones of each class, of the train split before the test split.
        workers: threads.
        seed: of the noise that is added to the images of a specification without noise.
        progress: called as images are rendered.

    Returns:
        Columns, statistics and labels, one row an image.
    """
    imported = archive.manifest.imported is not None
    measure = partial(_measured_import) if imported else partial(_measured, archive, seed)
    parts: list[_Measured] = []
    with ThreadPoolExecutor(workers) as pool:
        for part in pool.map(measure, _blocks(archive, images_per_class)):
            parts.append(part)
            if progress is not None:
                progress(len(part.raw_values))
    return _joined(parts, None if imported else archive.spec)


def class_counts(archive: Archive, images_per_class: int) -> dict[str, int]:
    """Images of each class that an audit looks at."""
    held = {
        name: sum(g.count for g in archive.manifest.groups if g.substructure_class == name)
        for name in CLASSES
    }
    return {name: min(count, images_per_class) for name, count in held.items() if count}


def audited_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Those of an archive's columns that describe the smooth lens, the source or its observation.

    Args:
        names: of the columns that hold one number an image.

    Returns:
        Names of columns, in the order of the archive.
    """
    return tuple(
        name
        for name in names
        if name.startswith(("lens_", "source_")) or name in _OTHER_COLUMNS
        if name not in _HALO_COLUMNS
    )


def systems_of(
    archive: Archive, record: GroupRecord, indices: range, columns: Columns
) -> list[LensSystem]:
    """Lens systems as the columns of an archive have them.

    What is in no column, because no image of the specification varies it, is drawn anew.

    Args:
        archive, record, indices: where the images are.
        columns: of these images; those of subhalos have shape (n, k), NaN-padded.

    Returns:
        One system for each row.
    """
    spec, manifest = archive.spec, archive.manifest
    streams = GroupStreams(manifest.seed, spec.name, record.split, record.substructure_class)
    systems = []
    for row, index in enumerate(indices):
        stream = streams.at(index, "population")
        drawn = draw_system(spec, record.substructure_class, stream, record.split)
        stored: dict[str, Any] = {
            name: _value(values[row]) for name, values in columns.items() if name in _SYSTEM_FIELDS
        }
        stored["smooth_theta_e"] = _smooth_radius(columns, row, spec)
        systems.append(replace(drawn, **stored))
    return systems


def _value(stored: NDArray[np.generic]) -> float | int | FloatArray:
    if stored.ndim == 0:
        return int(stored) if stored.dtype.kind == "i" else float(stored)
    values = np.asarray(stored, dtype=np.float64)
    return values[~np.isnan(values)]


def _smooth_radius(columns: Columns, row: int, spec: Specification) -> float:
    """Einstein radius of the lens with all of its mass in the halo.

    An archive without a column for it has isothermal halos, whose theta_E goes as the square root
    of their mass.
    """
    if RING_RADIUS in columns:
        return float(columns[RING_RADIUS][row])
    halo = float(columns["lens_theta_e"][row])
    if not spec.substructure.within_einstein_mass:
        return halo
    halo_mass = float(columns["einstein_mass"][row])
    return halo * float(np.sqrt(1.0 + float(columns["substructure_mass"][row]) / halo_mass))


def _blocks(archive: Archive, images_per_class: int) -> Iterator[_Block]:
    for name in class_counts(archive, images_per_class):
        wanted = images_per_class
        for record in archive.manifest.groups:
            if record.substructure_class != name or wanted == 0:
                continue
            dataset = archive.dataset(record.split, record.substructure_class)
            count = min(record.count, wanted)
            wanted -= count
            for start in range(0, count, BLOCK):
                indices = range(start, min(start + BLOCK, count))
                block = archive.load(dataset.isel(sample=slice(indices.start, indices.stop)))
                columns = {str(key): block[key].values for key in block.data_vars}
                yield _Block(record, indices, columns)


def _measured_import(block: _Block) -> _Measured:
    images = np.asarray(block.columns["image"], dtype=np.float64)
    statistics = image_statistics(images)
    label = label_of(block.record.substructure_class)
    return _Measured(label, {}, statistics, statistics, np.empty(0), ())


def _measured(archive: Archive, seed: int, block: _Block) -> _Measured:
    spec, record = archive.spec, block.record
    systems = systems_of(archive, record, block.indices, block.columns)
    noise = pixel_noise(spec.instrument)
    images = np.asarray(block.columns["image"], dtype=np.float64)
    clean = render(systems, spec)
    smooth = render([smooth_system(system) for system in systems], spec)
    sigma = noise_sigma(clean, noise)
    deviation = images - clean
    if not np.isfinite(deviation).all():
        raise ArchiveError(
            f"{archive.location} holds pixels of {record.name} that are no numbers: run lenssim "
            "verify."
        )
    deviates = deviation / sigma
    if spec.observation.noise:
        others = noise_statistics(deviates)
    else:
        label = label_of(record.substructure_class)
        generator = np.random.default_rng([seed, label, block.indices.start])
        deviates += generator.standard_normal(images.shape)
        others = np.empty((len(images), 0))
    # the photon noise of the substructure's own light is signal: that of the smooth lens instead
    surplus = deviates * noise_sigma(smooth, noise)
    point_masses = spec.substructure.axion.point_masses
    radii = np.array([measured_ring_radius(system, point_masses) for system in systems])
    excess = radii / np.array([system.smooth_theta_e for system in systems]) - 1.0
    names = audited_columns([key for key, values in block.columns.items() if values.ndim == 1])
    values = {name: np.asarray(block.columns[name], dtype=np.float64) for name in names}
    statistics = image_statistics(smooth + surplus, surplus)
    return _Measured(
        label_of(record.substructure_class),
        {RING_RADIUS: radii, **values},
        np.concatenate([statistics, others], axis=1),
        image_statistics(images),
        excess,
        systems[:FISHER_IMAGES] if block.indices.start == 0 else (),
    )


def _joined(parts: Sequence[_Measured], spec: Specification | None) -> Features:
    classes = sorted({part.label for part in parts})
    labels = np.concatenate(
        [np.full(len(part.raw_values), classes.index(part.label)) for part in parts]
    )
    columns = {
        name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values
    }
    spreads = {name: float(np.std(values)) for name, values in columns.items()}
    varying = tuple(
        name
        for name, values in columns.items()
        if np.isfinite(values).all() and (name == RING_RADIUS or np.ptp(values) > 0)
    )
    errors: dict[str, float] = {}
    if spec is not None:
        systems = [system for part in parts for system in part.first_systems]
        chosen = systems[:: max(len(systems) // FISHER_IMAGES, 1)][:FISHER_IMAGES]
        errors = measurement_errors(chosen, spec, spreads)
    image_values = np.concatenate([part.image_values for part in parts])
    return Features(
        labels=labels,
        classes=tuple(CLASSES[label] for label in classes),
        columns=varying,
        values=np.stack([columns[name] for name in varying], axis=1)
        if varying
        else np.empty((len(labels), 0)),
        statistics=(*NAMES, *NOISE_NAMES)[: image_values.shape[1]],
        image_values=image_values,
        raw_values=np.concatenate([part.raw_values for part in parts]),
        errors=errors,
        ring_excess=np.concatenate([part.ring_excess for part in parts]),
    )
