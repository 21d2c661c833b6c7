"""Error of the fast engine at the corners of the range of sources that specifications allow.

    python benchmarks/compact_sources.py

Against `brute_force.py`, which shares no code with the engine; fluxes before the PSF, in units of
the noise, root-sum-square over an image. The systems of a corner are of all classes, in models A
and B: half of them where the model places the source, a quarter right behind the lens, which makes
rings, and a quarter further out, where the inner image is squeezed. Subhalos are at
least 1e8 solar masses, because the brute force takes a minute for all of them.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from brute_force import BruteForce

import lenssim
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import observation
from lenssim.rendering import engine

CORNERS = [
    (0.01, 0.3),
    (0.01, 1.0),
    (0.01, 8.0),
    (0.05, 1.0),
    (0.25, 0.3),
    (0.25, 4.0),
    (0.25, 8.0),
]
"""Half-light radius in arcsec and Sersic index; larger sources are smoother than 0.25 arcsec."""

PLACES = [
    (),
    ("source.x={uniform: [-0.02, 0.02]}", "source.y={uniform: [-0.02, 0.02]}"),
    (),
    ("source.x={uniform: [0.9, 1.6]}",),
]

NEGLIGIBLE = 1e-5
"""Flux in e-/s of a cell that the brute force leaves uncut: 1e-3 of the noise of a pixel."""


def error(job: tuple[float, float, int]) -> tuple[float, float]:
    """Error of one system in units of the noise, and of its total flux, which is relative.

    Relative to the lensed flux, or to the source's own where that is larger.
    """
    r_sersic, n_sersic, index = job
    name = lenssim.CLASSES[index // 2 % len(lenssim.CLASSES)]
    place = PLACES[index // 2 // len(lenssim.CLASSES) % len(PLACES)]
    sets = [f"source.r_sersic={r_sersic}", f"source.n_sersic={n_sersic}"]
    spec = lenssim.load_spec("AB"[index % 2], [*sets, "substructure.cdm.mass_min=1e8", *place])
    stream = lenssim.random_stream(0, spec.name, "train", name, index, "population")
    system = lenssim.draw_system(spec, name, stream)
    noise = observation.pixel_noise(spec.instrument)
    [image] = engine("fast")([system], spec, spec.sampling, noise)
    truth = BruteForce(system, spec.instrument.zero_point).pixel_fluxes(
        spec.instrument.num_pix, spec.instrument.pixel_scale, NEGLIGIBLE
    )
    difference = (image - truth) / observation.noise_sigma(truth, noise)
    unlensed = 10 ** (0.4 * (spec.instrument.zero_point - system.source_magnitude))
    flux_error = abs(image.sum() - truth.sum()) / max(truth.sum(), unlensed)
    return float(np.linalg.norm(difference)), float(flux_error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200, help="of each corner")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for r_sersic, n_sersic in CORNERS:
            jobs = [(r_sersic, n_sersic, index) for index in range(arguments.systems)]
            all_errors = np.array(list(pool.map(error, jobs)))
            values = [float(np.quantile(all_errors[:, 0], share)) for share in (0.5, 0.99, 1.0)]
            rows.append([r_sersic, n_sersic, *values, float(all_errors[:, 1].max())])
            print(*rows[-1], flush=True)
    headings = ["r_sersic", "n_sersic", "median", "99th percentile", "largest", "flux"]
    write(
        "compact_sources",
        "Error of pixel fluxes in units of the noise, root-sum-square over an image, of "
        f"{arguments.systems} systems a row; and the largest relative error of the total flux.",
        {
            "systems": arguments.systems,
            "rows": [dict(zip(headings, row, strict=True)) for row in rows],
        },
        markdown_table(headings, rows),
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
