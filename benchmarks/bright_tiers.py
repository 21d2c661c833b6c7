"""What the images of the models tell of their substructure, and how much of it is in the ring.

    python benchmarks/bright_tiers.py

S/N of the substructure after every parameter of the smooth lens and the source is refitted, by
which the source magnitudes of the wide models are chosen; and the mass of the substructure inside
the Einstein radius, as a share of all mass there. The cards of the models quote the results.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import load_spec
from lenssim.population.ring import substructure_ring_mean
from lenssim.simulation import simulate_many
from lenssim.spec import SubstructureClass

SEED = 11
DETECTED = 5.0
"""Refit S/N above which the substructure of an image counts as seen."""

MODELS = ("A", "B", "A-wide", "B-wide", "B-faithful")
WITH_SUBSTRUCTURE: tuple[SubstructureClass, ...] = ("cdm", "axion")
PERCENTILES = (5, 25, 50, 75, 95)
BATCH = 10


def measure_images(model: str, name: SubstructureClass, first: int) -> list[tuple[float, float]]:
    """Refit S/N and share of the substructure inside theta_0 of `BATCH` test images."""
    spec = load_spec(model)
    indices = range(first, first + BATCH)
    return [
        (
            each.substructure_snr_refit,
            # of a round ring, the mean radial deflection is the mass inside, over theta_0
            substructure_ring_mean(each.system) / each.system.smooth_theta_e,
        )
        for each in simulate_many(spec, SEED, "test", name, indices)
    ]


def main() -> None:
    """Measures the models and writes results/bright_tiers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--images", type=int, default=250, help="of each class")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    records, rows = [], []
    with ProcessPoolExecutor(options.workers) as pool:
        for model in options.models:
            spec = load_spec(model)
            for name in WITH_SUBSTRUCTURE:
                batches = pool.map(
                    partial(measure_images, model, name), range(0, options.images, BATCH)
                )
                snr, inside = np.array([each for batch in batches for each in batch]).T
                record = {
                    "model": model,
                    "version": spec.version,
                    "spec_sha256": spec.sha256,
                    "class": name,
                    "images": len(snr),
                    "above_5": float((snr > DETECTED).mean()),
                    "refit_snr": np.percentile(snr, PERCENTILES).tolist(),
                    "f_sub_inside": np.percentile(inside, PERCENTILES).tolist(),
                }
                records.append(record)
                rows.append(
                    [
                        model,
                        name,
                        len(snr),
                        f"{record['above_5']:.0%}",
                        ", ".join(f"{value:.1f}" for value in record["refit_snr"]),
                        ", ".join(f"{value:.2g}" for value in record["f_sub_inside"]),
                    ]
                )
                print(*rows[-1], flush=True)
    write(
        "bright_tiers",
        "S/N of the substructure after a refit of the smooth lens and the source, and its mass "
        "inside the Einstein radius as a share of all mass there: 5th, 25th, 50th, 75th and 95th "
        "percentiles of test images.",
        records,
        markdown_table(
            ["model", "class", "images", "S/N above 5", "refit S/N", "share of the mass"], rows
        ),
        ["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
