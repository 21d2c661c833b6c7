"""Error of the fast engine, and of lenstronomy, in units of the noise, PSF included.

Noise-free images of random systems of every specification 2.0.0 and class. An error is the
root-sum-square over an image of (image - truth) / sigma. The truth (equal_error.py) is a grid of
16 sub-pixels a pixel, or 32 where the PSF is narrow or subhalos are points, convolved there.

lenstronomy is measured on the first of these systems only: one image of B-wide's subhalos with 8x8
sub-samples takes it some ten seconds.

Runs in parts: --models and --classes choose, and the rows that earlier runs measured stay. A row is
written as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from equal_error import distance, fast_image, lenstronomy_with_psf, true_image

from lensmodels.reporting.measurements import results_folder, write
from lensmodels.reporting.tables import markdown_table
from lenssim import CLASSES, load_spec
from lenssim.population import random_stream
from lenssim.simulation import draw_system

MODELS = ("A", "B", "A-wide", "B-wide", "B-faithful")
OURS = "fast"
SUBSAMPLES = (4, 8)
"""Sub-samples of lenstronomy along each side of a pixel."""


def peer_name(subsamples: int) -> str:
    return f"lenstronomy {subsamples}x{subsamples}"


def errors(model: str, name: str, peers: int, index: int) -> dict[str, float]:
    """Errors of one random system, by engine; of lenstronomy for the first `peers` only."""
    spec = load_spec(model)
    system = draw_system(spec, name, random_stream(1, model, "test", name, index, "population"))
    truth = true_image(system, spec)
    found = {OURS: distance(fast_image(system, spec), truth, spec)}
    if index < peers:
        for subsamples in SUBSAMPLES:
            image = lenstronomy_with_psf(system, spec, subsamples)
            found[peer_name(subsamples)] = distance(image, truth, spec)
    return found


def measured(
    pool: ProcessPoolExecutor, model: str, name: str, systems: int, peers: int
) -> dict[str, Any]:
    """Errors of a model and a class over its systems: median, 99th percentile and largest."""
    found = list(pool.map(partial(errors, model, name, peers), range(systems)))
    row: dict[str, Any] = {
        "model": model,
        "class": name,
        "systems": systems,
        "systems of lenstronomy": peers,
    }
    for key in found[0]:
        values = [system[key] for system in found if key in system]
        row[key] = {
            "median": float(np.median(values)),
            "p99": float(np.quantile(values, 0.99)),
            "max": float(np.max(values)),
        }
    return row


def cell(row: dict[str, Any], key: str) -> str:
    """Median and worst: the 99th percentile of many systems, the largest of a few."""
    worst = "p99" if key == OURS else "max"
    return f"{row[key]['median']:.2f} / {row[key][worst]:.2f}"


def save(rows: list[dict[str, Any]]) -> None:
    """Writes the table of rows, in the order of the models and classes."""
    pairs = [(model, name) for model in MODELS for name in CLASSES]
    rows = sorted(rows, key=lambda row: pairs.index((row["model"], row["class"])))
    columns = (OURS, *map(peer_name, SUBSAMPLES))
    headings = [
        "model",
        "class",
        "systems",
        "error of lenssim",
        *(f"of {peer}" for peer in columns[1:]),
    ]
    cells = [
        [row["model"], row["class"], row["systems"], *(cell(row, column) for column in columns)]
        for row in rows
    ]
    write(
        "accuracy",
        "Error in units of sigma, root-sum-square over an image, PSF included: median / 99th "
        "percentile of random systems; of lenstronomy median / largest of the first few.",
        rows,
        markdown_table(headings, cells),
        ["numpy", "numba", "lenstronomy"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=200, help="random systems of each class")
    parser.add_argument("--peers", type=int, default=6, help="of these by lenstronomy as well")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--classes", nargs="+", default=CLASSES)
    arguments = parser.parse_args()
    stored = results_folder() / "accuracy.json"
    rows = json.loads(stored.read_text())["figures"] if stored.exists() else []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for model in arguments.models:
            for name in arguments.classes:
                row = measured(pool, model, name, arguments.systems, arguments.peers)
                print(row, flush=True)
                others = [old for old in rows if (old["model"], old["class"]) != (model, name)]
                rows = [*others, row]
                save(rows)


if __name__ == "__main__":
    main()
