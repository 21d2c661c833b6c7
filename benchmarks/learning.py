"""What is learned, from how much, and in which time: one JSON an experiment, and a page of all.

    python benchmarks/learning.py supervised    # classes, from labels
    python benchmarks/learning.py regression    # axion mass, from labels
    python benchmarks/learning.py ssl           # every method and encoder family, without labels
    python benchmarks/learning.py report        # benchmarks/results/learning.md

An experiment that has its JSON is skipped, one that was cut short goes on. The data are simulated
when they are first needed. --quick is a rehearsal in a minute, which is not kept.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from report import RESULTS, environment, table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import nn

import lenssim
from lensmodels import runs, training
from lensmodels.data import CLASSES, DataSettings, InputScaling, LensDataModule
from lensmodels.encoders import Encoder
from lensmodels.methods.base import step_seed
from lensmodels.methods.probes import (
    embedding_rank,
    embedding_std,
    neighbour_probabilities,
    whiten,
)
from lensmodels.settings import config_from_words

FOLDER = RESULTS / "learning"
PACKAGES = ["torch", "timm", "lightning", "lightly", "scikit-learn"]
RESAMPLES = 1000

ENCODERS: dict[str, dict[str, Any]] = {
    # ResNet18 of half the width: a quarter of its cost
    "resnet": {
        "encoder": "resnet18",
        "overrides": ["encoder.arguments={channels: [32, 64, 128, 256]}"],
    },
    # 64 patches of 8 pixels; the study's 4 patches of 32 are larger than the ring is wide
    "vit": {
        "encoder": "vit_tiny_patch16_224",
        "patch_size": 8,
        "overrides": ["encoder.arguments={depth: 4, embed_dim: 128, num_heads: 4}"],
    },
}
METHODS = ("contrastive-rotation", "contrastive-noise", "byol", "simsiam", "dino")
SSL_EPOCHS = {"resnet": 20, "vit": 15}


class Setting:
    """Where data and runs are, and whether this is a rehearsal."""

    def __init__(self, work: Path, quick: bool) -> None:
        self.work, self.quick = work, quick
        self.results = work / "quick" if quick else FOLDER

    def archive(self, name: str, classes: Sequence[str], train: int, test: int) -> str:
        """An archive of model B, simulated where it is not there."""
        if self.quick:
            name, train, test = f"{name}-quick", 200, 60
        folder = self.work / name
        lenssim.generate("B", list(classes), train=train, test=test, out=str(folder))
        return str(folder)

    def three_classes(self) -> str:
        """4,000 images of each class to train on, 700 to test with."""
        return self.archive("classes", CLASSES, 4000, 700)

    def axions(self) -> str:
        """10,000 images of the axion class to train on, 2,000 to test with."""
        return self.archive("axions", ["axion"], 10_000, 2000)

    def experiment(self, name: str, measure: Callable[[Path], dict[str, Any]]) -> None:
        """Measures and writes a JSON, unless it is there."""
        file = self.results / f"{name}.json"
        if file.exists():
            click.echo(f"{name}: done already")
            return
        run = self.work / "runs" / (f"{name}-quick" if self.quick else name)
        if self.quick:
            shutil.rmtree(run, ignore_errors=True)
        start = time.perf_counter()
        figures = measure(run)
        content = {
            "experiment": name,
            "minutes": (time.perf_counter() - start) / 60,
            "environment": environment(PACKAGES) | {"threads": torch.get_num_threads()},
            "figures": figures,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1) + "\n")
        click.echo(json.dumps(figures, indent=1))
        if self.quick:
            file.unlink()


def macro_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the one-against-rest areas."""
    return float(np.mean([roc_auc_score(labels == label, scores[:, label]) for label in range(3)]))


def bootstrap(statistic: Callable[[np.ndarray], float], labels: np.ndarray) -> list[float]:
    """95% interval of a statistic of indices, by resampling within each class."""
    generator = np.random.default_rng(0)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    values = [
        statistic(np.concatenate([generator.choice(group, len(group)) for group in members]))
        for _ in range(RESAMPLES)
    ]
    return [float(value) for value in np.quantile(values, [0.025, 0.975])]


@torch.no_grad()
def outputs_of(network: Callable[[torch.Tensor], torch.Tensor], stream: Any) -> dict[str, Any]:
    """Outputs of a network for a stream, and the columns beside."""
    found: dict[str, list[torch.Tensor]] = {"outputs": [], "label": [], "axion_mass": []}
    for batch in stream:
        found["outputs"].append(network(batch["image"]).float())
        for key in ("label", "axion_mass"):
            found[key].append(batch[key].clone())
    return {key: torch.cat(values) for key, values in found.items()}


def data_module(url: str, classes: Sequence[str], **settings: Any) -> LensDataModule:
    """An archive, opened."""
    data = LensDataModule(DataSettings(url=url, classes=tuple(classes), **settings))
    data.setup()
    return data


def finetuned(run: Path, **words: Any) -> dict[str, Any]:
    """Trains, or goes on with, a run; gives the model's test outputs and the settings."""
    words = {"precision": "32-true", "seed": 0, **words}
    config = config_from_words(words)
    start = time.perf_counter()
    training.train(config, run, resume=True)
    minutes = (time.perf_counter() - start) / 60
    model = runs.load_model(run)
    test = data_module(config.data.url, config.task.classes).test_dataloader()
    found = outputs_of(model, test)
    columns = {
        key: value.numpy() for key, value in model.task.predictions(found["outputs"]).items()
    }
    return {
        "minutes": minutes,
        "predictions": columns,
        "label": found["label"].numpy(),
        "log10_mass": found["axion_mass"].log10().numpy(),
        "settings": {
            "batch_size": config.data.batch_size,
            "epochs": config.finetune.epochs,
            "learning_rate": config.finetune.learning_rate,
            "n_train": runs.read_config(run).measured.sizes["train"],  # type: ignore[union-attr]
        },
    }


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


@main.command()
@click.pass_obj
def supervised(setting: Setting) -> None:
    """Classes by ResNet18 from 4,000 labelled images a class, 8 epochs."""

    def measure(run: Path) -> dict[str, Any]:
        words: dict[str, Any] = {"encoder": "resnet18", "batch_size": 128, "finetune_epochs": 8}
        if setting.quick:
            words |= {"encoder": "test_resnet", "batch_size": 32, "finetune_epochs": 1}
        found = finetuned(run, data=setting.three_classes(), **words)
        scores = np.stack([found["predictions"][f"p_{name}"] for name in CLASSES], axis=1)
        labels = found["label"]
        return {
            "encoder": words["encoder"],
            **found["settings"],
            "n_test": len(labels),
            "training_minutes": found["minutes"],
            "macro_auc": macro_auc(scores, labels),
            "ci95": bootstrap(lambda chosen: macro_auc(scores[chosen], labels[chosen]), labels),
            "accuracy": float((scores.argmax(1) == labels).mean()),
        }

    setting.experiment("supervised", measure)


@main.command()
@click.pass_obj
def regression(setting: Setting) -> None:
    """The axion mass by ResNet18 from 10,000 images."""

    def measure(run: Path) -> dict[str, Any]:
        words: dict[str, Any] = {"encoder": "resnet18", "batch_size": 128, "finetune_epochs": 12}
        if setting.quick:
            words |= {"encoder": "test_resnet", "batch_size": 32, "finetune_epochs": 1}
        found = finetuned(run, data=setting.axions(), task="axion-mass", **words)
        truth = found["log10_mass"]
        error = found["predictions"]["log10_mass"] - truth
        light = truth < -23

        def rmse(chosen: np.ndarray) -> float:
            return float(np.sqrt(np.mean(error[chosen] ** 2)))

        edges = np.linspace(-24, -22, 9)
        bins = [
            {
                "from": float(low),
                "to": float(high),
                "rmse_dex": rmse((truth >= low) & (truth < high)),
                "bias_dex": float(error[(truth >= low) & (truth < high)].mean()),
            }
            for low, high in pairwise(edges)
        ]
        every = np.zeros(len(truth), dtype=int)
        return {
            "encoder": words["encoder"],
            **found["settings"],
            "n_test": len(truth),
            "training_minutes": found["minutes"],
            "rmse_dex": rmse(np.arange(len(truth))),
            "ci95": bootstrap(rmse, every),
            "rmse_dex_below_1e-23_eV": rmse(light),
            "r2": float(1 - np.mean(error**2) / truth.var()),
            "bins": bins,
        }

    setting.experiment("regression", measure)


@main.command()
@click.option("--method", "methods", multiple=True, type=click.Choice(METHODS), default=METHODS)
@click.option(
    "--encoder", "families", multiple=True, type=click.Choice(list(ENCODERS)), default=ENCODERS
)
@click.pass_obj
def ssl(setting: Setting, methods: Sequence[str], families: Sequence[str]) -> None:
    """Every method and encoder family from 2,000 unlabelled images a class.

    The frozen features are compared with those of the same encoder at the weights it began with,
    whose norms are set to the data first.
    """
    for family in families:
        for method in methods:
            setting.experiment(
                f"ssl-{method}-{family}",
                lambda run, method=method, family=family: _pretrained(  # type: ignore[misc]
                    setting, run, method, family
                ),
            )


def _pretrained(setting: Setting, run: Path, method: str, family: str) -> dict[str, Any]:
    words = {
        "data": setting.three_classes(),
        "method": method,
        "train_size": 2000,
        "batch_size": 128,
        "pretrain_epochs": SSL_EPOCHS[family],
        "seed": 0,
        **ENCODERS[family],
    }
    if setting.quick:
        words |= {"train_size": 100, "pretrain_epochs": 1, "batch_size": 32}
    config = config_from_words(words)
    config = training.begin(config, run, resume=True)
    start = time.perf_counter()
    training.pretrain(config, run)
    minutes = (time.perf_counter() - start) / 60
    # labels serve the probes alone, and the validation images are never among them
    data = data_module(config.data.url, CLASSES, train_size=config.data.train_size)
    encoder, scaling = runs.load_encoder(run)
    torch.manual_seed(step_seed(config.seed, 0, 0x5EED))
    untrained = Encoder(config.encoder, data.num_pix)
    _set_norms(untrained, scaling, data)
    ours = _probes(encoder, scaling, data)
    theirs = _probes(untrained.eval(), scaling, data)
    labels = ours["labels"]
    figures: dict[str, Any] = {
        "method": method,
        "encoder": config.encoder.model_dump(mode="json"),
        "views": [view.model_dump(mode="json") for view in config.pretrain_views],
        "epochs": config.pretrain.epochs,
        "learning_rate": config.pretrain.learning_rate,
        "batch_size": config.data.batch_size,
        "n_train": data.sizes["train"],
        "n_test": len(labels),
        "pretraining_minutes": minutes,
        "embedding_std": ours["std"],
        "embedding_rank": ours["rank"],
        "random_embedding_rank": theirs["rank"],
    }
    for probe in ("knn", "plain_knn", "linear"):
        trained, random = ours[probe], theirs[probe]

        def gain(chosen: np.ndarray, trained: Any = trained, random: Any = random) -> float:
            return macro_auc(trained[chosen], labels[chosen]) - macro_auc(
                random[chosen], labels[chosen]
            )

        figures[probe] = {
            "macro_auc": macro_auc(trained, labels),
            "random_macro_auc": macro_auc(random, labels),
            "difference_ci95": bootstrap(gain, labels),
        }
    return figures


@torch.no_grad()
def _set_norms(encoder: nn.Module, scaling: InputScaling, data: LensDataModule) -> None:
    """Sets the statistics of batch norms to the train images, as training would have."""
    encoder.train()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    if norms:
        for batch in data.stream("train", shuffle=True):
            encoder(scaling(batch["image"]))


def _probes(encoder: nn.Module, scaling: InputScaling, data: LensDataModule) -> dict[str, Any]:
    """Test scores of a nearest-neighbour and a linear classifier on frozen features."""

    def embed(images: torch.Tensor) -> torch.Tensor:
        return encoder(scaling(images))

    train = outputs_of(embed, data.stream("train", shuffle=True))
    test = outputs_of(embed, data.test_dataloader())
    scaler = StandardScaler().fit(train["outputs"])
    linear = LogisticRegression(C=1.0, max_iter=1000)
    linear.fit(scaler.transform(train["outputs"]), train["label"])
    white, white_test = whiten(train["outputs"], test["outputs"])
    return {
        "knn": neighbour_probabilities(white, train["label"], white_test).numpy(),
        "plain_knn": neighbour_probabilities(
            train["outputs"], train["label"], test["outputs"]
        ).numpy(),
        "linear": linear.predict_proba(scaler.transform(test["outputs"])),
        "labels": test["label"].numpy(),
        "std": embedding_std(test["outputs"]),
        "rank": embedding_rank(test["outputs"]),
    }


@main.command()
def report() -> None:
    """Writes benchmarks/results/learning.md from the JSONs."""
    found = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
    parts = ["# learning", "What is learned from model B. `python benchmarks/learning.py --help`."]
    if "supervised" in found:
        figures = found["supervised"]["figures"]
        low, high = figures["ci95"]
        parts.append(
            f"**Classes from labels.** {figures['encoder']}, {figures['n_train']:,} train images, "
            f"{figures['epochs']} epochs, {figures['training_minutes']:.0f} minutes: macro AUC "
            f"{figures['macro_auc']:.4f} ({low:.4f} to {high:.4f}) on {figures['n_test']:,} test "
            f"images, accuracy {figures['accuracy']:.3f}."
        )
    if "regression" in found:
        figures = found["regression"]["figures"]
        low, high = figures["ci95"]
        light = figures["rmse_dex_below_1e-23_eV"]
        parts.append(
            f"**Axion mass from labels.** {figures['encoder']}, {figures['n_train']:,} train "
            f"images, {figures['epochs']} epochs, {figures['training_minutes']:.0f} minutes: RMSE "
            f"{figures['rmse_dex']:.3f} dex ({low:.3f} to {high:.3f}) over the whole prior, "
            f"{light:.3f} dex below 1e-23 eV, on {figures['n_test']:,} test images."
        )
        rows = [
            [f"{part['from']:.2f} to {part['to']:.2f}", part["rmse_dex"], part["bias_dex"]]
            for part in figures["bins"]
        ]
        parts.append(table(["log10(m / eV)", "RMSE, dex", "bias, dex"], rows))
    rows = [_row(content["figures"]) for name, content in found.items() if name.startswith("ssl-")]
    if rows:
        parts.append(
            "**Without labels.** Macro AUC of classifiers on frozen features of 2,100 test images, "
            "against the same encoder at random weights; the interval is of the difference, by "
            "paired bootstrap. Spread is 1 for isotropic features and 0 for collapsed ones."
        )
        headings = ["method", "encoder", "minutes", "neighbours", "random", "difference, 95%"]
        headings += ["linear", "random", "difference, 95%", "spread", "rank"]
        parts.append(table(headings, rows))
    where = next(iter(found.values()), {}).get("environment", {})
    parts.append("On: " + ", ".join(f"{key} {value}" for key, value in where.items()) + ".")
    (RESULTS / "learning.md").write_text("\n\n".join(parts) + "\n")
    click.echo("\n\n".join(parts))


def _row(figures: dict[str, Any]) -> list[Any]:
    row: list[Any] = [
        figures["method"],
        figures["encoder"]["name"],
        f"{figures['pretraining_minutes']:.1f}",
    ]
    for probe in ("knn", "linear"):
        found = figures[probe]
        low, high = found["difference_ci95"]
        row += [f"{found['macro_auc']:.3f}", f"{found['random_macro_auc']:.3f}"]
        row.append(f"{low:+.3f} to {high:+.3f}")
    return [*row, f"{figures['embedding_std']:.2f}", f"{figures['embedding_rank']:.1f}"]


if __name__ == "__main__":
    main()
