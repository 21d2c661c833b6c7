"""S/N after a refit: the linear estimate of `lenssim.lens_fit` against actual fits.

    python benchmarks/refit_snr.py

Each noise-free image is fitted by scipy's least_squares with all 15 parameters of the smooth model
free, started at the smooth twin and at two places beside it. The fit renders with the engine, on
the same grid of rays at all times, and differentiates by differences of images: it shares no code
with the estimate. What is left of the best fit is compared with the estimate. Then the cost of the
estimate is measured beside that of a render of the same image.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import observation
from lenssim.population import LensSystem
from lenssim.simulation import estimated_refit_snr, render, smooth_system
from lenssim.spec import Sampling, Specification, SubstructureClass

FloatArray = NDArray[np.float64]

FREE = {
    "lens_theta_e": (0.3, 3.0, 0.01),
    "lens_e1": (-0.6, 0.6, 0.03),
    "lens_e2": (-0.6, 0.6, 0.03),
    "lens_gamma1": (-0.4, 0.4, 0.02),
    "lens_gamma2": (-0.4, 0.4, 0.02),
    "lens_x": (-0.5, 0.5, 0.02),
    "lens_y": (-0.5, 0.5, 0.02),
    "lens_slope": (1.3, 2.7, 0.1),
    "source_x": (-3.0, 3.0, 0.02),
    "source_y": (-3.0, 3.0, 0.02),
    "source_magnitude": (10.0, 35.0, 0.1),
    "source_r_sersic": (0.01, 3.0, 0.02),
    "source_n_sersic": (0.3, 8.0, 0.1),
    "source_e1": (-0.6, 0.6, 0.03),
    "source_e2": (-0.6, 0.6, 0.03),
}
"""Bounds of the parameters, and how far the other starts are from the smooth twin (a standard
deviation); a hundredth of that is the step of differences."""

STARTS = 3
RAYS = Sampling(subsamples=4)
"""Rays along each side of a pixel in the fit."""

WITHIN = 0.10
MIN_SNR = 3.0


def fitted_snr(image: FloatArray, twin: LensSystem, spec: Specification, seed: int) -> float:
    """S/N of what the best of several fits leaves of a noise-free image.

    Args:
        image: e-/s, shape (y, x).
        twin: where the first fit starts.
        spec: of the image.
        seed: of the other starts.
    """
    sigma = observation.noise_sigma(image, observation.pixel_noise(spec.instrument))
    # the grid's own error is that of the twin's image, to first order, and drops out
    target = image - render(twin, spec) + render(twin, spec, sampling=RAYS)
    truth = np.array([getattr(twin, name) for name in FREE])
    low, high, width = map(np.array, zip(*FREE.values(), strict=True))

    def images(points: FloatArray) -> FloatArray:
        systems = [replace(twin, **dict(zip(FREE, map(float, p), strict=True))) for p in points]
        return render(systems, spec, sampling=RAYS).reshape(len(points), -1) / sigma.ravel()

    def residual(point: FloatArray) -> FloatArray:
        return images(point[np.newaxis])[0] - target.ravel() / sigma.ravel()

    def jacobian(point: FloatArray) -> FloatArray:
        steps = 0.01 * np.diag(width)
        return ((images(point + steps) - images(point - steps)) / (0.02 * width[:, None])).T

    generator = np.random.default_rng(seed)
    costs = []
    for start in range(STARTS):
        begin = truth + (width * generator.normal(size=len(FREE)) if start else 0.0)
        begin = np.clip(begin, low + 2 * width, high - 2 * width)
        fit = least_squares(
            residual, begin, jacobian, bounds=(low, high), x_scale=width, max_nfev=60, xtol=1e-6,
            ftol=1e-6,
        )  # fmt: skip
        costs.append(fit.cost)
    return float(np.sqrt(2.0 * min(costs)))


def compare(job: tuple[str, SubstructureClass, int]) -> tuple[float, float, float]:
    """Raw S/N, the estimate after a refit, and the S/N after fits, of one image."""
    model, name, index = job
    spec = lenssim.load_spec(model)
    stream = lenssim.random_stream(0, spec.name, "test", name, index, "population")
    system = lenssim.draw_system(spec, name, stream)
    twin = smooth_system(system)
    image, smooth = render([system, twin], spec)
    sigma = observation.noise_sigma(image, observation.pixel_noise(spec.instrument))
    residual = (image - smooth) / sigma
    estimate = estimated_refit_snr(residual, twin, sigma, spec)
    return float(np.linalg.norm(residual)), estimate, fitted_snr(image, twin, spec, index)


def cost(model: str, name: SubstructureClass, count: int = 20) -> tuple[float, float]:
    """Milliseconds of processor time of a render and of the estimate, medians over images."""
    spec = lenssim.load_spec(model)
    noise = observation.pixel_noise(spec.instrument)
    times = []
    for index in range(count + 1):
        stream = lenssim.random_stream(0, spec.name, "test", name, index, "population")
        system = lenssim.draw_system(spec, name, stream)
        twin = smooth_system(system)
        started = time.process_time()
        image = render(system, spec)
        rendered = time.process_time()
        smooth = render(twin, spec)
        sigma = observation.noise_sigma(image, noise)
        begun = time.process_time()
        estimated_refit_snr((image - smooth) / sigma, twin, sigma, spec)
        times.append((rendered - started, time.process_time() - begun))
    render_time, estimate_time = np.median(np.array(times[1:]), axis=0)
    return 1e3 * float(render_time), 1e3 * float(estimate_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--models", nargs="+", default=["A", "B"])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    groups: list[tuple[str, SubstructureClass]] = [
        (model, name) for model in arguments.models for name in ("cdm", "axion")
    ]
    jobs = [(*groups[i % len(groups)], i // len(groups)) for i in range(arguments.images)]
    fits = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for job, values in zip(jobs, pool.map(compare, jobs), strict=True):
            print(*job, *(f"{value:.2f}" for value in values), flush=True)
            fits.append(values)
    rows, records = [], []
    for group in groups:
        raw, estimate, fitted = np.array(
            [values for job, values in zip(jobs, fits, strict=True) if job[:2] == group]
        ).T
        matters = fitted > MIN_SNR
        off = np.abs(estimate / fitted - 1.0)[matters]
        render_time, estimate_time = cost(*group)
        rows.append(
            [
                *group,
                len(raw),
                float(np.median(raw)),
                float(np.median(estimate)),
                float(np.median(fitted)),
                int(matters.sum()),
                int((off <= WITHIN).sum()),
                float(off.max()) if off.size else 0.0,
                render_time,
                estimate_time,
            ]
        )
    headings = [
        "model", "class", "images", "raw S/N", "estimate", "fit",
        "fit above 3", "of them within 10%", "largest difference", "render, ms", "estimate, ms",
    ]  # fmt: skip
    records = [
        {"model": job[0], "class": job[1], "index": job[2], "raw": values[0],
         "estimate": values[1], "fit": values[2]}
        for job, values in zip(jobs, fits, strict=True)
    ]  # fmt: skip
    write(
        "refit_snr",
        "S/N of the substructure, raw and after the smooth model is refitted (medians): the linear "
        "estimate, and the best of three non-linear fits with all 15 parameters free. Times are "
        "processor time of one core, of a render and of the estimate beside it in the same run.",
        {"rows": [dict(zip(headings, row, strict=True)) for row in rows], "images": records},
        markdown_table(headings, rows),
        ["numpy", "numba", "scipy"],
    )


if __name__ == "__main__":
    main()
