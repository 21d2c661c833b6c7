"""What a pretraining on one specification brings to another one with few labels.

    python experiments/simulator_transfer.py --data DIR --out DIR

DIR of --data is an archive of model B with 4,000 train and 1,000 test images a class. An encoder is
pretrained on images of B-wide that are simulated as they are needed, by what the simulator knows
(`macro`, `smooth-twin`, SimSiam on pairs of one lens and substructure with two sources) or by the
images alone (SimSiam), and finetuned on B with 100 labels a class: three pretrainings by three
draws of the labels. The baselines begin with random weights. Both scale the input by an asinh
stretch, as a whitening measured on one specification says nothing about another; the rows "PCA of
all images" show what the whitening of B itself brings.

Columns of results/simulator_transfer.parquet:
    name      of the run, as in "macro-1-0"
    route     what it began with
    pretrain_seed, seed    of the pretraining and of the draw of the labels
    score     macro AUC on the test images
    record    JSON: "settings", "metrics", "resamples" (macro AUC), "environment"
A run whose row is there is skipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from average_symmetries import resampled_auc, trainings_of

from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.options import pretrained_options
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.runs import RunConfig
from lensmodels.settings import config_from_options
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import Trainings, difference, mean_interval

TABLE = Path(__file__).with_name("results") / "simulator_transfer.parquet"
PACKAGES = ("lenssim", "torch", "lightning", "timm", "lightly")

MODEL = "B-wide"
STRETCH = ["data.scaling=asinh", "data.softening=5"]
"""Of the image, where no smooth lens has been taken out."""

PRETRAININGS: dict[str, tuple[str, list[str]]] = {
    "SimSiam, images": ("simsiam", []),
    "SimSiam, source pairs [simulator]": ("simsiam", ["pretrain.pairs=source"]),
    "macro [simulator]": ("macro", []),
    "smooth-twin [simulator]": ("smooth-twin", []),
}
"""Method and settings of each."""

BASELINES: dict[str, list[str]] = {
    "random weights": STRETCH,
    "random weights, PCA of all images": ["data.scaling_images=all"],
}

LABELS, STEPS = 0.0264, 401
"""Share of the labels, 100 a class, and steps of the finetuning, as in the grid `wide`."""


def config_of_pretraining(name: str, images: int, seed: int) -> RunConfig:
    """Settings of a pretraining on simulated images, none of which comes twice."""
    method, overrides = PRETRAININGS[name]
    options = {
        "data": f"live:{MODEL}",
        "method": method,
        "encoder": "test_resnet",
        "epoch_size": images // 10,
        "pretrain_epochs": 10,
        "batch_size": 128,
        "workers": 1,
        "seed": seed,
        "overrides": [*STRETCH, "precision=bf16-mixed", *overrides],
    }
    return config_from_options(options)


def pretrained(out: Path, name: str, images: int, seed: int) -> Path:
    """The folder of a pretraining, which is made if it is not there."""
    run = out / f"{folder(name)}-{seed}"
    if not (run / "encoder.safetensors").exists():
        config = config_of_pretraining(name, images, seed)
        training.check_requirements(config, run, finetuned=False)
        training.pretrain(training.begin(config, run, resume=run.exists()), run)
    return run


def measure(out: Path, name: str, start: Path | None, url: str, seeds: tuple[int, int]) -> None:
    """Finetunes and tests one run, and adds its row.

    Args:
        out: folder of the runs.
        name: of the route.
        start: run of the pretraining; none for random weights.
        url: archive of B.
        seeds: of the pretraining and of the labels.
    """
    key = f"{folder(name)}-{seeds[0]}-{seeds[1]}"
    if key in read_records(TABLE):
        return
    options: dict[str, Any] = {
        "labels": LABELS,
        # an epoch of 285 labelled images, less those for validation, has three steps
        "finetune_epochs": STEPS // 3,
        "batch_size": 128,
        "lr": 4e-3,
        "seed": seeds[1],
        "overrides": ["precision=bf16-mixed", *BASELINES.get(name, [])],
    }
    if start is None:
        options |= {"data": url, "encoder": "test_resnet"}
    else:
        options |= pretrained_options(str(start), url)
    config = config_from_options(options)
    run = out / f"finetuned-{key}"
    training.train(config, run, resume=run.exists())
    tested, metrics = score(run, url)
    del metrics["data"]["url"]  # a folder of this machine
    settings = json.loads(config.model_dump_json(exclude={"measured": True, "device": True}))
    settings["data"].pop("url", None)
    settings.pop("pretrained", None)
    columns = {"route": name, "pretrain_seed": seeds[0], "seed": seeds[1]}
    columns["score"] = metrics["macro_auc"]
    record = {
        "settings": settings,
        "metrics": metrics,
        "resamples": resampled_auc(tested.table),
        "environment": environment(PACKAGES),
    }
    add_record(TABLE, key, columns, columns | record)


def folder(name: str) -> str:
    """A route as part of a file name."""
    return name.replace(",", "").replace(" [simulator]", "").replace(" ", "-")


def page(images: int) -> str:
    """The table: one row a route, with its gain over random weights."""
    held: dict[str, list[dict[str, Any]]] = {}
    for record in read_records(TABLE).values():
        held.setdefault(record["route"], []).append(record)
    groups = {name: trainings(held[name]) for name in (*BASELINES, *PRETRAININGS) if name in held}
    base = next(iter(BASELINES))
    gains = {
        name: difference(group, groups[base]) for name, group in groups.items() if name != base
    }
    marks = dict(zip(gains, significant(list(gains.values())), strict=True))
    rows = []
    for name, group in groups.items():
        low, high = mean_interval(group, 0, 1).as_list()
        pretrainings = f"{group.independent} x " if name in PRETRAININGS else ""
        row = [
            name,
            f"{pretrainings}{len(group.draws)}",
            f"{group.values.mean():.3f} ({low:.3f} to {high:.3f})",
            "",
        ]
        if name in gains:
            low, high = gains[name].interval.as_list()
            mean = f"{gains[name].mean:+.3f}"
            row[-1] = f"{f'**{mean}**' if marks[name] else mean} ({low:+.3f} to {high:+.3f})"
        rows.append(row)
    return (
        f"# From {MODEL} to B\n\nMacro AUC on B of a small ResNet (370,000 weights) with 100 "
        f"labels a class, after a pretraining on {images:,} simulated images of {MODEL}; 95% "
        "intervals over pretrainings, draws of the labels and test images; one pretraining tells "
        "nothing of their scatter. A gain is bold if it is significant after Holm's correction "
        "over this table, and three pretrainings stand behind it. A route marked [simulator] uses "
        "what the simulator knows and a telescope does not tell. By `python "
        "experiments/simulator_transfer.py`.\n\n"
        + markdown_table(["began with", "pretrainings x draws", "macro AUC", f"less {base}"], rows)
        + "\n"
    )


def trainings(records: list[dict[str, Any]]) -> Trainings:
    """Scores of the runs of one route."""
    return trainings_of(
        records,
        [record["score"] for record in records],
        [record["resamples"] for record in records],
        is_pretrained=records[0]["route"] in PRETRAININGS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="archive of model B")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--images", type=int, default=10_000, help="of each pretraining")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    for seed in given.seeds:
        for name in BASELINES:
            measure(given.out, name, None, given.data, (0, seed))
    for pretrain_seed in given.seeds:
        for name in PRETRAININGS:
            start = pretrained(given.out, name, given.images, pretrain_seed)
            for seed in given.seeds:
                measure(given.out, name, start, given.data, (pretrain_seed, seed))
    TABLE.with_suffix(".md").write_text(page(given.images))


if __name__ == "__main__":
    main()
