"""The data-set card: Markdown with the front matter that the Hugging Face hub reads.

The prose is in templates/; numbers come from the specification, units from the schema, counts from
the manifest and statistics from the images. So a card says nothing that its data set does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from lenssim.archive.audit_record import AUDIT, read_audit
from lenssim.archive.card_rows import (
    picture_size_in_words,
    pictures_in_words,
    varied_rows,
)
from lenssim.archive.column import BASE_COLUMNS, Column
from lenssim.archive.content import SNR_PERCENTILES, first_images, snr_percentiles, table_path
from lenssim.archive.manifest import (
    IMAGES,
    LICENCE,
    NOT_STATED,
    SHARDS,
    GroupRecord,
    Manifest,
)
from lenssim.archive.optional_columns import optional_columns
from lenssim.archive.reader import Archive
from lenssim.archive.schema import COLUMNS, UNKNOWN_UNITS
from lenssim.spec import (
    CLASSES,
    GROUP_CLASSES,
    SPLITS,
    UNLABELLED,
    Instrument,
    Prior,
    Specification,
    label_of,
    load_spec,
    shipped_specs,
)

PICTURE = "preview.png"

STATISTICS_IMAGES = 1024
"""First images of a group that the flux percentiles are taken over."""

_FLUX_PERCENTILES = (1, 50, 99, 99.9)
_HUB_LICENCES = {
    "CC-BY-4.0": "cc-by-4.0",
    "CC0-1.0": "cc0-1.0",
    "MIT": "mit",
    NOT_STATED: "unknown",
}
_HUB_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")


@dataclass(frozen=True)
class _Statistics:
    """One row of the table of statistics, as text."""

    name: str
    flux: list[str]
    snr: list[str]
    refit: list[str]


def archive_card(archive: Archive, *, has_picture: bool = False) -> str:
    """The README.md of an archive.

    Args:
        archive: opened; its images are read for the statistics.
        has_picture: whether preview.png is beside it.

    Returns:
        Markdown; the same for the same archive and version of this software.
    """
    manifest = archive.manifest
    model = manifest.model
    count = sum(group.count for group in manifest.groups)
    facts = {
        "groups": [_group_facts(group) for group in manifest.groups],
        "count": count,
        "data_bytes": sum(file.size for file in manifest.files_of(f"{IMAGES}/").values()),
        "data_folder": data_folder(manifest),
        "has_picture": has_picture,
        "audit": read_audit(archive.location) if AUDIT in manifest.files else None,
        "statistics": [_statistics(archive, group) for group in manifest.groups],
        "fingerprint": data_fingerprint(manifest),
        "spec_sha256": manifest.spec_sha256,
        "seed": manifest.seed,
        "engine": manifest.engine,
        "generator_version": manifest.generator_version,
    }
    context: dict[str, Any] = {
        "archive": facts,
        "configs": _hub_configs(manifest),
        "size_category": _hub_size(count),
        "licence": model.licence,
        "num_pix": model.num_pix,
        "pixel_scale": model.pixel_scale,
        "example_group": manifest.groups[0].name if manifest.groups else "train/cdm",
        "zarr_group": next((g.name for g in manifest.groups if "zarr" in g.formats), None),
        "extra_columns": [name for group in manifest.groups for name in group.extra_columns],
    }
    if manifest.imported is not None:
        context["imported"] = manifest.imported
        classes = {group.substructure_class for group in manifest.groups}
        context["source_folders"] = sorted(manifest.imported.folders or classes)
        if manifest.imported.cutouts is not None:
            return _rendered("cutouts.md.jinja", f"{model.name}, imported", context)
        return _rendered("imported.md.jinja", f"{model.name}, imported", context)
    spec = manifest.specification()
    return _rendered("simulated.md.jinja", title(spec), {**context, **_spec_context(spec)})


def is_card(content: bytes) -> bool:
    """Whether the content of a README.md is a data-set card of ours."""
    return content.startswith(b"---\n") and b"\n    lenssim verify DIR" in content


def model_card(
    spec: Specification,
    default_counts: Mapping[str, int],
    measured: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The card of a model, without any archive's facts.

    Args:
        spec: the model.
        default_counts: images of each class, by split, that are made where nobody says more.
        measured: records of benchmarks/bright_tiers.py, of which those of this specification count.
    """
    context = {
        "archive": None,
        "default_counts": default_counts,
        "measured": [each for each in measured if each["spec_sha256"] == spec.sha256],
        "configs": _hub_configs(None),
        "size_category": _hub_size(len(CLASSES) * sum(default_counts.values())),
        "licence": LICENCE,
        "num_pix": spec.instrument.num_pix,
        "pixel_scale": spec.instrument.pixel_scale,
        "example_group": "train/cdm",
        "zarr_group": "train/cdm",
        "extra_columns": optional_columns(spec),
    }
    return _rendered("simulated.md.jinja", title(spec), {**context, **_spec_context(spec)})


def title(spec: Specification) -> str:
    """Title of a simulated data set."""
    return f"Strong lenses with and without dark-matter substructure: model {spec.name}"


def data_folder(manifest: Manifest) -> str:
    """Folder of the files that the fingerprint is of: Zarr, or shards without Zarr."""
    return IMAGES if manifest.files_of(f"{IMAGES}/") else SHARDS


def data_fingerprint(manifest: Manifest) -> str:
    """SHA-256 of the listing of all data files: the same wherever the data are the same.

    Of images that are not stored, of what they are simulated from.
    """
    files = manifest.files_of(f"{data_folder(manifest)}/")
    if not files:
        made_from = {"spec_sha256", "seed", "groups"}
        return hashlib.sha256(manifest.model_dump_json(include=made_from).encode()).hexdigest()
    listing = "".join(f"{files[path].sha256}  {path}\n" for path in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()


def _rendered(template: str, heading: str, context: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lenssim.archive"),
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "prior": _prior, "megabytes": _megabytes}
    extra = set(context.get("extra_columns", ()))
    columns = [column for column in COLUMNS if column in BASE_COLUMNS or column.name in extra]
    values = {"imported": None, "measured": [], "title": heading, "classes": CLASSES, **context}
    imported = context.get("imported")
    has_unit = imported is None or imported.cutouts is not None
    if imported is not None and imported.cutouts is not None:
        shown = {"image", "label", *extra}
        columns = [replace(c, classes=(UNLABELLED,)) for c in columns if c.name in shown]
        values["classes"] = (UNLABELLED,)
    values["columns"] = [_column_facts(column, has_unit=has_unit) for column in columns]
    known = values["columns"][0]["units"]
    values["flux_units"] = f"{known} per pixel" if has_unit else "the source's own unit"
    values["hub_licence"] = _HUB_LICENCES.get(values["licence"], "other")
    values["statistics_images"] = STATISTICS_IMAGES
    text = environment.get_template(template).render(values)
    return _spaced(text)


def _spaced(text: str) -> str:
    """The text with one empty line where blocks leave several, and one before a heading."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(("## ", "### ", "![")) and lines and lines[-1]:
            lines.append("")
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).rstrip() + "\n"


def _spec_context(spec: Specification) -> dict[str, Any]:
    lens, source = spec.lens, spec.source
    vortex = spec.substructure.axion
    fixed: dict[str, list[Prior]] = {
        "the Einstein mass": [lens.einstein_mass] if lens.einstein_mass else [],
        "a round halo": [lens.e1, lens.e2] if not _varies_or_acts(lens.e1, lens.e2) else [],
        "the halo's ellipticity": [lens.e1, lens.e2] if _varies_or_acts(lens.e1, lens.e2) else [],
        "no shear": [lens.gamma1] if not _varies_or_acts(lens.gamma1, lens.gamma2) else [],
        "the shear": [lens.gamma1] if _varies_or_acts(lens.gamma1, lens.gamma2) else [],
        "the source's magnitude": [source.magnitude],
        "its radius": [source.r_sersic] if source.images is None else [],
        "its Sersic index": [source.n_sersic] if source.images is None else [],
        "its shape and orientation": [source.e1, source.e2]
        if source.e1 and source.e2 and source.images is None
        else [],
    }
    return {
        "spec": spec,
        "shipped": any(load_spec(name).sha256 == spec.sha256 for name in shipped_specs()),
        "published": spec.cosmology.distances == "luminosity_difference",
        "elliptical": _varies_or_acts(lens.e1, lens.e2),
        "sheared": _varies_or_acts(lens.gamma1, lens.gamma2),
        "centred_vortex": not _varies_or_acts(vortex.x, vortex.y),
        "halo_rule": _halo_rule(spec),
        "varied": varied_rows(spec, _prior) if spec.selection is not None else [],
        "psf": _psf(spec.instrument),
        "pictures": pictures_in_words(source.images) if source.images is not None else "",
        "picture_size": picture_size_in_words(source, _prior),
        "fixed": [
            name
            for name, priors in fixed.items()
            if priors and all(prior.kind == "fixed" for prior in priors)
        ],
    }


def _halo_rule(spec: Specification) -> str:
    """What happens to the main halo for the sake of its substructure, to end a sentence."""
    if spec.substructure.ring_neutral:
        return ", the halo made weaker so that the Einstein ring keeps its size"
    return ", taken out of the halo" if spec.substructure.within_einstein_mass else ""


def _psf(instrument: Instrument) -> str:
    """The PSF in words."""
    psf = instrument.psf
    if psf is not None and psf.file is not None:
        shape = f"kernel from a file, oversampled {psf.oversampling} times"
    else:
        assert instrument.psf_width is not None  # it is not a kernel from a file
        beta = f", beta {_number(psf.moffat.beta)}" if psf is not None and psf.moffat else ""
        name = "Moffat" if beta else "Gaussian"
        shape = f"{name}, FWHM {_prior(instrument.psf_width)} arcsec{beta}"
    if instrument.psf_sampling == "pixel":
        return f"{shape}, convolved at pixel resolution"
    return f"{shape}; a pixel is the integral over it of brightness convolved with the PSF"


def _varies_or_acts(*priors: Prior) -> bool:
    """Whether any of them can be something else than zero."""
    return any(prior.support != (0.0, 0.0) for prior in priors)


def _group_facts(group: GroupRecord) -> dict[str, Any]:
    label = label_of(group.substructure_class)
    return {"name": group.name, "label": label, "count": group.count}


def _column_facts(column: Column, *, has_unit: bool) -> dict[str, Any]:
    return {
        "name": column.name,
        "dimensions": column.dimensions,
        "dtype": column.dtype,
        "units": column.units if has_unit or column.name != "image" else UNKNOWN_UNITS,
        "long_name": column.long_name,
        "classes": column.classes,
    }


def _statistics(archive: Archive, group: GroupRecord) -> _Statistics:
    pixels = first_images(archive, group, STATISTICS_IMAGES)
    raw, refit = (
        _shown(snr_percentiles(archive, group, name), digits)
        for name, digits in (("substructure_snr", 0), ("substructure_snr_refit", 1))
    )
    fluxes = [f"{value:.3g}" for value in np.percentile(pixels, _FLUX_PERCENTILES)]
    return _Statistics(group.name, fluxes, raw, refit)


def _shown(percentiles: NDArray[np.float64] | None, digits: int) -> list[str]:
    """Percentiles of an S/N as text, "-" without values."""
    if percentiles is None:
        return ["-"] * len(SNR_PERCENTILES)
    return [f"{value:.{digits}f}" for value in percentiles]


def _hub_configs(manifest: Manifest | None) -> list[dict[str, Any]]:
    """Data files that the hub's own reader loads: the shards or, without them, the tables.

    It reads one format a repository, which it guesses from the first configuration. Tables of two
    classes are two configurations, because their columns differ.
    """
    splits = [
        split for split in SPLITS if manifest is None or manifest.files_of(f"{SHARDS}/{split}/")
    ]
    if manifest is None or splits:
        files = [(split, f"{SHARDS}/{split}/*.tar") for split in splits]
        return [{"name": "images", "files": files}]
    configs = []
    for name in GROUP_CLASSES:
        groups = [group for group in manifest.groups if group.substructure_class == name]
        if groups:
            files = [(group.split, table_path(group)) for group in groups]
            configs.append({"name": f"columns-{name}", "files": files})
    return configs


def _hub_size(count: int) -> str | None:
    """The hub's size category; none for an empty archive."""
    if count == 0:
        return None
    powers = max(len(str(count)) - 3, 0)
    return _HUB_SIZES[min(powers, len(_HUB_SIZES) - 1)]


def _number(value: float) -> str:
    """A number as people write it: 1e12, 0.25, 5400."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.6e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"


def _prior(prior: Prior) -> str:
    """A prior as text."""
    numbers = [_number(value) for value in prior.parameters]
    kind = prior.kind
    if kind == "fixed":
        return numbers[0]
    if prior.base is not None:
        return f"{_prior(prior.base)}, above the lens's by {numbers[0]}"
    if kind in _PRIORS:
        return _PRIORS[kind].format(*numbers)
    if kind in {"lognormal", "rayleigh"}:
        name = "lognormal, median {0}, sigma {1} in ln" if kind == "lognormal" else "Rayleigh({0})"
        inside = f", in [{numbers[-2]}, {numbers[-1]}]" if len(numbers) > 2 else ""
        return name.format(*numbers) + inside
    return f"one of {', '.join(numbers)}"


_PRIORS = {
    "uniform": "uniform in [{0}, {1}]",
    "log_uniform": "uniform in log from {0} to {1}",
    "normal": "normal, {0} +/- {1}",
    "truncated_normal": "normal, {0} +/- {1}, in [{2}, {3}]",
    "rayleigh_flattening": "1 less a Rayleigh({0}) deviate, at least {1}",
    "velocity_function": "velocity function, sigma* {0}, alpha {1}, beta {2}, in [{3}, {4}]",
    "size_magnitude": "log10 of it {0} + {1} (magnitude - {2}), scatter {3} dex, in [{4}, {5}]",
    "poisson": "Poisson with mean {0}",
}


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
