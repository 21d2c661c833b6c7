"""What the scaling of the input is worth: one small ResNet with the labels of model B.

    python experiments/input_scalings.py [--work DIR] [--seed N ...]

Each scaling is trained for 4 epochs on 4,000 images of each class less 5% for validation, and
tested on 1,000 others of each. A training whose row is in the table is skipped.

Columns of results/input_scalings.parquet:
    name        of the training, as in "whitened-50-256-0"
    scaling     of the input: min-max, asinh or whitened
    softening   where the asinh stretch turns, in units of the sky noise; NaN of min-max
    components  principal components that a whitened image keeps; 0 of others
    seed        of weights, views and order
    score       macro AUC over the test images
    record      JSON: "environment", and "metrics", all of them
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import lenssim
from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "input_scalings.parquet"
PAGE = RESULTS / "input_scalings.md"

MODEL = "B"
TRAIN, TEST, EPOCHS = 4000, 1000, 4
"""Images of each class, and passes over them."""

SCALINGS: tuple[tuple[str, float | None, int], ...] = (
    ("min-max", None, 0),
    ("asinh", 1, 0),
    ("asinh", 5, 0),
    ("asinh", 50, 0),
    ("whitened", 5, 256),
    ("whitened", 20, 256),
    ("whitened", 50, 256),
    ("whitened", 100, 256),
    ("whitened", 50, 64),
    ("whitened", 50, 1024),
)
"""Scaling, softening and components."""


def measured(data: Path, seed: int, scaling: str, softening: float | None, components: int) -> Any:
    """Metrics of one training.

    Args:
        data: archive.
        seed: of the run.
        scaling, softening, components: of the input, as in `SCALINGS`.
    """
    overrides = [f"data.scaling={scaling}"]
    if softening is not None:
        overrides.append(f"data.softening={softening}")
    if components:
        overrides.append(f"data.components={components}")
    options = {
        "data": str(data),
        "encoder": "test_resnet",
        "batch_size": 128,
        "finetune_epochs": EPOCHS,
        "lr": 4e-3,
        "precision": "bf16-mixed",
        "seed": seed,
        "overrides": overrides,
    }
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        training.train(config_from_options(options), run)
        metrics = score(run, out=Path(folder) / "scores")[1]
    del metrics["data"]["url"]  # a folder of this machine
    return metrics


def page() -> str:
    """The page of all trainings, Markdown: means over the seeds, and the spread between them."""
    table = pd.read_parquet(TABLE)
    first = next(iter(read_records(TABLE).values()))["metrics"]
    rows = []
    for scaling, softening, components in SCALINGS:
        known = (table["scaling"] == scaling) & (table["components"] == components)
        if softening is not None:
            known &= table["softening"] == softening
        scores = table.loc[known, "score"].to_numpy()
        if len(scores) == 0:
            continue
        spread = f" ± {np.std(scores, ddof=1):.4f}" if len(scores) > 1 else ""
        rows.append(
            [
                scaling,
                "" if softening is None else f"{softening:g}",
                components or "",
                f"{scores.mean():.4f}{spread}",
                len(scores),
            ]
        )
    headings = ["scaling", "softening, sky sigmas", "components", "macro AUC", "seeds"]
    about = (
        f"A small ResNet (370,000 weights), {EPOCHS} epochs of {first['n_train']:,} labelled "
        f"images of model {MODEL}, {first['n_test']:,} test images. Mean over seeds of weights, "
        "views and order, and the standard deviation between them. "
        "`python experiments/input_scalings.py`."
    )
    return f"# Scaling of the input\n\n{about}\n\n{markdown_table(headings, rows)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder of the archive, kept")
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = (options.work or Path(scratch)) / f"{MODEL}-{TRAIN}"
        lenssim.generate(MODEL, train=TRAIN, test=TEST, out=data)
        for seed in options.seed:
            for scaling, softening, components in SCALINGS:
                parts = [scaling, softening, components or None, seed]
                name = "-".join(str(part) for part in parts if part is not None)
                if name in read_records(TABLE):
                    continue
                where = environment(["torch", "timm", "lightning"])
                metrics = measured(data, seed, scaling, softening, components)
                columns = {
                    "scaling": scaling,
                    "softening": math.nan if softening is None else float(softening),
                    "components": components,
                    "seed": seed,
                    "score": metrics["macro_auc"],
                }
                add_record(TABLE, name, columns, {"environment": where, "metrics": metrics})
                with replacing(PAGE) as path:
                    path.write_text(page())
                print(name, f"{metrics['macro_auc']:.4f}", flush=True)


if __name__ == "__main__":
    main()
