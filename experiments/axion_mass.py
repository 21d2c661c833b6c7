"""What helps a network to measure the axion mass: one small ResNet, one change at a time.

    python experiments/axion_mass.py [--work DIR] [--run NAME ...]

Each run learns from 10,000 images of vortices of model B and is tested on 2,000. A run whose row is
in the table is skipped, one that was cut short continues. The images are simulated when they are
first needed. --quick is a rehearsal in a minute, which is not kept.

Columns of results/axion_mass.parquet:
    name      of the run
    epochs    of the training
    minutes   that it took
    score     root mean square error in dex over the test images
    record    JSON: "environment", and "figures" with settings, metrics and their intervals
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import lenssim
from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.evaluation.information import information_limit
from lensmodels.reporting import plots, style
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.run_plots import save
from lensmodels.reporting.tables import format_interval, markdown_table
from lensmodels.settings import config_from_options
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "axion_mass.parquet"
PAGE = RESULTS / "axion_mass.md"
PICTURE = RESULTS / "axion_mass.png"
PACKAGES = ["torch", "timm", "lightning", "scikit-learn"]

MODEL = "B"
ANY_ANGLE = "finetune_views=[{angle: 45, symmetry: any}]"
RUNS: dict[str, tuple[str, list[str]]] = {
    "plain": ("turned by right angles, no whitening", ["data.scaling=asinh"]),
    "whitened": ("turned by right angles", []),
    "any-angle": ("turned by any angle", [ANY_ANGLE]),
    "quadrupole": (
        "turned by any angle, quadrupole as a second target",
        [ANY_ANGLE, "task.quadrupole=1"],
    ),
}
"""Of each run, what it is in words and the settings that make it."""


def measured(name: str, work: Path, quick: bool) -> dict[str, Any]:
    """Trains and tests a run.

    Args:
        name: of the run.
        work: folder of archive and runs.
        quick: whether this is a rehearsal.
    """
    train, test = (200, 60) if quick else (10_000, 2000)
    data = work / f"axions-{train}"
    lenssim.generate(MODEL, ["axion"], train=train, test=test, out=data)
    options = {
        "data": str(data),
        "task": "axion-mass",
        "encoder": "test_resnet",
        "batch_size": 32 if quick else 128,
        "finetune_epochs": 1 if quick else 60,
        "lr": 4e-3,
        "precision": "bf16-mixed",
        "seed": 0,
        # all images are trained on but for a few that the log is drawn from
        "overrides": ["data.validation_fraction=0.02", *RUNS[name][1]],
    }
    config = config_from_options(options)
    run = work / "runs" / (f"{name}-quick" if quick else name)
    begun = time.perf_counter()
    training.train(config, run, resume=True)
    minutes = (time.perf_counter() - begun) / 60
    with tempfile.TemporaryDirectory() as folder:
        scores = [
            score(run, out=Path(folder) / str(average), average_symmetries=average)[1]
            for average in (False, True)
        ]
    for metrics in scores:
        del metrics["data"]["url"]  # a folder of this machine
    return {
        "about": RUNS[name][0],
        "epochs": config.finetune.epochs,
        "minutes": minutes,
        "metrics": scores[0],
        "metrics_of_averages": scores[1],
    }


def columns(figures: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table that are not in its record alone."""
    return {
        "epochs": figures["epochs"],
        "minutes": figures["minutes"],
        "score": figures["metrics"]["rmse_dex"],
    }


def in_order(records: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Measurements of the runs of the table, in the order of `RUNS`."""
    return [records[name]["figures"] for name in RUNS if name in records]


def page(records: dict[str, dict[str, Any]]) -> str:
    """The page of all runs, Markdown."""
    runs = in_order(records)
    first = runs[0]["metrics"]
    limit = information_limit(first["data"]["spec_sha256"])
    low, high = first["by_mass"][0]["low"], first["by_mass"][-1]["high"]
    rows = []
    for figures in runs:
        metrics, averaged = figures["metrics"], figures["metrics_of_averages"]
        rows.append(
            [
                figures["about"],
                f"{metrics['rmse_dex']:.3f} ({format_interval(metrics['ci95']['rmse_dex'], 3)})",
                f"{metrics['resolved']['rmse_dex']:.3f}",
                f"{averaged['rmse_dex']:.3f}",
                f"{averaged['resolved']['rmse_dex']:.3f}",
            ]
        )
    if limit:
        best = [f"{limit.rms_limit(low, end):.3f}" for end in (high, -23.0)]
        rows.append(["posterior mean over the whole prior", *best, *best])
    by_mass = []
    for number, interval in enumerate(first["by_mass"]):
        ends = interval["low"], interval["high"]
        errors = [f"{run['metrics']['by_mass'][number]['rmse_dex']:.3f}" for run in runs]
        best = [f"{limit.rms_limit(*ends):.3f}"] if limit else []
        by_mass.append([f"{ends[0]:.2f} to {ends[1]:.2f}", *errors, *best])
    parts = [
        "# The axion mass from labelled images",
        f"Root mean square error of log10(m / eV), dex, on {first['n_test']:,} vortices of model "
        f"{MODEL}; {first['n_train']:,} to learn from, {runs[0]['epochs']} epochs of a small "
        "ResNet (370,000 weights), whitened images unless said otherwise, one run each. The "
        "interval is over test images. `python experiments/axion_mass.py`.",
        markdown_table(
            [
                "network",
                "all masses",
                "below 1e-23 eV",
                "mean over symmetries, all masses",
                "below 1e-23 eV",
            ],
            rows,
        ),
        markdown_table(
            [
                "log10(m / eV)",
                *(run["about"] for run in runs),
                *(["posterior mean over the whole prior"] if limit else []),
            ],
            by_mass,
        ),
        f"![Error by mass, with the Cramér-Rao bound]({PICTURE.name})",
    ]
    for where in dict.fromkeys(json.dumps(record["environment"]) for record in records.values()):
        listed = ", ".join(f"{key} {value}" for key, value in json.loads(where).items())
        parts.append(f"On: {listed}.")
    return "\n\n".join(parts) + "\n"


def draw(records: dict[str, dict[str, Any]]) -> None:
    """Draws the error by mass of all runs."""
    runs = [(figures["about"], figures["metrics"]) for figures in in_order(records)]
    limit = information_limit(runs[0][1]["data"]["spec_sha256"])
    with style.house_style():
        save(plots.draw_rmse_by_mass(runs, limit), PICTURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder of the archive and the runs, kept")
    parser.add_argument("--run", nargs="+", default=list(RUNS), choices=RUNS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        for name in options.run:
            if not options.quick and name in read_records(TABLE):
                continue
            where = environment(PACKAGES)
            figures = measured(name, work, options.quick)
            record = {"environment": where, "figures": figures}
            if options.quick:
                print(page({name: record}))
                continue
            add_record(TABLE, name, columns(figures), record)
            shutil.rmtree(work / "runs" / name)
            records = read_records(TABLE)
            draw(records)
            with replacing(PAGE) as path:
                path.write_text(page(records))
            print(name, columns(figures), flush=True)


if __name__ == "__main__":
    main()
