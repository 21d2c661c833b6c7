"""Error of the fast engine at the corners of the range of sources that specifications allow.

    python benchmarks/compact_sources.py --systems 200    # an hour or more, on one core

Against `brute_force.py`, which shares no code with the engine; fluxes before the PSF, in units of
the noise, root-sum-square over an image. Systems of a class are those of an archive with seed 0.
"""

from __future__ import annotations

import argparse

import numpy as np
from brute_force import BruteForce

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import observation
from lenssim.rendering import engine

CORNERS = [(r, n) for r in (0.01, 0.05, 0.25) for n in (0.3, 1.0, 4.0, 8.0)]
"""Half-light radius in arcsec and Sersic index; larger sources are smoother than 0.25 arcsec."""

NEGLIGIBLE = 1e-6
"""Flux in e-/s of a cell that the brute force leaves uncut, far below the noise of a pixel."""


def errors(model: str, name: str, r_sersic: float, n_sersic: float, systems: int) -> np.ndarray:
    """Error of each of some systems, in units of the noise, (systems,)."""
    sets = [f"source.r_sersic={r_sersic}", f"source.n_sersic={n_sersic}"]
    spec = lenssim.load_spec(model, sets)
    noise = observation.pixel_noise(spec.instrument)
    found = []
    for index in range(systems):
        stream = lenssim.random_stream(0, spec.name, "train", name, index, "population")
        system = lenssim.draw_system(spec, name, stream)
        [image] = engine("fast")([system], spec, spec.sampling, noise)
        truth = BruteForce(system, spec.instrument.zero_point).pixel_fluxes(
            spec.instrument.num_pix, spec.instrument.pixel_scale, NEGLIGIBLE
        )
        sigma = np.sqrt(noise.background_variance + truth / noise.exposure_time)
        found.append(np.linalg.norm((image - truth) / sigma))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200, help="of each class and corner")
    parser.add_argument("--models", nargs="+", default=["A", "B"])
    parser.add_argument("--classes", nargs="+", default=list(lenssim.CLASSES))
    arguments = parser.parse_args()
    rows = []
    for model in arguments.models:
        for name in arguments.classes:
            for r_sersic, n_sersic in CORNERS:
                found = errors(model, name, r_sersic, n_sersic, arguments.systems)
                values = np.median(found), np.quantile(found, 0.99), found.max()
                rows.append([model, name, r_sersic, n_sersic, *map(float, values)])
                print(*rows[-1], flush=True)
    headings = ["model", "class", "r_sersic", "n_sersic", "median", "99th percentile", "largest"]
    write(
        "compact_sources",
        f"Error of pixel fluxes in units of the noise, root-sum-square over an image, of "
        f"{arguments.systems} systems a row.",
        {
            "systems": arguments.systems,
            "rows": [dict(zip(headings, row, strict=True)) for row in rows],
        },
        markdown_table(headings, rows),
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
