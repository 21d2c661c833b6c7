"""Error of the fast engine, and of lenstronomy, in units of the noise.

Noise-free images of random systems, all models and classes. An error is the root-sum-square over
an image of (image - reference) / sigma. Two references:

    lenstronomy with 16x16 sub-samples a pixel;
    converged: 64x64 sub-samples by the fast engine's kernel without adaptivity, which agrees with
    lenstronomy at equal sub-samples to 1e-8 of the peak (tests/lenssim/rendering) and is fast
    enough to reach 64x64.

The DeepLenseSim variants are specified with one sample a pixel; here, as there is nothing to
converge to otherwise, they are rendered to the same tolerance as A and B.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import CLASSES, load_spec
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import draw_system, random_stream
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import render
from lenssim.spec import Sampling, Specification

MODELS = ("A", "B", "A-deeplense", "B-deeplense")
CONVERGED = 64
REFERENCE = 16
COMMON = 8


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

    return {
        "fast against lenstronomy 16x16": distance(fast, reference),
        "fast against converged": distance(fast, converged),
        "lenstronomy 16x16 against converged": distance(reference, converged),
        "lenstronomy 8x8 against converged": distance(common, converged),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200, help="random systems of each class")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    figures = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for model in MODELS:
            for name in CLASSES:
                jobs = [(model, name, index) for index in range(arguments.systems)]
                found = list(pool.map(errors, jobs, chunksize=4))
                row = {"model": model, "class": name}
                for key in found[0]:
                    values = [each[key] for each in found]
                    row[key] = {
                        "median": float(np.median(values)),
                        "p99": float(np.quantile(values, 0.99)),
                        "max": float(np.max(values)),
                    }
                figures.append(row)
                print(row, flush=True)
    comparisons = [key for key in figures[0] if key not in ("model", "class")]
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
