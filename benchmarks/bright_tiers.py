"""Refit S/N of the subhalos of the wide models, by which source magnitudes are chosen.

python benchmarks/bright_tiers.py A-wide B-wide --images 100
"""

from __future__ import annotations

import argparse

import numpy as np

from lenssim import load_spec
from lenssim.lens_fit import refit_snr, smooth_derivatives
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.simulation import render, simulate_many, smooth_system

SEED = 11
DETECTED = 5.0
"""Refit S/N above which the substructure of an image counts as seen."""


def refit_ratios(model: str, images: int) -> np.ndarray:
    """S/N of the subhalos of images after every parameter of the smooth lens is refitted, (n,)."""
    spec = load_spec(model)
    noise = pixel_noise(spec.instrument)
    ratios = []
    for simulation in simulate_many(spec, SEED, "train", "cdm", range(images)):
        twin = smooth_system(simulation.system)
        sigma = noise_sigma(simulation.noise_free, noise)
        residual = (simulation.noise_free - render(twin, spec)) / sigma
        ratios.append(refit_snr(residual, smooth_derivatives(twin, spec) / sigma))
    return np.array(ratios)


def main() -> None:
    """Prints a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--images", type=int, default=100)
    options = parser.parse_args()
    for model in options.models:
        ratios = refit_ratios(model, options.images)
        percentiles = ", ".join(f"{value:.1f}" for value in np.percentile(ratios, [5, 50, 95]))
        seen = (ratios > DETECTED).mean()
        print(f"{model}: {seen:.0%} above {DETECTED:g}; 5th, 50th, 95th percentile {percentiles}")


if __name__ == "__main__":
    main()
