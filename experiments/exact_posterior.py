"""A network's posterior of the axion mass beside the exact one, image by image, on A and B.

    python experiments/exact_posterior.py --data DIR [--images 100]   # DIR/A and DIR/B

In models A and B the angle of the vortex and the position of the source are all that is unknown
besides the mass, so that the posterior of an image can be computed: over a grid of mass and angle,
with the source marginalised to first order (information.py), from the image as it is in the
archive, noise included. DIR/MODEL is an archive with 4,000 train images a class or more. A small
ResNet with a mixture density learns from its vortices, and both posteriors are compared on the
first test images whose mass is above 10^-23.5 eV; below, the exact one is narrower than a grid.

Columns of results/exact_posterior.parquet, one row an image:
    name              model and index of the test image
    model, log10_mass    the true mass, log10(m / eV)
    exact_mean, exact_sigma, exact_rank    of the exact posterior; the rank is that of the truth
    mean, sigma, rank    of the network's
    record            JSON: "metrics" of the network's test, "environment"
A model whose rows are there is skipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from information import ANGLES, STEP_OF_GRID, signals_of
from mass_posterior import predicted
from numpy.typing import NDArray

from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.tasks.axion_mass_posterior import RANK
from lenssim import (
    LensSystem,
    Specification,
    draw_system,
    load_spec,
    open_archive,
    random_stream,
)

TABLE = Path(__file__).with_name("results") / "exact_posterior.parquet"
MODELS = ("A", "B")
LEAST, MOST = -23.5, -22.0
"""log10(m / eV) of the images that are compared."""

GRID_FROM = -23.75
"""The grid begins below the images, so that none is cut off."""

EPOCHS = 48
LEVELS = (0.68, 0.95)
FloatArray = NDArray[np.float64]


def exact(
    system: LensSystem, image: FloatArray, spec: Specification
) -> tuple[FloatArray, FloatArray]:
    """The posterior of log10(m / eV) of an image of a system.

    Args:
        system: that the image is of; its vortex is not used.
        image: e-/s, (y, x).
        spec: of the image.

    Returns:
        Grid of log10(m / eV), (m,), and the probability of each, (m,).
    """
    grid = np.arange(GRID_FROM, MOST + 1e-9, STEP_OF_GRID)
    angles = np.arange(ANGLES) * np.pi / ANGLES
    rows = signals_of(system, spec, grid, angles, seen=[image])
    data, signals = rows[0], rows[1:]
    logarithm = signals @ data - 0.5 * np.einsum("ij,ij->i", signals, signals)
    likelihood = np.exp(logarithm - logarithm.max()).reshape(len(grid), len(angles)).sum(axis=1)
    return grid, likelihood / likelihood.sum()


def learned(url: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of a network for the test images of an archive, and its metrics."""
    table, metrics = predicted({"data": url, "finetune_epochs": EPOCHS})
    del metrics["data"]["url"]  # a folder of this machine
    return table, metrics


def compare(model: str, url: str, count: int) -> None:
    """Adds the rows of a model."""
    spec, archive = load_spec(model), open_archive(url)
    table, metrics = learned(url)
    test = archive.dataset("test", "axion")
    masses = np.log10(test["axion_mass"].values)
    chosen = np.flatnonzero((masses > LEAST) & (masses < MOST))[:count]
    where = environment(["torch", "timm", "lightning"])
    of_image = table.set_index("sample")
    for index in chosen:
        stream = random_stream(archive.manifest.seed, model, "test", "axion", index, "population")
        system = draw_system(spec, "axion", stream)
        if not np.isclose(system.axion_mass, test["axion_mass"].values[index], rtol=1e-5):
            raise ValueError(f"{url} was not made from {model} as it is now")
        grid, posterior = exact(system, test["image"][index].values.astype(float), spec)
        mean = float(posterior @ grid)
        row = of_image.loc[index]
        columns = {
            "model": model,
            "log10_mass": float(masses[index]),
            "exact_mean": mean,
            "exact_sigma": float(np.sqrt(posterior @ (grid - mean) ** 2 + STEP_OF_GRID**2 / 12)),
            "exact_rank": float(
                np.interp(masses[index], grid + STEP_OF_GRID / 2, np.cumsum(posterior))
            ),
            "mean": float(row["log10_mass"]),
            "sigma": float(row["log10_mass_sigma"]),
            "rank": float(row[RANK]),
        }
        record = columns | {"metrics": metrics, "environment": where}
        add_record(TABLE, f"{model}-{index}", columns, record)


def page() -> str:
    """The table as Markdown: a row a model and posterior."""
    table = pd.read_parquet(TABLE)
    rows = []
    for model, images in table.groupby("model"):
        for title, stem in (("exact", "exact_"), ("network", "")):
            error = images[f"{stem}mean"] - images["log10_mass"]
            inside = np.abs(2 * images[f"{stem}rank"] - 1)
            rows.append(
                [
                    model,
                    title,
                    len(images),
                    f"{np.sqrt(np.mean(error**2)):.3f}",
                    f"{np.sqrt(np.mean(images[f'{stem}sigma'] ** 2)):.3f}",
                    *(f"{np.mean(inside <= level):.0%}" for level in LEVELS),
                ]
            )
        apart = (images["mean"] - images["exact_mean"]) / images["exact_sigma"]
        wider = images["sigma"] / images["exact_sigma"]
        rows.append(
            [
                model,
                f"network less exact: means differ by {np.sqrt(np.mean(apart**2)):.2f} exact "
                f"widths (rms); the width is {np.median(wider):.2f} times the exact one (median)",
                *[""] * (3 + len(LEVELS)),
            ]
        )
    headings = ["model", "posterior", "images", "RMSE of the mean, dex", "rms width, dex"]
    headings += [f"inside {level:.0%}" for level in LEVELS]
    return (
        "# The exact posterior of the axion mass, and a network's\n\nOf the same test images of "
        f"models A and B with masses above 10^{LEAST:g} eV. The network is a small ResNet with a "
        f"mixture density, {EPOCHS} epochs at most of the vortices of an archive with 4,000 of "
        "them. By `python experiments/exact_posterior.py --data DIR`.\n\n"
        + markdown_table(headings, rows)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the archives")
    parser.add_argument("--images", type=int, default=100, help="of each model")
    given = parser.parse_args()
    for model in MODELS:
        known = {record["model"] for record in read_records(TABLE).values()}
        if model not in known:
            compare(model, str(given.data / model), given.images)
    text = page()
    TABLE.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
