"""What the images of models A and B tell of the axion mass, at best.

The Cramer-Rao bound on log10(m / eV): the Fisher information of the noise-free image in the mass
and in what else is unknown, with finite differences of rendered images, in random systems of the
specification. Twice: where all that is unknown is what the data set varies (angle of the vortex,
position of the source), and where the Einstein radius of the halo and the mass of the vortex are
unknown too, as they are of a lens on the sky.

And the least RMSE over the prior that any estimator can have: near each mass, take log10 m in
units of its bound, phi = integral of d(log10 m) / bound, in which the images tell every mass apart
equally well. An image is then worth one measurement of phi with unit normal error; the posterior,
cut off where the prior ends, and its mean and RMSE follow. Where the images tell nothing, phi
stands still, and the posterior is the prior's.

The figures that lensmodels draws are written to lensmodels/evaluation/cramer_rao.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import table, write

from lenssim import LensSystem, Specification, draw_system, load_spec, random_stream, render
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.spec import Sampling

MODELS = ("A", "B")
SHIPPED = Path(__file__).parents[1] / "lensmodels" / "evaluation" / "cramer_rao.json"
STEP_OF_GRID = 0.125
TABLED = (-24.0, -23.5, -23.0, -22.75, -22.5, -22.0)

CONVERGED = Sampling(tolerance=1e-4)
"""Differences of two images must be far more exact than the images need to be."""

FloatArray = NDArray[np.float64]


def with_log_mass(system: LensSystem, log_mass: float) -> LensSystem:
    """The same system with another axion mass: the length of a vortex goes as 1 / m."""
    mass = 10.0**log_mass
    return replace(
        system, axion_mass=mass, vortex_length=system.vortex_length * system.axion_mass / mass
    )


def _scale_vortex_mass(system: LensSystem, change: float) -> LensSystem:
    return replace(system, vortex_theta_e=system.vortex_theta_e * np.exp(0.5 * change))


def _shift(name: str, system: LensSystem, change: float) -> LensSystem:
    return replace(system, **{name: getattr(system, name) + change})


# step of each parameter: dex, radian, arcsec, arcsec, arcsec, relative
PARAMETERS: dict[str, tuple[Callable[[LensSystem, float], LensSystem], float]] = {
    "log10 mass": (lambda system, h: with_log_mass(system, np.log10(system.axion_mass) + h), 0.01),
    "angle": (partial(_shift, "vortex_angle"), 0.005),
    "source x": (partial(_shift, "source_x"), 0.001),
    "source y": (partial(_shift, "source_y"), 0.001),
    "Einstein radius": (partial(_shift, "lens_theta_e"), 0.001),
    "vortex mass": (_scale_vortex_mass, 0.02),
}
FREE = {
    "data_set": ("log10 mass", "angle", "source x", "source y"),
    "lens": tuple(PARAMETERS),
}


def bounds(system: LensSystem, spec: Specification) -> dict[str, float]:
    """Cramer-Rao bound on log10 m, dex, for each set of unknowns.

    The noise is taken as normal with the variance of the true image.
    """
    moved = [
        change(system, sign * step) for change, step in PARAMETERS.values() for sign in (1, -1)
    ]
    base, *images = render([system, *moved], spec, sampling=CONVERGED)
    sigma = noise_sigma(base, pixel_noise(spec.instrument))
    steps = np.array([step for _, step in PARAMETERS.values()])
    up, down = np.array(images[::2]), np.array(images[1::2])
    slopes = ((up - down) / sigma).reshape(len(steps), -1) / (2 * steps[:, None])
    names = list(PARAMETERS)
    found = {}
    for free, parameters in FREE.items():
        chosen = slopes[[names.index(name) for name in parameters]]
        scale = np.linalg.norm(chosen, axis=1)  # the matrix is inverted in units of its diagonal
        correlation = (chosen / scale[:, None]) @ (chosen / scale[:, None]).T
        found[free] = float(np.sqrt(np.linalg.inv(correlation)[0, 0]) / scale[0])
    return found


def least_squared_error(grid: FloatArray, bound: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean squared error of the posterior mean, by true log10 mass, prior uniform over the grid.

    Args:
        grid: log10(m / eV), rising, even.
        bound: Cramer-Rao bound there, dex.

    Returns:
        A fine grid of log10 masses, and the error there, dex^2.
    """
    fine = np.linspace(grid[0], grid[-1], 4001)
    rate = np.exp(-np.interp(fine, grid, np.log(bound)))
    step = fine[1] - fine[0]
    phi = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * step)])
    measured = np.linspace(phi[0] - 6, phi[-1] + 6, max(2000, int(8 * (phi[-1] + 12))))
    mean = np.empty_like(measured)
    likelihood_of = np.zeros((len(fine),))
    error = np.zeros(len(fine))
    for number, value in enumerate(measured):
        likelihood = np.exp(-0.5 * (value - phi) ** 2)
        mean[number] = likelihood @ fine / likelihood.sum()
        error += likelihood * (mean[number] - fine) ** 2
        likelihood_of += likelihood
    return fine, error / likelihood_of


def measure(model: str, systems: int) -> dict[str, object]:
    """Bounds and limits of a model, over random systems."""
    spec = load_spec(model)
    prior = np.log10(spec.substructure.axion.axion_mass.support)
    grid = np.arange(prior[0], prior[1] + 1e-9, STEP_OF_GRID)
    found: dict[str, list[list[float]]] = {free: [] for free in FREE}
    for index in range(systems):
        drawn = draw_system(
            spec, "axion", random_stream(1, model, "test", "axion", index, "population")
        )
        each = [bounds(with_log_mass(drawn, log_mass), spec) for log_mass in grid]
        for free in FREE:
            found[free].append([values[free] for values in each])
    result: dict[str, object] = {
        "model": model,
        "version": spec.version,
        "spec_sha256": spec.sha256,
        "systems": systems,
        "log10_mass": grid.tolist(),
    }
    for free, values in found.items():
        curves = np.array(values)
        errors = [least_squared_error(grid, curve) for curve in curves]
        fine, error = errors[0][0], np.mean([squared for _, squared in errors], axis=0)
        result[free] = {
            "bound": np.median(curves, axis=0).tolist(),
            "limit_by_mass": np.sqrt(np.interp(grid, fine, error)).tolist(),
            "limit": float(np.sqrt(np.trapezoid(error, fine) / (fine[-1] - fine[0]))),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=50, help="random systems of each model")
    arguments = parser.parse_args()
    figures = [measure(model, arguments.systems) for model in MODELS]
    SHIPPED.write_text(json.dumps(figures, indent=1) + "\n")
    rows = []
    for each in figures:
        for free in FREE:
            at = np.interp(TABLED, each["log10_mass"], each[free]["bound"])
            rows.append(
                [each["model"], ", ".join(FREE[free][1:]), *map(float, at), each[free]["limit"]]
            )
    write(
        "information",
        f"Cramer-Rao bound on log10(m / eV), dex, median of {arguments.systems} random systems, "
        "by log10(m / eV) and by what else is unknown; and the least RMSE over the whole prior.",
        figures,
        table(["model", "also unknown", *map(str, TABLED), "least RMSE"], rows),
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
