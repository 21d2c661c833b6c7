"""How much of the substructure a classifier could see that knows the prior of the smooth lens.

    python experiments/prior_snr.py [--images 60]      # results/prior_snr.md

The refit S/N takes out all that a change of lens and source can imitate, as if nothing were known
of them beforehand. Here each parameter has a normal prior as wide as its scatter over the images of
the specification, the multipoles included, so that its effect is taken out as far as the prior
allows: the squared S/N is r (1 + J S J^T)^-1 r, with r the change by the substructure in
units of the noise, J the derivatives by the parameters and S the variances of their priors. A
parameter that does not vary takes nothing out. The AUCs are the bounds that follow
(lensmodels/evaluation/detection_bound.py).
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmodels.evaluation.detection_bound import detection_bound
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import load_spec, random_stream
from lenssim.lens_fit import refit_snr, smooth_derivatives
from lenssim.lens_fit.parameters import ALL_NAMES, PARAMETER_NAMES
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import LensSystem
from lenssim.population.draw import draw_lens, populated
from lenssim.simulation import REFIT_COARSENESS, measure_arc, render, smooth_system
from lenssim.spec import Sampling, SubstructureClass

FloatArray = NDArray[np.float64]

MODELS = ("B-wide", "B-faithful", "B")
SIGNALS: tuple[SubstructureClass, ...] = ("axion", "cdm")
RAYS = Sampling(subsamples=3)
"""The same rays with and without substructure."""

KINDS = {
    "raw": "lens and source known",
    "prior": "known by their prior",
    "refit": "unknown, 15 parameters (`substructure_snr_refit`)",
    "multipoles": "unknown, multipoles too",
}


def measure(model: str, count: int) -> dict[str, dict[str, list[float]]]:
    """S/N of each kind and class, for test images of a specification.

    Args:
        model: name of a specification.
        count: images of each class.
    """
    spec = load_spec(model)
    twins: list[LensSystem] = []
    seen: list[tuple[SubstructureClass, FloatArray, FloatArray]] = []
    for name in SIGNALS:
        for index in range(count):
            stream = random_stream(0, spec.name, "test", name, index, "population")
            lens, f_sub = draw_lens(spec, stream, measure_arc, "test")
            system = populated(spec, lens, f_sub, name, stream)
            twins.append(smooth_system(system))
            smooth = render(twins[-1], spec, sampling=RAYS)
            sigma = noise_sigma(smooth, pixel_noise(spec.instrument))
            slopes = smooth_derivatives(
                twins[-1], spec, multipoles=True, coarseness=REFIT_COARSENESS
            )
            change = (render(system, spec, sampling=RAYS) - smooth) / sigma
            seen.append((name, change, slopes / sigma))
    widths = np.std([[value_of(twin, name) for name in ALL_NAMES] for twin in twins], axis=0)
    found: dict[str, dict[str, list[float]]] = {
        kind: {name: [] for name in SIGNALS} for kind in KINDS
    }
    for name, change, slopes in seen:
        found["raw"][name].append(float(np.linalg.norm(change)))
        found["prior"][name].append(snr_with_prior(change, slopes, widths))
        found["refit"][name].append(refit_snr(change, slopes[: len(PARAMETER_NAMES)]))
        found["multipoles"][name].append(refit_snr(change, slopes))
    return found


def value_of(system: LensSystem, name: str) -> float:
    """A parameter of a smooth lens, by its name in `ALL_NAMES`."""
    if not name.startswith("lens_m"):
        return float(getattr(system, name))
    stem, _, component = name.rpartition("_")
    phase = int(stem[-1]) * getattr(system, f"{stem}_angle")
    wave = math.cos(phase) if component == "cos" else math.sin(phase)
    return float(getattr(system, f"{stem}_amplitude") * wave)


def snr_with_prior(change: FloatArray, slopes: FloatArray, widths: FloatArray) -> float:
    """S/N of a change where the parameters have normal priors.

    Args:
        change: of the image, in units of the noise, (y, x).
        slopes: of the image by the parameters, in the same units, (p, y, x).
        widths: standard deviations of the priors, (p,).
    """
    signal = change.ravel()
    scaled = slopes.reshape(len(slopes), -1) * widths[:, np.newaxis]
    shares = scaled @ signal
    taken = shares @ np.linalg.solve(np.eye(len(scaled)) + scaled @ scaled.T, shares)
    return float(np.sqrt(signal @ signal - taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60, help="of each class")
    count = parser.parse_args().images
    figures: dict[str, Any] = {}
    rows = []
    for model in MODELS:
        found = figures[model] = measure(model, count)
        for kind, title in KINDS.items():
            by_class = {name: np.array(values) for name, values in found[kind].items()}
            most = {
                row["class"]: row["auc"] for row in detection_bound(by_class) if row["above"] == 0.0
            }
            medians = [f"{np.median(by_class[name]):.2f}" for name in SIGNALS]
            aucs = [f"{most[name]:.3f}" for name in (*SIGNALS, "all")]
            rows.append([model, title, *medians, *aucs])
    headings = ["model", "lens and source are", *(f"median S/N, {name}" for name in SIGNALS)]
    headings += [*(f"bound, {name} against no_sub" for name in SIGNALS), "bound, macro AUC"]
    write(
        "prior_snr",
        f"S/N of the substructure of {count} test images of each class, by what is known of lens "
        "and source, and the AUC that no classifier with that knowledge exceeds.",
        figures,
        markdown_table(headings, rows),
        ["numpy"],
    )


if __name__ == "__main__":
    main()
