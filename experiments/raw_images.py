"""Whether a network learns B-wide from images alone, once a simulator has taught it what to see.

    python experiments/raw_images.py --data DIR --out DIR [--routes ...] [--seeds ...]

DIR of --data is an archive of B-wide with 4,000 train and 1,000 test images of each class; its
fits are not used. An encoder is pretrained on simulated images that it sees again in every epoch,
to paint what the substructure changes (`smooth-twin`) or to tell lens and source (`macro`), and is
then finetuned on the labelled images of the archive; or it begins with random weights. All see the
image by the same asinh stretch.

Columns of results/raw_images.parquet:
    name      of the run, as in "smooth-twin-0"
    route     what it began with
    seed      of weights, images and views
    score     macro AUC on the test images
    record    JSON: "settings", "metrics", "environment" and, of a pretraining, "pretraining": its
              "images", "epochs" and the "loss" of every epoch, on the images that it learns from
A run whose row is there is skipped; one that was cut short continues.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.options import pretrained_options
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.runs import ENCODER, LOGS, RunConfig
from lensmodels.settings import config_from_options

TABLE = Path(__file__).with_name("results") / "raw_images.parquet"
PACKAGES = ("lenssim", "torch", "lightning", "timm")

MODEL = "B-wide"
FIRST = "random weights"
ROUTES = (FIRST, "smooth-twin", "macro")
SHARED = ["data.scaling=asinh", "data.softening=5", "precision=bf16-mixed"]
FINETUNE_EPOCHS = 12
CHOSEN = (("macro AUC", 0.0, "all"), ("S/N > 5", 5.0, "all"), ("cdm, S/N > 10", 10.0, "cdm"))


def pretrained(out: Path, route: str, seed: int, images: int, epochs: int) -> Path:
    """The folder of a pretraining, which is made if it is not there."""
    run = out / f"{route}-{seed}"
    config = config_from_options(
        {
            "data": f"live:{MODEL}",
            "method": route,
            "encoder": "test_resnet",
            "epoch_size": images,
            "pretrain_epochs": epochs,
            "batch_size": 128,
            "workers": 1,
            "lr": 4e-3,
            "seed": seed,
            "overrides": [*SHARED, "data.live_images=same"],
        }
    )
    pretrain_once(config, run)
    return run


def pretrain_once(config: RunConfig, run: Path) -> None:
    """Pretrains in a folder, if that was not done before; refuses a folder of other settings."""
    config = training.begin(config, run, resume=run.exists())
    if not (run / ENCODER).exists():
        training.check_requirements(config, run, finetuned=False)
        training.pretrain(config, run)


def finetuning(url: str, start: Path | None, seed: int) -> RunConfig:
    """Settings of a training on the labelled images of the archive."""
    options: dict[str, Any] = {
        "finetune_epochs": FINETUNE_EPOCHS,
        "batch_size": 128,
        "lr": 4e-3,
        "seed": seed,
        "overrides": list(SHARED),
    }
    if start is None:
        options |= {"data": url, "encoder": "test_resnet"}
    else:
        options |= pretrained_options(str(start), url)
        options["overrides"] = ["precision=bf16-mixed"]
    return config_from_options(options)


def loss_by_epoch(run: Path) -> list[float]:
    """Training loss of every epoch of a pretraining."""
    log = pd.read_csv(run / LOGS / "pretrain" / "metrics.csv")
    return [float(value) for value in log["train_loss"].dropna()]


def page() -> str:
    """The table: one row a run."""
    rows = []
    for name, record in read_records(TABLE).items():
        row: list[Any] = [name]
        found = {
            (entry["above"], entry["class"]): entry["auc"]
            for entry in record["metrics"]["auc_above_snr"]
        }
        low, high = record["metrics"]["ci95"]["macro_auc"]
        row.append(f"{record['score']:.3f} ({low:.3f} to {high:.3f})")
        row += [f"{found[key[1:]]:.3f}" if key[1:] in found else "" for key in CHOSEN[1:]]
        before = record["pretraining"]
        row += (
            [
                f"{before['images']:,} x {before['epochs']}",
                f"{before['loss'][0]:.3f} to {before['loss'][-1]:.3f}",
            ]
            if before
            else ["", ""]
        )
        rows.append(row)
    headings = [
        "began with",
        *(title for title, *_ in CHOSEN),
        "images x epochs of the pretraining",
        "its loss",
    ]
    return (
        f"# {MODEL} from the image alone\n\nA small ResNet that is shown the image, no residual, "
        f"finetuned on 3,800 images of each class for {FINETUNE_EPOCHS} epochs, from random "
        "weights or after a pretraining by what a simulator knows and a telescope does not tell. "
        "Intervals are over test images. "
        "By `python experiments/raw_images.py --data DIR --out DIR`.\n\n"
        + markdown_table(headings, rows)
        + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help=f"archive of {MODEL}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--routes", nargs="+", choices=ROUTES, default=ROUTES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, default=15_360, help="of a pretraining")
    parser.add_argument("--epochs", type=int, default=40, help="of a pretraining")
    given = parser.parse_args()
    for seed in given.seeds:
        for route in given.routes:
            name = f"{route.replace(' ', '-')}-{seed}"
            if name in read_records(TABLE):
                continue
            start = None
            if route != FIRST:
                start = pretrained(given.out, route, seed, given.images, given.epochs)
            config = finetuning(given.data, start, seed)
            run = given.out / f"finetuned-{name}"
            training.train(config, run, resume=run.exists())
            _, metrics = score(run, given.data)
            del metrics["data"]["url"]  # a folder of this machine
            settings = json.loads(config.model_dump_json(exclude={"measured": True}))
            settings["data"].pop("url")
            settings.pop("pretrained", None)
            record = {
                "settings": settings,
                "metrics": metrics,
                "pretraining": {
                    "images": given.images,
                    "epochs": given.epochs,
                    "loss": loss_by_epoch(start),
                }
                if start
                else None,
                "environment": environment(PACKAGES),
            }
            columns = {"route": route, "seed": seed, "score": metrics["macro_auc"]}
            add_record(TABLE, name, columns, columns | record)
            TABLE.with_suffix(".md").write_text(page())


if __name__ == "__main__":
    main()
