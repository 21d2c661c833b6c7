"""Classifies images by physics alone: evidence ratios around the fitted lens, beside a network's.

    lensmodels evaluate RUN --data DIR --average-symmetries --out EVALUATION
    python experiments/evidence_of_fits.py --data DIR --predictions EVALUATION/predictions.csv
    python experiments/evidence_of_fits.py --report    # experiments/results/evidence_of_fits.md

DIR is an archive, of a model that draws redshifts and widths of the PSF, that `lenssim fit` has
fitted with multipoles. The classifier needs no labelled images. Of each test image it knows what is
observed: the residual, the lens and source at the best fit, the width of the PSF and the two
redshifts. Around that lens it draws substructure of each class by the priors of the specification,
and compares the residual with these templates as evidence_ratio.py does; there the true lens is
known, here it is not. EVALUATION is of a network tested on the same archive.
An image in the table is skipped.

Columns of experiments/results/evidence_of_fits.parquet, one row an image:
    name                    model, class and index of the test image
    model, class            of the image
    snr, axion_mass         refit S/N of its substructure, NaN without; eV, NaN if not a vortex
    reduced_chi_square      of the fit
    axion, cdm              log evidence ratios to no substructure, of the largest number of
                            templates
    p_axion, p_cdm, p_no_sub    posterior of the network
    record                  JSON: log evidence ratios by number of templates, the environment
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidence_ratio import (
    CLASSES,
    LIMITS,
    SIGNALS,
    SmoothImage,
    by_templates,
    draw_signals,
)
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from lensmodels.evaluation.summary import RESOLVED
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.statistics.auc import binary_auc
from lensmodels.statistics.bootstrap import intervals, paired_interval, weighted_macro_auc
from lenssim import Archive, open_archive
from lenssim.cosmology import einstein_mass, lensing_geometry
from lenssim.lens_fit.parameters import PARAMETER_NAMES
from lenssim.lens_fit.vector import to_system, vector_of
from lenssim.population.lens_and_source import SmoothLens
from lenssim.spec import Specification, SubstructureClass

TABLE = Path(__file__).with_name("results") / "evidence_of_fits.parquet"
FITTED = (
    *(name for name in PARAMETER_NAMES if name != "lens_theta_e"),
    *(f"lens_m{order}_{part}" for order in (3, 4) for part in ("amplitude", "angle")),
    "psf_fwhm",
)
"""Fields of `LensSystem` that substructure leaves as they are."""

KNOWN = ("lens_redshift", "source_redshift", "psf_fwhm")
"""Columns of what is observed of a lens beside its image: the redshifts by spectroscopy."""

COUNTS = (50, 100, 200)
"""Templates of each class."""

FloatArray = NDArray[np.float64]


def fitted_lens(values: FloatArray, row: Mapping[str, float], spec: Specification) -> SmoothLens:
    """Lens and source at the best fit, to draw substructure for.

    Args:
        values: fitted parameters in the order of `lens_fit.parameters.ALL_NAMES`, (19,).
        row: the columns `KNOWN` of the image.
        spec: of the image.
    """
    system = to_system(vector_of(values), row["psf_fwhm"])
    geometry = lensing_geometry(spec, row["lens_redshift"], row["source_redshift"])
    mass = float(einstein_mass(system.lens_theta_e / geometry.deflection_scale, geometry))
    fields = {name: getattr(system, name) for name in FITTED}
    fields |= {name: row[name] for name in ("lens_redshift", "source_redshift")}
    return SmoothLens(fields, geometry, mass, system.lens_theta_e)


@dataclass(frozen=True)
class Observed:
    """What the classifier is given of an image.

    Attributes:
        seed: of its templates.
        residual: (image - fit) / sigma, (pixel,).
        values: fitted parameters, (19,).
        row: the columns `KNOWN`.
    """

    seed: Sequence[int]
    residual: FloatArray
    values: FloatArray
    row: Mapping[str, float]


def observed(
    archive: Archive, name: SubstructureClass, wanted: NDArray[np.integer]
) -> list[Observed]:
    """The test images `wanted` of a class, as the classifier sees them."""
    images = archive.dataset("test", name)[list(KNOWN)].isel(sample=wanted).load()
    fits = archive.fits("test", name)[["residual", "value"]].isel(sample=wanted).load()
    return [
        Observed(
            # another stream than that of the image's own substructure
            (99, CLASSES.index(name), index),
            fits["residual"].values[place].astype(float).ravel(),
            fits["value"].values[place].astype(float),
            {column: float(images[column].values[place]) for column in KNOWN},
        )
        for place, index in enumerate(wanted.tolist())
    ]


def log_evidences(
    image: Observed,
    *,
    spec: Specification,
    templates: Sequence[int],
    signals: Sequence[SubstructureClass] = SIGNALS,
) -> dict[int, list[float]]:
    """Log evidence ratios of classes to no substructure, by number of templates.

    Args:
        image: that is classified.
        spec: its specification.
        templates: signals of each class: in one call, all numbers begin with the same ones.
        signals: the classes.
    """
    lens = fitted_lens(image.values, image.row, spec)
    around = SmoothImage(lens.system(), spec)
    data = around.left(image.residual[np.newaxis])
    generator = np.random.default_rng(image.seed)
    drawn = [draw_signals(lens, spec, each, max(templates), generator, around) for each in signals]
    found = by_templates(drawn, data, templates)
    return {count: ratios[0].tolist() for count, ratios in found.items()}


def measure(given: argparse.Namespace) -> None:
    """Adds the test images of an archive that the table lacks."""
    archive = open_archive(given.data)
    spec = archive.spec
    network = pd.read_csv(given.predictions)
    known = read_records(TABLE)
    where = environment(["lenssim", "numpy", "scipy", "torch"])
    with ProcessPoolExecutor(given.workers) as pool:
        for name in CLASSES:
            columns = ["substructure_snr_refit", *(["axion_mass"] if name == "axion" else [])]
            truth = archive.dataset("test", name)[columns].load()
            chi_square = archive.fits("test", name)["reduced_chi_square"].values
            wanted = np.array(
                [k for k in range(given.images) if f"{spec.name}_{name}_{k}" not in known],
                dtype=int,
            )
            found = pool.map(
                partial(log_evidences, spec=spec, templates=COUNTS), observed(archive, name, wanted)
            )
            of_class = network[network["class"] == name].set_index("sample")
            for index, evidence in zip(wanted.tolist(), found, strict=True):
                row = {
                    "model": spec.name,
                    "class": name,
                    "snr": float(truth["substructure_snr_refit"].values[index]),
                    "axion_mass": float(truth["axion_mass"].values[index])
                    if name == "axion"
                    else math.nan,
                    "reduced_chi_square": float(chi_square[index]),
                    "axion": evidence[max(COUNTS)][SIGNALS.index("axion")],
                    "cdm": evidence[max(COUNTS)][SIGNALS.index("cdm")],
                    **{f"p_{each}": float(of_class[f"p_{each}"][index]) for each in CLASSES},
                }
                record = row | {
                    "by_templates": {str(count): values for count, values in evidence.items()},
                    "environment": where,
                }
                add_record(TABLE, f"{spec.name}_{name}_{index}", row, record)


def log_posteriors(records: Sequence[Mapping[str, Any]]) -> dict[str, FloatArray]:
    """Log posterior of the three classes, (image, 3), by classifier."""
    found = {}
    for count in COUNTS:
        ratios = np.array([record["by_templates"][str(count)] for record in records])
        logs = np.column_stack([ratios, np.zeros(len(ratios))])
        found[f"evidence, {count} templates"] = log_softmax(logs, axis=1)
    network = np.log([[max(record[f"p_{name}"], 1e-30) for name in CLASSES] for record in records])
    mean = (network + found[f"evidence, {max(COUNTS)} templates"]) / 2
    return found | {"network": network, "both": log_softmax(mean, axis=1)}


def page(table: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all images, Markdown: a row a classifier."""
    records = list(table.values())
    labels = np.array([CLASSES.index(record["class"]) for record in records])
    snr = np.array([record["snr"] for record in records])
    mass = np.array([record["axion_mass"] for record in records])
    smooth = labels == CLASSES.index("no_sub")
    posteriors = log_posteriors(records)

    def auc(logs: FloatArray, chosen: NDArray[np.bool_], columns: list[int]) -> str:
        """Macro AUC of some images and classes, with its interval over them."""
        shares = softmax(logs[chosen][:, columns], axis=1)
        members = np.searchsorted(columns, labels[chosen])
        statistic = weighted_macro_auc(members, shares)
        value = float(statistic(np.ones((1, len(members))))[0])
        low, high = intervals([statistic], members, seed=0)[0].as_list()
        return f"{value:.3f} ({low:.3f} to {high:.3f})"

    everything = np.ones(len(labels), dtype=bool)
    rows = [
        [
            name,
            auc(logs, everything, [0, 1, 2]),
            auc(logs, smooth | (snr > LIMITS[1]), [0, 1, 2]),
            auc(logs, smooth | (labels == 1), [1, 2]),
            auc(logs, smooth | (labels == 0), [0, 2]),
            auc(logs, smooth | (mass < 10.0**RESOLVED), [0, 2]),
        ]
        for name, logs in posteriors.items()
    ]
    of_fit = np.array([record["reduced_chi_square"] for record in records])
    alone = [
        binary_auc(of_fit[labels == CLASSES.index(name)], of_fit[smooth])
        for name in ("cdm", "axion")
    ]
    rows.append(["chi-square of the fit", "", "", *(f"{value:.3f}" for value in alone), ""])
    of = {
        name: weighted_macro_auc(labels, np.exp(posteriors[name]))
        for name in ("network", "both", f"evidence, {max(COUNTS)} templates")
    }
    gains = "; ".join(
        f"{name} less network {low:+.3f} to {high:+.3f}"
        for name in of
        if name != "network"
        for low, high in [paired_interval(of[name], of["network"], labels, seed=0).as_list()]
    )
    counts = ", ".join(f"{np.sum(labels == k)} {name}" for k, name in enumerate(CLASSES))
    headings = [
        "classifier",
        "macro AUC, all",
        f"refit S/N > {LIMITS[1]:g} and no_sub",
        "cdm against no_sub",
        "axion against no_sub",
        "axion below 10^-23 eV against no_sub",
    ]
    return (
        f"# Evidence around the fitted lens\n\nOf {counts} test images of {records[0]['model']}: "
        "the ratio of the evidences of the three classes, from the residual, the fitted lens and "
        "source, and the redshifts of each image, with no label; a network; and both, the "
        f"geometric mean of the two posteriors. 95% intervals over images. All images: {gains}. By "
        "`python experiments/evidence_of_fits.py --data DIR --predictions FILE`.\n\n"
        + markdown_table(headings, rows)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="archive with fits")
    parser.add_argument("--predictions", type=Path, help="table of a network's test on it")
    parser.add_argument("--images", type=int, default=120, help="of each class")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="write the page of all images")
    given = parser.parse_args()
    if not given.report:
        if given.data is None or given.predictions is None:
            parser.error("--data and --predictions are required to measure")
        measure(given)
    text = page(read_records(TABLE))
    TABLE.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
