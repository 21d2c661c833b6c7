"""What the images of models A and B tell of the axion mass, at best.

The Cramer-Rao bound on log10(m / eV): the Fisher information of the noise-free image in the mass
and in what else is unknown, with finite differences of rendered images, in random systems of the
specification. Three times: where all that is unknown is what the data set varies (angle of the
vortex, position of the source), where the Einstein radius of the halo and the mass of the vortex
are unknown too, and where every parameter of the smooth lens and the source is, as of a lens on
the sky.

And the least RMSE over the prior that any estimator can have, which is that of the posterior mean:
for images of every mass and angle, with noise, the posterior over a grid of both, given the image.
The position of the source is marginalised to first order, as it is known to a thousandth of a
pixel. The bound alone would promise too much: it is of small errors, and of a short vortex neither
the strength of its quadrupole nor the direction is known well. Of long vortices the posterior is
narrower than a grid can be, and the bound is right.

An estimate can be better below 1e-23 eV at the cost of the rest: posterior means are also given
for errors that weigh more there.

The figures that lensmodels draws are written to lensmodels/evaluation/cramer_rao.json, which keeps
those of other specifications.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensmodels.evaluation.summary import RESOLVED
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import LensSystem, Specification, draw_system, load_spec, random_stream, render
from lenssim.lens_fit import PARAMETER_NAMES, smooth_derivatives
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population.ring import ring_neutral
from lenssim.simulation import smooth_system
from lenssim.spec import Sampling

MODELS = ("A", "B")
SHIPPED = Path(__file__).parents[1] / "lensmodels" / "evaluation" / "cramer_rao.json"
STEP_OF_GRID = 0.0625
"""Of log10(m / eV). Where the bound is less, the posterior is as narrow, and the bound is taken."""
HARD_FROM = -23.5
"""log10(m / eV) from which the posterior is computed; below, all vortices are plain to see."""
ANGLES = 96
"""Of a half turn."""
FAVOURS = (1.0, 2.0, 4.0, 8.0, 16.0)
TABLED = (-24.0, -23.5, -23.0, -22.75, -22.5, -22.0)

CONVERGED = Sampling(tolerance=1e-4)
"""Differences of two images must be far more exact than the images need to be."""

FloatArray = NDArray[np.float64]


def with_log_mass(system: LensSystem, log_mass: float) -> LensSystem:
    """The same system with another axion mass: the length of a vortex goes as 1 / m.

    The Einstein ring keeps its size, as in the data set.
    """
    mass = 10.0**log_mass
    length = system.vortex_length * system.axion_mass / mass
    return ring_neutral(replace(system, axion_mass=mass, vortex_length=length))


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
SMOOTH = tuple(
    name for name in PARAMETER_NAMES if name not in ("lens_theta_e", "source_x", "source_y")
)
"""The other parameters of lens and source; derivatives are taken at the lens without vortex."""

FREE = {
    "data_set": ("log10 mass", "angle", "source x", "source y"),
    "lens": tuple(PARAMETERS),
    "lens_and_source": (*PARAMETERS, *SMOOTH),
}
UNKNOWN = {
    "data_set": "angle, source position",
    "lens": "these, Einstein radius, vortex mass",
    "lens_and_source": "these, and all of the smooth lens and the source",
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
    smooth = smooth_derivatives(smooth_system(system), spec) / sigma
    others = [smooth[PARAMETER_NAMES.index(name)].ravel() for name in SMOOTH]
    slopes = np.concatenate([slopes, others])
    names = [*PARAMETERS, *SMOOTH]
    limits = {}
    for free, parameters in FREE.items():
        chosen = slopes[[names.index(name) for name in parameters]]
        scale = np.linalg.norm(chosen, axis=1)  # the matrix is inverted in units of its diagonal
        correlation = (chosen / scale[:, None]) @ (chosen / scale[:, None]).T
        limits[free] = float(np.sqrt(np.linalg.inv(correlation)[0, 0]) / scale[0])
    return limits


def signals_of(
    system: LensSystem,
    spec: Specification,
    masses: FloatArray,
    angles: FloatArray,
    *,
    sampling: Sampling | None = None,
    seen: Sequence[FloatArray] = (),
) -> FloatArray:
    """Signals of vortices of one source, without what a shift of the source could explain.

    Args:
        system: whose vortex is replaced.
        spec: of the images.
        masses: log10(m / eV), rising, (m,).
        angles: of the vortex from the x axis, radians, (a,).
        sampling: of the images; that of the specification if not given.
        seen: images that are treated in the same way, e-/s, each (y, x).

    Returns:
        Difference from the image of the heaviest axion in units of the noise, of the images that
        were seen, and then of each mass at every angle, (s + m a, pixels).
    """
    vortices = [
        replace(with_log_mass(system, mass), vortex_angle=float(angle))
        for mass in masses
        for angle in angles
    ]
    faintest = with_log_mass(system, masses[-1])
    shifts = [PARAMETERS[name] for name in ("source x", "source y")]
    moved = [change(faintest, sign * step) for change, step in shifts for sign in (1, -1)]
    base, *images = render([faintest, *moved, *vortices], spec, sampling=sampling)
    sigma = noise_sigma(base, pixel_noise(spec.instrument))
    of_all = [*images[: len(moved)], *seen, *images[len(moved) :]]
    weighed = ((np.array(of_all) - base) / sigma).reshape(len(of_all), -1)
    shifted, signals = weighed[: len(moved)], weighed[len(moved) :]
    explained, _ = np.linalg.qr((shifted[::2] - shifted[1::2]).T)
    signals -= (signals @ explained) @ explained.T
    return signals


@dataclass(frozen=True)
class Hypotheses:
    """Vortices that an image may show, of one source: every mass of a grid, at every angle.

    Attributes:
        log10_mass: of each hypothesis, (h,).
        products: of their signals in units of the noise, (h, h), the changes that a shift of the
            source could explain left out.
    """

    log10_mass: FloatArray
    products: FloatArray

    @classmethod
    def of(
        cls, system: LensSystem, spec: Specification, masses: FloatArray, angles: FloatArray
    ) -> Hypotheses:
        """Of a system's source, with its vortex replaced.

        Args:
            system: whose vortex is replaced.
            spec: of the images.
            masses: log10(m / eV), rising, (m,).
            angles: of the vortex from the x axis, radians, (a,).
        """
        signals = signals_of(system, spec, masses, angles, sampling=CONVERGED)
        return cls(np.repeat(masses, len(angles)), signals @ signals.T)

    def squared_errors(
        self, generator: np.random.Generator, favours: Sequence[float]
    ) -> FloatArray:
        """Mean squared errors of posterior means of log10 m, dex^2, (favours, masses).

        Each hypothesis is in turn the truth of an image with noise of its own. What the image says
        of all of them is the scalar products of their signals with it, which are normal.

        Args:
            generator: of the noise.
            favours: weights of masses below `RESOLVED`, over those above, one for each estimator.
        """
        variances, directions = np.linalg.eigh(self.products)
        noise = generator.standard_normal(self.products.shape)
        noise = (noise * np.sqrt(variances.clip(0))) @ directions.T
        logarithm = self.products + noise - 0.5 * np.diag(self.products)
        likelihood = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        masses, count = np.unique(self.log10_mass, return_counts=True)
        limits = []
        for favour in favours:
            prior = _weights(masses, favour)
            posterior = likelihood * np.repeat(prior, count)
            estimate = (posterior @ self.log10_mass) / posterior.sum(axis=1)
            squared = (estimate - self.log10_mass) ** 2
            limits.append(squared.reshape(len(masses), count[0]).mean(axis=1))
        return np.array(limits)


def _weights(masses: FloatArray, favour: float) -> FloatArray:
    """Of the masses of a grid: half a step on either side of each, by the trapezoid rule."""
    middle = 0.5 * (masses[1:] + masses[:-1])
    steps = np.where(middle < RESOLVED, favour, 1.0)
    return 0.5 * (np.append(steps, 0.0) + np.append(0.0, steps))


def rms(grid: FloatArray, error: FloatArray, below: float = np.inf) -> float:
    """Root of the mean of squared errors over a grid of masses, dex.

    Args:
        grid: log10(m / eV), rising, (n,).
        error: squared, dex^2, (n,).
        below: the mass up to which the mean goes, one of the grid's.
    """
    chosen = grid <= below
    span = grid[chosen]
    return float(np.sqrt(np.trapezoid(error[chosen], span) / (span[-1] - span[0])))


def measure(model: str, systems: int, limits: int) -> dict[str, object]:
    """Bounds of a model, over random systems, and limits over the first of these."""
    spec = load_spec(model)
    prior = np.log10(spec.substructure.axion.axion_mass.support)
    grid = np.arange(prior[0], prior[1] + 1e-9, STEP_OF_GRID)
    hard = grid[grid > HARD_FROM - 1e-9]
    angles = np.arange(ANGLES) * np.pi / ANGLES
    found: dict[str, list[list[float]]] = {free: [] for free in FREE}
    errors: list[FloatArray] = []
    for index in range(systems):
        drawn = draw_system(
            spec, "axion", random_stream(1, model, "test", "axion", index, "population")
        )
        entry = [bounds(with_log_mass(drawn, log_mass), spec) for log_mass in grid]
        for free in FREE:
            found[free].append([values[free] for values in entry])
        if index < limits:
            hypotheses = Hypotheses.of(drawn, spec, hard, angles)
            errors.append(hypotheses.squared_errors(np.random.default_rng(index), FAVOURS))
    result: dict[str, object] = {
        "model": model,
        "version": spec.version,
        "spec_sha256": spec.sha256,
        "systems": systems,
        "systems_of_the_limit": limits,
        "log10_mass": grid.tolist(),
    }
    medians = {free: np.median(np.array(values), axis=0) for free, values in found.items()}
    for free, median in medians.items():
        result[free] = {"bound": median.tolist()}
    bound = medians["data_set"]
    curves = np.zeros((len(FAVOURS), len(grid)))
    curves[:, -len(hard) :] = np.mean(errors, axis=0)
    curves = np.where(bound < STEP_OF_GRID, np.maximum(curves, bound**2), curves)
    result["limit"] = {
        "by_mass": np.sqrt(curves[0]).tolist(),
        "favours": [
            {"favour": favour, "whole": rms(grid, curve), "resolved": rms(grid, curve, RESOLVED)}
            for favour, curve in zip(FAVOURS, curves, strict=True)
        ],
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=50, help="random systems of each model")
    parser.add_argument("--limits", type=int, default=12, help="of these, with the best estimate")
    arguments = parser.parse_args()
    figures = [measure(model, arguments.systems, arguments.limits) for model in MODELS]
    measured = {each["spec_sha256"] for each in figures}
    kept = [each for each in json.loads(SHIPPED.read_text()) if each["spec_sha256"] not in measured]
    figures = [*kept, *figures]
    SHIPPED.write_text(json.dumps(figures, indent=1) + "\n")
    rows, favoured = [], []
    for entry in figures:
        name = f"{entry['model']} {entry['version']}"
        for free in FREE:
            if free in entry:
                at = np.interp(TABLED, entry["log10_mass"], entry[free]["bound"])
                rows.append([name, entry["systems"], UNKNOWN[free], *map(float, at)])
        for it in entry["limit"]["favours"]:
            favoured.append([name, entry["systems_of_the_limit"], *map(float, it.values())])
    text = [
        markdown_table(["specification", "systems", "also unknown", *map(str, TABLED)], rows),
        "The best estimates over the prior: root-mean-square errors, dex. A favour is the weight "
        "of an error below 1e-23 eV, over that of one above.",
        markdown_table(
            ["specification", "systems", "favour", "over the prior", "below 1e-23 eV"], favoured
        ),
    ]
    write(
        "information",
        "Cramer-Rao bound on log10(m / eV), dex, median of random systems, by log10(m / eV) and by "
        "what else is unknown.",
        figures,
        "\n\n".join(text),
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
