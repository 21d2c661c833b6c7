"""What a network is shown of the images of B-wide, and how well it then tells the classes.

    python experiments/wide_inputs.py --data DIR [--seeds 0 1 2] [--runs inputs long few]

DIR is an archive of B-wide after `lenssim fit`, with 4,000 train and 1,000 test images a class:

    lenssim generate --model B-wide --train 4000 --test 1000 --refit-snr test --out DIR
    lenssim fit DIR

A small ResNet is trained with all labels for 8 epochs, and on the best input for 24, too, tested
with the mean over the eight symmetries of each image ("long"). With 100 labels a class it has as
many steps as in the grid `wide`, and is tested with and without that mean ("few"). The row "bound"
is what a classifier has at most that knows the pattern of the substructure
(lensmodels/evaluation/detection_bound.py).

Columns of results/wide_inputs.parquet:
    name      of the run, as in "both-asinh-0" or "both-asinh-long-0"
    input     image, residual of the smooth fit, or both as two channels
    scaling   of the image or the residual
    seed      of the weights and the order
    score     macro AUC over all test images
    record    JSON: all metrics, with the environment
A run whose row is there is skipped.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.evaluation.detection_bound import detection_bound
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lenssim import open_archive
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "wide_inputs.parquet"
PAGE = RESULTS / "wide_inputs.md"

INPUTS = (
    ("image", "asinh", 5),
    ("image", "whitened", 50),
    ("residual", "asinh", 20),
    ("residual", "whitened", 50),
    ("both", "whitened", 50),
    ("both", "asinh", 20),
)
"""Input, its scaling, and where the stretch turns in units of the noise."""

EPOCHS, LONG_EPOCHS = 8, 24
LONG = ("both", "asinh", 20)
FEW = (("residual", "asinh", 20), ("both", "asinh", 20))
FEW_LABELS, FEW_EPOCHS = 0.0264, 134
"""Share of the labels, 100 a class, and epochs of three steps: 402 steps."""

RUNS = ("inputs", "long", "few")
"""Kinds of runs, see above."""

SHOWN = ((0.0, "all"), (5.0, "all"), (10.0, "cdm"), (10.0, "axion"))
"""Least refit S/N and class of the scores on the page."""


def measured(
    url: str,
    kind: str,
    scaling: str,
    softening: int,
    seed: int,
    *,
    epochs: int = EPOCHS,
    labels: float = 1.0,
    averages: Sequence[bool] = (False,),
) -> list[dict[str, Any]]:
    """Metrics of one run, for each of some ways to test it.

    Args:
        url: archive.
        kind, scaling, softening: of the input.
        seed: of the run.
        epochs: of the training.
        labels: share of them.
        averages: whether to take the mean over the symmetries of each image, in each test.
    """
    overrides = [f"data.scaling={scaling}", f"data.softening={softening}", "precision=bf16-mixed"]
    options = {
        "data": url,
        "input": kind,
        "encoder": "test_resnet",
        "batch_size": 128,
        "finetune_epochs": epochs,
        "labels": labels,
        "lr": 4e-3,
        "seed": seed,
        "overrides": overrides,
    }
    config = config_from_options(options)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        training.train(config, run)
        found = [score(run, url, average_symmetries=average)[1] for average in averages]
    for metrics in found:
        del metrics["data"]["url"]  # a folder of this machine
    return found


def bound(url: str) -> list[dict[str, Any]]:
    """The bound on the scores of an archive's test images."""
    archive = open_archive(url)
    snr = {
        name: archive.dataset("test", name)["substructure_snr_refit"].values.astype(float)
        for name in ("axion", "cdm")
    }
    return detection_bound(snr)


def _macro(rows: list[dict[str, Any]]) -> float:
    """Macro AUC of all images."""
    [found] = (row["auc"] for row in rows if (row["above"], row["class"]) == (0.0, "all"))
    return float(found)


def page() -> str:
    """The table as Markdown: means over the seeds, and the spread between them."""
    rows = []
    records = read_records(TABLE)
    kinds: list[tuple[str, str, int, str, str, str]] = [
        (*each, "", "metrics", "") for each in INPUTS
    ]
    kinds.append((*LONG, "-long", "metrics", f", {LONG_EPOCHS} epochs, symmetries averaged"))
    for each in FEW:
        kinds.append((*each, "-few", "metrics", ", 100 labels a class"))
        kinds.append((*each, "-few", "averaged", ", 100 labels a class, symmetries averaged"))
    for kind, scaling, softening, mark, key, how in kinds:
        found = [
            record[key]
            for name, record in records.items()
            if name.rpartition("-")[0] == f"{kind}-{scaling}{mark}"
        ]
        if not found:
            continue
        cells = []
        for above, name in SHOWN:
            values = [
                row["auc"]
                for metrics in found
                for row in metrics["auc_above_snr"]
                if (row["above"], row["class"]) == (above, name)
            ]
            spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.3f}{spread}")
        rows.append([kind, f"{scaling}, {softening}{how}", len(found), *cells])
    if "bound" in records:
        auc = {(row["above"], row["class"]): row["auc"] for row in records["bound"]["bound"]}
        rows.append(["bound", "", "", *(f"{auc[key]:.3f}" for key in SHOWN)])
    headings = ["input", "scaling, softening", "runs"]
    headings += [
        f"{'macro AUC' if name == 'all' else f'{name} against no_sub'}"
        + (f", refit S/N > {above:g}" if above else ", all images")
        for above, name in SHOWN
    ]
    return (
        "# Inputs of a network for B-wide\n\nA small ResNet (370,000 weights), 4,000 labelled "
        f"images a class less 5% for validation, {EPOCHS} epochs; 1,000 test images a class. Mean "
        "over runs that differ in their seed, and the standard deviation between them. Of two "
        "channels, the scaling is that of the residual; the image has an asinh stretch. The bound "
        "is what a classifier has at most that knows the pattern of each image's substructure. By "
        "`python experiments/wide_inputs.py`.\n\n" + markdown_table(headings, rows) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    options = parser.parse_args()
    where = environment(["torch", "timm", "lightning"])
    limit = bound(options.data)
    columns = {"input": "bound", "scaling": "", "seed": -1, "score": _macro(limit)}
    add_record(TABLE, "bound", columns, {"environment": where, "bound": limit})
    for seed in options.seeds:
        for kind, scaling, softening in reversed(INPUTS if "inputs" in options.runs else ()):
            name = f"{kind}-{scaling}-{seed}"
            if name not in read_records(TABLE):
                found = measured(options.data, kind, scaling, softening, seed)
                _add(name, seed, {"metrics": found[0]}, where)
        kind, scaling, softening = LONG
        name = f"{kind}-{scaling}-long-{seed}"
        if "long" in options.runs and name not in read_records(TABLE):
            found = measured(options.data, *LONG, seed, epochs=LONG_EPOCHS, averages=(True,))
            _add(name, seed, {"metrics": found[0]}, where)
        for kind, scaling, softening in FEW if "few" in options.runs else ():
            name = f"{kind}-{scaling}-few-{seed}"
            if name not in read_records(TABLE):
                found = measured(
                    options.data, kind, scaling, softening, seed,
                    epochs=FEW_EPOCHS, labels=FEW_LABELS, averages=(False, True),
                )  # fmt: skip
                _add(name, seed, {"metrics": found[0], "averaged": found[1]}, where)
    _write_page()
    print(page())


def _add(name: str, seed: int, found: dict[str, Any], where: dict[str, Any]) -> None:
    kind, scaling = name.split("-")[:2]
    columns = {"input": kind, "scaling": scaling, "seed": seed}
    columns["score"] = found["metrics"]["macro_auc"]
    add_record(TABLE, name, columns, {"environment": where, **found})
    _write_page()


def _write_page() -> None:
    with replacing(PAGE) as scratch:
        scratch.write_text(page())


if __name__ == "__main__":
    main()
