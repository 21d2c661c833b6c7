"""What the input scaling keeps of the information on the axion mass.

The Cramer-Rao bound on log10(m / eV) of what a network is given, against that of the image: a
whitened image is a linear function of the stretched one, and the stretch is linear over the noise,
so that its Fisher information follows from the slopes of the image. Unknown besides the mass is
what the data set varies: angle of the vortex and position of the source.
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np
import torch
from information import CONVERGED, FREE, MODELS, PARAMETERS, FloatArray, with_log_mass

import lenssim
from lensmodels.data import CLASSES, DataSettings, InputScaling, LensDataModule
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import LensSystem, Specification, draw_system, load_spec, random_stream, render
from lenssim.observation import noise_sigma, pixel_noise

COUNTS = (64, 256, 1024)
MASSES = (-24.0, -23.5, -23.25, -23.0, -22.75)


def scalings(model: str, train: int) -> dict[int, InputScaling]:
    """Scalings that keep so many components, measured on `train` images of each class."""
    with tempfile.TemporaryDirectory() as folder:
        lenssim.generate(model, CLASSES, train=train, test=0, out=folder)
        losses = {}
        for count in COUNTS:
            settings = DataSettings(url=folder, validation_fraction=0.0, components=count)
            data = LensDataModule(settings)
            data.setup()
            losses[count] = data.scaling
    return losses


def slopes(system: LensSystem, spec: Specification) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Image, its noise, and its slopes by what is free in the data set, (parameters, pixels)."""
    chosen = [PARAMETERS[name] for name in FREE["data_set"]]
    moved = [change(system, sign * step) for change, step in chosen for sign in (1, -1)]
    base, *images = render([system, *moved], spec, sampling=CONVERGED)
    steps = np.array([step for _, step in chosen])
    differences = (np.array(images[::2]) - np.array(images[1::2])).reshape(len(steps), -1)
    sigma = noise_sigma(base, pixel_noise(spec.instrument))
    return base.ravel(), sigma.ravel(), differences / (2 * steps[:, None])


def bound(information: FloatArray) -> float:
    """Of the first parameter, with the others unknown."""
    return float(np.sqrt(np.linalg.inv(information)[0, 0]))


def scaled_bound(
    scaling: InputScaling, image: FloatArray, sigma: FloatArray, by_parameter: FloatArray
) -> float:
    """Bound on log10 m, dex, from the components of the scaled image."""
    assert scaling.whitening is not None
    stretch = 1 / np.hypot(image, scaling.softening)  # slope of the asinh, constants left out
    components = scaling.whitening.components.double().numpy()
    signal = components @ (by_parameter * stretch).T
    covariance = (components * (stretch * sigma) ** 2) @ components.T
    return bound(signal.T @ np.linalg.solve(covariance, signal))


def measure(model: str, systems: int, train: int) -> list[dict[str, float | str]]:
    """Median bounds over random systems, by mass."""
    spec, kept = load_spec(model), scalings(model, train)
    rows: list[dict[str, float | str]] = []
    for log_mass in MASSES:
        losses: dict[str, list[float]] = {}
        for index in range(systems):
            stream = random_stream(1, model, "test", "axion", index, "population")
            lens = with_log_mass(draw_system(spec, "axion", stream), log_mass)
            image, sigma, by_parameter = slopes(lens, spec)
            relative = by_parameter / sigma
            losses.setdefault("image", []).append(bound(relative @ relative.T))
            for count, scaling in kept.items():
                of_scaled = scaled_bound(scaling, image, sigma, by_parameter)
                losses.setdefault(str(count), []).append(of_scaled)
        medians = {name: float(np.median(values)) for name, values in losses.items()}
        rows.append({"model": model, "log10_mass": log_mass, **medians})
    return rows


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=20, help="random systems of each model")
    parser.add_argument("--train", type=int, default=2731, help="images of each class")
    arguments = parser.parse_args()
    figures = [
        row for model in MODELS for row in measure(model, arguments.systems, arguments.train)
    ]
    write(
        "scaling",
        f"Cramer-Rao bound on log10(m / eV), dex, median of {arguments.systems} random systems, of "
        "the image and of the components that whitening keeps of it.",
        figures,
        markdown_table(
            ["model", "log10(m / eV)", "image", *(f"{count} components" for count in COUNTS)],
            [
                [
                    row["model"],
                    f"{row['log10_mass']:.2f}",
                    row["image"],
                    *(row[str(n)] for n in COUNTS),
                ]
                for row in figures
            ],
        ),
        ["numpy", "torch"],
    )


if __name__ == "__main__":
    main()
