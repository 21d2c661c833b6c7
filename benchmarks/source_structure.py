"""Shapelets beside the Sersic source of a fit: what they mend, and what they take away.

    python benchmarks/source_structure.py [--images 12]

Two sets of images of B-wide, fitted with shapelets up to some orders: no_sub images whose source is
a picture, an inclined disc with eight clumps, which no Sersic ellipse describes; and cdm images of
Sersic sources whose substructure has a refit S/N of 30 or more, so that chi-square asks for more
than the Sersic source, which may then take the substructure for its own. What is left of the
substructure is chi-square in excess of its expectation, over that of the Sersic fit.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import load_spec
from lenssim.lens_fit.image_fit import FitSettings, ImageFit, fit_image
from lenssim.simulation import Simulation, simulate
from lenssim.spec import Specification

ORDERS = (0, 4, 8, 12)
GALAXIES, CLUMPS = 24, 8
STRONG = 30.0
BY_CHANCE = 5.0
"""Standard deviations of chi-square."""


def write_galaxies(folder: Path) -> None:
    """Pictures of inclined discs with clumps."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[-40:41, -40:41]
    for number in range(GALAXIES):
        picture = np.exp(-np.hypot(x, 1.5 * y) / 5)
        for _ in range(CLUMPS):
            left, low = generator.normal(0, 6, 2)
            picture += 0.3 * np.exp(-((x - left) ** 2 + (y - low) ** 2) / 8)
        np.save(folder / f"{100 + number}.npy", picture)


def fitted(
    simulations: list[Simulation], spec: Specification, order: int
) -> tuple[list[ImageFit], float]:
    """Fits of some images, and the median of their processor time, s."""
    fits, times = [], []
    for simulation in simulations:
        start = time.process_time()
        fits.append(
            fit_image(
                simulation.image,
                spec,
                psf_fwhm=simulation.system.psf_fwhm,
                settings=FitSettings(source_order=order),
            )
        )
        times.append(time.process_time() - start)
    return fits, float(np.median(times))


def excess(fits: list[ImageFit], size: int) -> NDArray[np.float64]:
    """Chi-square above its expectation, (n,)."""
    return np.array([(fit.reduced_chi_square - 1.0) * (size - fit.free) for fit in fits])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12, help="of each set")
    count = parser.parse_args().images
    wide = load_spec("B-wide")
    size = wide.instrument.num_pix**2
    with tempfile.TemporaryDirectory() as folder:
        write_galaxies(Path(folder))
        clumpy = load_spec("B-wide", [f"source.images={{folder: {folder}, pixel_scale: 0.03}}"])
        discs = [simulate(clumpy, "no_sub", index, split="test") for index in range(count)]
    strong: list[Simulation] = []
    index = 0
    while len(strong) < count:
        found = simulate(wide, "cdm", index, split="test")
        if found.substructure_snr_refit > STRONG:
            strong.append(found)
        index += 1
    figures: dict[str, Any] = {}
    rows = []
    sersic: NDArray[np.float64] | None = None
    for order in ORDERS:
        of_discs, seconds = fitted(discs, clumpy, order)
        of_strong, _ = fitted(strong, wide, order)
        reduced = np.array([fit.reduced_chi_square for fit in of_discs])
        off = [
            fit.parameters["lens_theta_e"] - simulation.system.lens_theta_e
            for fit, simulation in zip(of_discs, discs, strict=True)
        ]
        left = excess(of_strong, size)
        sersic = left if sersic is None else sersic
        row = {
            "order": order,
            "reduced_chi_square": float(np.median(reduced)),
            "by_chance": float(np.mean(reduced < 1.0 + BY_CHANCE * math.sqrt(2.0 / size))),
            "theta_e_rms": float(np.sqrt(np.mean(np.square(off)))),
            "seconds": seconds,
            "substructure_left": float(np.median(left / sersic)),
        }
        figures[str(order)] = row
        rows.append(
            [
                order,
                f"{row['reduced_chi_square']:.2f}",
                f"{row['by_chance']:.0%}",
                f"{row['theta_e_rms']:.4f}",
                f"{row['seconds']:.2f}",
                f"{row['substructure_left']:.0%}",
            ]
        )
        print(row, flush=True)
    headings = [
        "order", "reduced chi-square (median)", "by chance", 'theta_E, rms error, "',
        "processor time, s", "substructure left (median)",
    ]  # fmt: skip
    write(
        "source_structure",
        f"Fits with shapelets of up to an order beside the Sersic source: {count} discs with "
        "clumps behind B-wide lenses without substructure; and what is left of the chi-square of "
        f"substructure in {count} cdm images of B-wide with a refit S/N above {STRONG:g}.",
        figures,
        markdown_table(headings, rows),
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
