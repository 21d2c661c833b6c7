r"""Whether the posterior of the axion mass that a network gives is right on B-wide.

    python experiments/mass_posterior.py --data DIR [--strong DIR] [--seeds 0 1 2]

DIR of --data is an archive of B-wide after `lenssim fit`, with 4,000 train and 1,000 test images a
class:

    lenssim generate --model B-wide --train 4000 --test 1000 --refit-snr test --out DIR
    lenssim fit DIR

That of --strong has vortices alone, three times as many, and the refit S/N of all:

    lenssim generate --model B-wide --class axion --refit-snr all --train 12000 --test 1000 \
        --out DIR
    lenssim fit DIR

A small ResNet learns a mixture density of the mass from images of axion vortices, from residual and
image, and keeps the epoch with the lowest validation loss. Of all test images and of those with a
refit S/N above 5, the page compares the error of the posterior's mean with the posterior's own
width, and its central intervals with how often the truth is inside. A posterior that is right for
all images need not be so for those of a large S/N: which they are depends on the mass. So a second
network learns from images of a refit S/N above 5 alone, which gives it their prior.

Columns of results/mass_posterior.parquet:
    name      of the run, as in "both-0", or "strong-both-0" of one that learned from strong images
    input     residual, or both residual and image
    seed      of the weights and the order
    ratio     RMSE of the mean over the rms width, refit S/N above 5
    record    JSON: figures of each set of images, with the environment
A run whose row is there is skipped.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kstest

from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.evaluation.testing import PREDICTIONS
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lensmodels.tasks.axion_mass_posterior import CLOSER, RANK
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "mass_posterior.parquet"
PAGE = RESULTS / "mass_posterior.md"

INPUTS = ("both", "residual")
EPOCHS = 24
LEVELS = (0.68, 0.95)
STRONG = "refit S/N > 5"
SETS = {"all images": 0.0, STRONG: 5.0}
"""Least refit S/N of each set of test images."""


def figures(table: pd.DataFrame, least: float) -> dict[str, float]:
    """Of the posteriors of the images of a table with a refit S/N above a value."""
    chosen = table[table["substructure_snr_refit"] > least]
    error = chosen["log10_mass"] - np.log10(chosen["axion_mass"])
    sigma = float(np.sqrt(np.mean(chosen["log10_mass_sigma"] ** 2)))
    inside = np.abs(2 * chosen[RANK] - 1)
    found = {
        "images": len(chosen),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "sigma": sigma,
        "rank_p_value": float(kstest(chosen[RANK], "uniform").pvalue),
        "tarp_p_value": float(kstest(chosen[CLOSER], "uniform").pvalue),
    }
    for level in LEVELS:
        found[f"inside {level:g}"] = float((inside <= level).mean())
    return found


def predicted(
    options: Mapping[str, Any], overrides: Sequence[str] = ()
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Trains a small ResNet with a mixture density, and tests it.

    Args:
        options: of `lensmodels train`, beside those that all runs share; with the archive, "data".
        overrides: settings as `--set` takes them.

    Returns:
        Predictions for the test images, and the metrics.
    """
    shared = {"encoder": "test_resnet", "task": "axion-mass", "batch_size": 64, "lr": 2e-3}
    settings = [
        "task.head=posterior",
        "data.validation_fraction=0.1",
        "best_epoch=true",
        "precision=bf16-mixed",
        *overrides,
    ]
    config = config_from_options({**shared, **options, "overrides": settings})
    with tempfile.TemporaryDirectory() as folder:
        run, out = Path(folder) / "run", Path(folder) / "test"
        training.train(config, run)
        _, metrics = score(run, options["data"], out=out)
        return pd.read_csv(out / PREDICTIONS), metrics


def measured(url: str, kind: str, seed: int, *, only_strong: bool) -> dict[str, Any]:
    """Figures of one run, by the set of images that its prior is of."""
    options = {"data": url, "input": kind, "finetune_epochs": EPOCHS, "seed": seed}
    overrides = ["data.scaling=asinh", "data.softening=20"]
    if only_strong:
        overrides.append(f"data.min_refit_snr={SETS[STRONG]}")
    table, _ = predicted(options, overrides)
    wanted = [STRONG] if only_strong else list(SETS)
    return {name: figures(table, SETS[name]) for name in wanted}


def page() -> str:
    """The table as Markdown, a row for each run and set of images."""
    rows = [
        [
            name,
            images,
            of["images"],
            f"{of['rmse']:.3f}",
            f"{of['sigma']:.3f}",
            f"{of['rmse'] / of['sigma']:.2f}",
            *(f"{of[f'inside {level:g}']:.1%}" for level in LEVELS),
            f"{of['rank_p_value']:.2g}, {of['tarp_p_value']:.2g}",
        ]
        for name, record in read_records(TABLE).items()
        for images, of in record["figures"].items()
    ]
    headings = [
        "run",
        "test images",
        "number",
        "RMSE of the mean, dex",
        "rms width, dex",
        "ratio",
        *(f"inside {level:.0%}" for level in LEVELS),
        "p-values: ranks, TARP",
    ]
    return (
        "# Posterior of the axion mass on B-wide\n\nA small ResNet with a mixture density, 4,000 "
        f"images of vortices less 10% for validation, {EPOCHS} epochs at most; a run is an input "
        "and a seed. The p-values are of ranks and TARP credibilities being uniform, as those of a "
        "right posterior are. A run named strong learned from images with a refit S/N above 5 "
        "alone, 4,192 of 10,800; the others do not know of a selection by S/N, and their prior "
        "among strong images is that of all. By `python experiments/mass_posterior.py --data DIR "
        "--strong DIR`.\n\n" + markdown_table(headings, rows) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--strong", help="archive of vortices with the refit S/N of all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    where = environment(["torch", "timm", "lightning"])
    runs = [("", options.data, kind) for kind in INPUTS]
    if options.strong is not None:
        runs.append(("strong-", options.strong, "both"))
    for seed in options.seeds:
        for prefix, url, kind in runs:
            name = f"{prefix}{kind}-{seed}"
            if name in read_records(TABLE):
                continue
            found = measured(url, kind, seed, only_strong=bool(prefix))
            strong = found[STRONG]
            columns = {"input": kind, "seed": seed, "ratio": strong["rmse"] / strong["sigma"]}
            add_record(TABLE, name, columns, {"environment": where, "figures": found})
            with replacing(PAGE) as scratch:
                scratch.write_text(page())
    print(page())


if __name__ == "__main__":
    main()
