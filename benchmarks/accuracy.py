"""Error of the fast engine, and of lenstronomy, in units of the noise.

Noise-free images of random systems, all models and classes. An error is the root-sum-square over
an image of (image - reference) / sigma. Two references:

    lenstronomy with 16x16 sub-samples a pixel;
    converged: 64x64 sub-samples by the fast engine's kernel without adaptivity, which agrees with
    lenstronomy at equal sub-samples to 1e-8 of the peak (tests/lenssim/rendering) and is fast
    enough to reach 64x64.

The columns "with PSF" take the PSF into the integral over pixels, and compare with a grid of 16 or
32 sub-pixels that is convolved at that resolution (equal_error.py).

Runs in parts: each model and class is kept in results/accuracy_parts as soon as it is measured, and
read from there by a later run with the same number of systems; --models and --classes choose.

The DeepLenseSim variants are specified with one sample a pixel; here, as there is nothing to
converge to otherwise, they are rendered to the same tolerance as A and B.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from equal_error import distance as distance_with_psf
from equal_error import fast_image, lenstronomy_with_psf, true_image

from lensmodels.reporting.measurements import results_folder, write
from lensmodels.reporting.tables import markdown_table
from lenssim import CLASSES, load_spec
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import random_stream
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import draw_system, render
from lenssim.spec import Sampling, Specification

MODELS = ("A", "B", "A-deeplense", "B-deeplense")
CONVERGED = 64
REFERENCE = 16
COMMON = 8
WITH_PSF = (4, 8)
"""Sub-samples of lenstronomy that are compared with the PSF included."""


def adaptive(model: str) -> Specification:
    """A shipped specification at the tolerance of A and B, images not multiplied."""
    tolerance = load_spec("A").sampling.tolerance
    return load_spec(
        model,
        [f"sampling={{tolerance: {tolerance}}}", "observation={noise: false}"],
    )


def errors(job: tuple[str, str, int]) -> dict[str, float]:
    """Errors of one random system, by comparison."""
    model, name, index = job
    spec = adaptive(model)
    system = draw_system(spec, name, random_stream(1, model, "test", name, index, "population"))
    regular = spec.model_copy(update={"sampling": Sampling(subsamples=CONVERGED)})
    converged = render(system, regular)
    reference = lenstronomy_image(system, spec, REFERENCE)
    common = lenstronomy_image(system, spec, COMMON)
    fast = render(system, spec)
    sigma = noise_sigma(converged, pixel_noise(spec.instrument))

    def distance(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.linalg.norm((first - second) / sigma))

    truth = true_image(system, spec)
    with_psf = {"fast with PSF": distance_with_psf(fast_image(system, spec), truth, spec)}
    for subsamples in WITH_PSF:
        image = lenstronomy_with_psf(system, spec, subsamples)
        key = f"lenstronomy {subsamples}x{subsamples} with PSF"
        with_psf[key] = distance_with_psf(image, truth, spec)
    return with_psf | {
        "fast against lenstronomy 16x16": distance(fast, reference),
        "fast against converged": distance(fast, converged),
        "lenstronomy 16x16 against converged": distance(reference, converged),
        "lenstronomy 8x8 against converged": distance(common, converged),
    }


def measured(pool: ProcessPoolExecutor, model: str, name: str, systems: int) -> dict:
    """Errors of a model and a class over its systems, from an earlier run where that has them."""
    part = results_folder() / "accuracy_parts" / f"{model}-{name}.json"
    if part.exists():
        row = json.loads(part.read_text())
        if row["systems"] == systems:
            return row
    jobs = [(model, name, index) for index in range(systems)]
    all_errors = list(pool.map(errors, jobs, chunksize=4))
    row = {"model": model, "class": name, "systems": systems}
    for key in all_errors[0]:
        values = [image_errors[key] for image_errors in all_errors]
        row[key] = {
            "median": float(np.median(values)),
            "p99": float(np.quantile(values, 0.99)),
            "max": float(np.max(values)),
        }
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(row, indent=1) + "\n")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200, help="random systems of each class")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--classes", nargs="+", default=CLASSES)
    arguments = parser.parse_args()
    figures = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for model in arguments.models:
            for name in arguments.classes:
                row = measured(pool, model, name, arguments.systems)
                figures.append(row)
                print(row, flush=True)
    comparisons = [key for key in figures[0] if key not in ("model", "class", "systems")]
    rows = [
        [row["model"], row["class"]]
        + [f"{row[key]['median']:.3f} / {row[key]['p99']:.3f}" for key in comparisons]
        for row in figures
    ]
    write(
        "accuracy",
        "Error in units of sigma, root-sum-square over an image: median / 99th percentile of "
        f"{arguments.systems} random systems.",
        figures,
        markdown_table(["model", "class", *comparisons], rows),
        ["numpy", "numba", "lenstronomy"],
    )


if __name__ == "__main__":
    main()
