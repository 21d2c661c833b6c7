"""Fits of the smooth lens to images without substructure: chi-square, convergence, pulls, speed.

    python benchmarks/lens_fit.py [--lens-light]

With --lens-light the lens galaxies have Sersic ellipses, of magnitude 17.5 to 20.5 and centred on
the lens, and the table is results/lens_fit_light.md. Pulls are of the images that fitted: converged
and within 5 standard deviations of the chi-square of noise alone.

Each image is simulated and fitted from the image alone. Chi-square is compared with what noise
alone gives, and every parameter with its true value in units of its error. Times are processor
time of one core.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from numpy.typing import NDArray

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.lens_fit.image_fit import FitSettings, fit_image
from lenssim.lens_fit.parameters import LIGHT_NAMES
from lenssim.lens_fit.vector import from_system, physical
from lenssim.population import LensSystem
from lenssim.simulation import simulate_many

TOGETHER = 32

FAR = 5.0
"""Errors between a fit and the truth from which on the fit is at another minimum."""

QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""

LIGHT = {
    "magnitude": "{uniform: [17.5, 20.5]}",
    "r_sersic": "{uniform: [0.5, 1.5]}",
    "n_sersic": "{uniform: [2, 5]}",
    "e1": "{uniform: [-0.2, 0.2]}",
    "e2": "{uniform: [-0.2, 0.2]}",
}
"""Priors of the light of the lens."""


def truth_of(system: LensSystem, *, has_light: bool) -> NDArray[np.float64]:
    """The true values of the free parameters."""
    values = physical(from_system(system, multipoles=True))
    if not has_light:
        return values
    own = {"lens_light_x": system.lens_x, "lens_light_y": system.lens_y}
    light = [own.get(name, getattr(system, name, math.nan)) for name in LIGHT_NAMES]
    return np.concatenate([values, light])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--model", default="B-wide")
    parser.add_argument("--lens-light", action="store_true")
    arguments = parser.parse_args()
    has_light = arguments.lens_light
    changes = [f"lens.light.{key}={value}" for key, value in LIGHT.items()] if has_light else []
    spec = lenssim.load_spec(arguments.model, ["observation.refit_snr=none", *changes])
    names = FitSettings(lens_light=has_light).names
    fits, pulls, times = [], [], []
    for start in range(0, arguments.images, TOGETHER):
        indices = range(start, min(start + TOGETHER, arguments.images))
        for simulation in simulate_many(spec, 0, "test", "no_sub", indices):
            system = simulation.system
            begun = time.process_time()
            fit = fit_image(simulation.image, spec, psf_fwhm=system.psf_fwhm)
            times.append(time.process_time() - begun)
            fits.append(fit)
            pulls.append((fit.values - truth_of(system, has_light=has_light)) / fit.errors)
    chi_square = np.array([fit.reduced_chi_square for fit in fits])
    converged = np.array([fit.converged for fit in fits])
    scatter = math.sqrt(2.0 / (spec.instrument.num_pix**2 - len(names)))
    within = np.abs(chi_square - 1.0)
    milliseconds = 1e3 * np.array(times[1:])  # the first loads the kernels
    summary = {
        "images": len(fits),
        "converged": float(converged.mean()),
        "reduced chi-square, median": float(np.median(chi_square)),
        "its standard deviation": float(chi_square.std()),
        "standard deviation by noise alone": scatter,
        "share within 0.02 (0.63 by noise alone)": float((within < 0.02).mean()),
        "share within 2 standard deviations (0.954)": float((within < 2 * scatter).mean()),
        "share above 5 standard deviations": float((chi_square > 1 + 5 * scatter).mean()),
        "processor time, ms, median": float(np.median(milliseconds)),
        "processor time, ms, mean": float(milliseconds.mean()),
    }
    used = np.array(pulls)[converged & (chi_square < 1 + 5 * scatter)]
    is_far = (np.abs(used) > FAR).any(axis=1)
    summary[f"of those whose pulls are shown, a parameter more than {FAR:g} errors off"] = float(
        is_far.mean()
    )
    rows = [
        [
            name,
            float(values.mean()),
            1.0 / math.sqrt(len(values)),
            float(values.std()),
            float(np.subtract(*np.percentile(values, (75, 25))) / QUARTILES),
            float(np.abs(values).max()),
        ]
        for name, values in zip(names, used.T, strict=True)
    ]
    headings = ["parameter", "mean pull", "its error", "sd of pulls", "sd by quartiles", "largest"]
    table = markdown_table(["what", "figure"], [[key, value] for key, value in summary.items()])
    write(
        "lens_fit_light" if has_light else "lens_fit",
        f"Fits of {arguments.model} without substructure, from the image alone, with multipoles "
        f"free{', and light of the lens galaxy' if has_light else ''}. Pulls are (fit - truth) / "
        "error, of fits that converged with a chi-square below 5 standard deviations.",
        {"summary": summary, "pulls": [dict(zip(headings, row, strict=True)) for row in rows]},
        f"{table}\n\n{markdown_table(headings, rows)}",
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
