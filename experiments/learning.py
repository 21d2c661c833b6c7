"""What is learned, from how much, and in which time: a table of experiments, and a page of all.

    python experiments/learning.py supervised    # classes, from labels
    python experiments/learning.py regression    # axion mass, from labels
    python experiments/learning.py report        # experiments/results/learning.md and .png

An experiment that is in the table is skipped, one that was cut short continues. The data are
simulated when they are first needed. --quick is a rehearsal in a minute, which is not kept.

Columns of experiments/results/learning.parquet:
    name      of the experiment, as in "ssl-byol-resnet"
    encoder   name in timm
    epochs    of the training
    minutes   that it took
    score     macro AUC, or RMSE in dex of the axion mass
    record    JSON: "environment", and "figures" with settings, metrics and their intervals
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch

import lenssim
from lensmodels import training
from lensmodels.data import CLASSES
from lensmodels.evaluation import score
from lensmodels.evaluation.information import information_limit
from lensmodels.reporting import plots, style
from lensmodels.reporting.measurements import (
    add_record,
    describe_augmentation,
    environment,
    read_records,
)
from lensmodels.reporting.run_page import evaluate
from lensmodels.reporting.run_plots import save
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lensmodels.views import plain_recipe

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "learning.parquet"
PICTURE = RESULTS / "learning.png"
PACKAGES = ["torch", "timm", "lightning", "lightly", "scikit-learn"]


class Setting:
    """Where data and runs are, and whether this is a rehearsal."""

    def __init__(self, work: Path, quick: bool) -> None:
        self.work, self.quick = work, quick

    def archive(
        self,
        name: str,
        classes: Sequence[str],
        train: int,
        test: int,
        overrides: Sequence[str] = (),
    ) -> str:
        """An archive of model B, simulated where it is not there."""
        if self.quick:
            name, train, test = f"{name}-quick", 200, 60
        folder = self.work / name
        lenssim.generate(
            "B", list(classes), train=train, test=test, out=str(folder), overrides=overrides
        )
        return str(folder)

    def three_classes(self, f_sub: float = 0.01) -> str:
        """4,000 images of each class to train on, 700 to test with."""
        if f_sub == 0.01:
            return self.archive("classes", CLASSES, 4000, 700)
        overrides = [f"substructure.f_sub={f_sub}"]
        return self.archive(f"classes-{f_sub:g}", CLASSES, 4000, 700, overrides)

    def axions(self) -> str:
        """10,000 images of the axion class to train on, 2,000 to test with."""
        return self.archive("axions", ["axion"], 10_000, 2000)

    def experiment(self, name: str, measure: Callable[[Path], dict[str, Any]]) -> None:
        """Measures and adds a row to the table, unless it is there."""
        if self.quick:
            run = self.work / "runs" / f"{name}-quick"
            shutil.rmtree(run, ignore_errors=True)
            click.echo(json.dumps(measure(run), indent=1))
            return
        if name in read_records(TABLE):
            click.echo(f"{name}: done already")
            return
        # before: drawing an embedding map changes the number of threads
        where = environment(PACKAGES) | {"threads": str(torch.get_num_threads())}
        figures = measure(self.work / "runs" / name)
        add_record(TABLE, name, columns(figures), {"environment": where, "figures": figures})
        click.echo(json.dumps(figures, indent=1))

    def finetuned(self, run: Path, words: dict[str, Any]) -> dict[str, Any]:
        """Trains and tests a run; its metrics, with the settings and the time that matter."""
        if self.quick:
            words |= {"encoder": "test_resnet", "batch_size": 32, "finetune_epochs": 1}
        config = config_from_options({"seed": 0, **words})
        minutes = timed(run, lambda: training.train(config, run, resume=True))
        metrics = evaluate(run)
        del metrics["data"]["url"]  # a folder of this machine
        return {
            "batch_size": config.data.batch_size,
            "epochs": config.finetune.epochs,
            "learning_rate": config.finetune.learning_rate,
            "views": plain_recipe(config.finetune_views),
            "minutes": minutes,
            "metrics": metrics,
        }


def columns(figures: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table that are not in its record alone."""
    metrics = figures["metrics"]
    shared = {name: figures[name] for name in ("epochs", "minutes")}
    score = metrics.get("macro_auc", metrics.get("rmse_dex"))
    return {"encoder": metrics["encoder"], **shared, "score": score}


def timed(run: Path, work: Callable[[], Any]) -> float:
    """Minutes that work on a run took, interrupted or not."""
    file = run.with_suffix(".minutes")
    file.parent.mkdir(parents=True, exist_ok=True)
    before = float(file.read_text()) if file.exists() and run.exists() else 0.0
    start = time.perf_counter()
    try:
        work()
    finally:
        minutes = before + (time.perf_counter() - start) / 60
        file.write_text(str(minutes))
    return minutes


@click.group()
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path(tempfile.gettempdir()) / "lensmodels-learning",
    show_default=True,
    help="Folder of archives and runs.",
)
@click.option("--quick", is_flag=True, help="A rehearsal; nothing is kept.")
@click.pass_context
def main(context: click.Context, work: Path, quick: bool) -> None:
    """Measures what is learned."""
    context.obj = Setting(work, quick)


RESNET18: dict[str, Any] = {
    "encoder": "resnet18",
    "batch_size": 64,
    "lr": 4e-3,
    # faster on processors that know the format; what it costs is in docs/findings.md
    "precision": "bf16-mixed",
    # all images are trained on but for a few that the log is drawn from
    "overrides": ["data.validation_fraction=0.02"],
}
SUPERVISED = {
    "resnet18": RESNET18,
    "test_resnet": RESNET18 | {"encoder": "test_resnet", "batch_size": 128},
}


@main.command()
@click.option("--epochs", default=8, show_default=True)
@click.option("--f-sub", default=0.01, show_default=True, help="Share of mass in substructure.")
@click.pass_obj
def supervised(setting: Setting, epochs: int, f_sub: float) -> None:
    """Classes by ResNet18 from 4,000 labelled images a class."""

    def measure(run: Path) -> dict[str, Any]:
        words = RESNET18 | {"finetune_epochs": epochs, "data": setting.three_classes(f_sub)}
        return setting.finetuned(run, words)

    heavy = "" if f_sub == 0.01 else f"-f-sub-{f_sub:g}"
    setting.experiment(f"supervised-{epochs}-epochs{heavy}", measure)


@main.command()
@click.option("--epochs", default=20, show_default=True)
@click.option("--encoder", type=click.Choice([*SUPERVISED]), default="resnet18", show_default=True)
@click.option("--any-angle", is_flag=True, help="Turns by any angle, not by right angles alone.")
@click.option("--quadrupole", default=0.0, show_default=True, help="Weight of the second target.")
@click.pass_obj
def regression(
    setting: Setting, epochs: int, encoder: str, any_angle: bool, quadrupole: float
) -> None:
    """The axion mass from 10,000 images."""

    def measure(run: Path) -> dict[str, Any]:
        words = SUPERVISED[encoder] | {"finetune_epochs": epochs, "data": setting.axions()}
        if any_angle:
            views = "finetune_views=[{angle: 45, symmetry: any}]"
            words["overrides"] = [*words["overrides"], views]
        words["overrides"] = [*words["overrides"], f"task.quadrupole={quadrupole}"]
        figures = setting.finetuned(run, words | {"task": "axion-mass"})
        averages = {"metrics_of_averages": _metrics_of_averages(run)}
        return figures | averages | {"quadrupole": quadrupole}

    ending = "-any-angle" if any_angle else ""
    ending += f"-quadrupole-{quadrupole:g}" if quadrupole else ""
    setting.experiment(f"regression-{encoder}-{epochs}-epochs{ending}", measure)


def _metrics_of_averages(run: Path) -> dict[str, Any]:
    """Metrics of a run when it takes the mean over the symmetries of each image."""
    with tempfile.TemporaryDirectory() as folder:
        _, metrics = score(run, out=Path(folder), average_symmetries=True)
    del metrics["data"]["url"]  # a folder of this machine
    return metrics


@main.command()
def report() -> None:
    """Writes experiments/results/learning.md and its picture from the table."""
    records = read_records(TABLE)
    measured = [
        (_how(record["figures"], short=True), record["figures"]["metrics"])
        for name, record in records.items()
        if name.startswith("regression")
    ]
    limit = information_limit(measured[0][1]["data"]["spec_sha256"]) if measured else None
    with style.house_style():
        save(plots.draw_rmse_by_mass(measured, limit), PICTURE)
    text = page(records)
    (RESULTS / "learning.md").write_text(text)
    click.echo(text)


def page(records: dict[str, dict[str, Any]]) -> str:
    """The page of all experiments, Markdown."""
    figures = {name: content["figures"] for name, content in records.items()}
    parts = ["# learning", "What is learned from model B: `python experiments/learning.py --help`."]
    for name, measured in figures.items():
        if name.startswith("supervised"):
            parts += _supervised_part(measured)
        if name.startswith("regression"):
            parts += _regression_part(measured)
    parts.append(f"![RMSE by mass, with the Cramér-Rao bound]({PICTURE.name})")
    environments = dict.fromkeys(json.dumps(record["environment"]) for record in records.values())
    for where in map(json.loads, environments):
        listed = ", ".join(f"{key} {value}" for key, value in where.items())
        parts.append(f"On: {listed}.")
    return "\n\n".join(parts) + "\n"


def _how(figures: dict[str, Any], short: bool = False) -> str:
    metrics = figures["metrics"]
    if short:
        return f"{metrics['encoder']}, {figures['epochs']} epochs, {describe_augmentation(figures)}"
    return (
        f"{metrics['encoder']}, {metrics['n_train']:,} train images, {figures['epochs']} epochs, "
        f"{figures['minutes']:.0f} minutes; {metrics['n_test']:,} test images"
    )


def _supervised_part(figures: dict[str, Any]) -> list[str]:
    metrics = figures["metrics"]
    low, high = metrics["ci95"]["macro_auc"]
    return [
        f"**Classes from labels.** Macro AUC {metrics['macro_auc']:.4f} ({low:.4f} to {high:.4f}), "
        f"accuracy {metrics['accuracy']:.3f}: {_how(figures)}."
    ]


def _regression_part(figures: dict[str, Any]) -> list[str]:
    metrics, averaged = figures["metrics"], figures.get("metrics_of_averages")
    low, high = metrics["ci95"]["rmse_dex"]
    more = ""
    if averaged:
        more = (
            f" The mean over the eight symmetries of each image: {averaged['rmse_dex']:.3f} and "
            f"{averaged['resolved']['rmse_dex']:.3f} dex."
        )
    limit = information_limit(metrics["data"]["spec_sha256"])
    rows = [
        [
            f"{item['low']:.2f} to {item['high']:.2f}",
            item["rmse_dex"],
            item["bias_dex"],
            limit.rms_limit(item["low"], item["high"]) if limit else "",
        ]
        for item in metrics["by_mass"]
    ]
    return [
        f"**Axion mass from labels.** RMSE {metrics['rmse_dex']:.3f} dex ({low:.3f} to "
        f"{high:.3f}) over the whole prior, {metrics['resolved']['rmse_dex']:.3f} dex below "
        f"1e-23 eV: {_how(figures)}; {describe_augmentation(figures)}.{more}",
        markdown_table(
            ["log10(m / eV)", "RMSE, dex", "bias, dex", "best possible RMSE, dex"], rows
        ),
    ]


if __name__ == "__main__":
    main()
