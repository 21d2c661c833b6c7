"""Score against images seen: training on a simulator, where no image comes twice.

    python experiments/live_curve.py --model B-wide --images 10000 30000 100000 --out DIR
    python experiments/live_curve.py --report    # experiments/results/live_curve.md

Each point is a training of its own, with the schedule of its length, on raw images. A method that
pretrains has half of the images for that and the other half for the finetuning, so that all routes
have seen as many images. All are tested on one archive, DIR/test, of images that none has seen.
Points that the table holds are left out.

Columns of experiments/results/live_curve.parquet, one row a training:
    name                        model, method, images and seed
    model, method, encoder      what was trained on what
    pretraining                 what supervised a pretraining: images, simulator; empty without one
    images                      simulated, and seen once each
    seed                        of weights, images and views
    macro_auc, low, high        on the test images, and its 95% interval
    minutes                     of simulation and training together
    record                      JSON: "settings" of the run, its "metrics" and the "environment"
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lenssim
from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.methods.settings import METHODS
from lensmodels.methods.supervision import MARK_NOTE, method_title, supervision_of
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.runs import CHECKPOINTS, RunConfig
from lensmodels.settings import config_from_options

TABLE = Path(__file__).with_name("results") / "live_curve.parquet"
EPOCHS = 10
"""Of each stage: how often its progress is logged and saved. The images are new in every one."""

PACKAGES = ("lenssim", "torch", "lightning", "timm")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", action="store_true", help="write the page of all trainings")
    parser.add_argument("--model", default="B-wide", help="specification, or its file")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["supervised", "macro"])
    parser.add_argument("--images", nargs="+", type=int, default=[10_000, 30_000, 100_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--test", type=int, default=1000, help="test images of each class")
    parser.add_argument("--table", type=Path, default=TABLE, help="Parquet file to add to")
    parser.add_argument("--out", type=Path, help="folder of the runs and the test archive")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", dest="overrides", nargs="*", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    if given.report:
        given.table.with_suffix(".md").write_text(page(read_records(given.table)))
        return
    if given.out is None:
        parser.error("--out is required to train")
    test = given.out / "test"
    # of another seed than the images that are measured
    lenssim.generate(given.model, out=test, train=0, test=given.test, seed=1)
    for images in sorted(given.images):
        for seed in given.seeds:
            for method in given.methods:
                config = settings(given, method, images, seed, test)
                name = f"{Path(given.model).stem}_{method}_{images}_seed-{seed}"
                if name not in read_records(given.table):
                    measure(name, config, given.out / name, given.table)


def settings(
    given: argparse.Namespace, method: str, images: int, seed: int, test: Path
) -> RunConfig:
    """Settings of a training that sees so many images, in all of its stages together.

    Args:
        given: command-line options.
        method: supervised, or a pretraining.
        images: simulated.
        seed: of the run.
        test: archive to test on.
    """
    epochs = EPOCHS * (1 if method == "supervised" else 2)
    size = max(given.batch_size, images // epochs)
    each = max(1, images // size // (epochs // EPOCHS))
    options: dict[str, Any] = {
        "data": f"live:{given.model}",
        "method": method,
        "encoder": given.encoder,
        "epoch_size": size,
        "batch_size": given.batch_size,
        "finetune_epochs": each,
        "test_archive": str(test),
        "workers": given.workers,
        "seed": seed,
        "device": given.device,
        "overrides": given.overrides,
    }
    if method != "supervised":
        options["pretrain_epochs"] = each
    return config_from_options(options)


def measure(name: str, config: RunConfig, run: Path, table: Path) -> None:
    """Trains and tests one point of the curve, and adds it to the table.

    Args:
        name: of its row.
        config: of its run.
        run: its folder; a run that was stopped continues.
        table: Parquet file.
    """
    start = time.perf_counter()
    training.train(config, run, resume=True, tested=True)
    minutes = (time.perf_counter() - start) / 60
    _, metrics = score(run, device=config.device)
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)
    left_out = {"measured": True, "device": True, "data": {"cache_dir", "test_archive"}}
    record = {
        "settings": json.loads(config.model_dump_json(exclude=left_out)),
        "images": seen(config),
        "minutes": minutes,
        "metrics": {key: value for key, value in metrics.items() if key != "data"},
        "test": {key: metrics["data"][key] for key in ("model", "spec_sha256", "seed", "sha256")},
        "environment": environment(PACKAGES),
    }
    add_record(table, name, columns(record), record)


def seen(config: RunConfig) -> int:
    """Images that a run sees, in all stages; each once."""
    steps = max(1, config.data.epoch_size // config.data.batch_size)
    return (config.pretrain.epochs + config.finetune.epochs) * steps * config.data.batch_size


def columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the table that are not in its record alone."""
    run, metrics = record["settings"], record["metrics"]
    low, high = metrics["ci95"]["macro_auc"]
    return {
        "model": record["test"]["model"],
        "method": run["method"],
        "encoder": run["encoder"]["name"],
        "pretraining": supervision_of(run["method"]) or "",
        "images": record["images"],
        "seed": run["seed"],
        "macro_auc": metrics["macro_auc"],
        "low": low,
        "high": high,
        "minutes": record["minutes"],
    }


def page(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all trainings, Markdown."""
    rows: list[Sequence[str]] = []
    held = [columns(record) for record in records.values()]
    for row in sorted(held, key=lambda row: (row["model"], row["images"], row["method"])):
        rows.append(
            [
                row["model"],
                method_title(row["method"]),
                row["encoder"],
                f"{row['images']:,}",
                str(row["seed"]),
                f"{row['macro_auc']:.4f} ({row['low']:.4f} to {row['high']:.4f})",
                f"{row['minutes']:.1f}",
            ]
        )
    headings = ["model", "method", "encoder", "images seen", "seed", "macro AUC", "minutes"]
    about = (
        "Macro AUC against the images that a training has seen, each once, by "
        "`python experiments/live_curve.py`. A pretraining has half of them. The interval is over "
        "test images."
    )
    return f"# live_curve\n\n{about}\n\n{MARK_NOTE}\n\n{markdown_table(headings, rows)}\n"


if __name__ == "__main__":
    main()
