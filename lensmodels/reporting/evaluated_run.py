"""A run that was evaluated, as its pages read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lensmodels.data.live_archive import is_live
from lensmodels.methods.supervision import method_title, supervision_of
from lensmodels.reporting.optional_plots import CAPTIONS
from lensmodels.reporting.page import PagePlot
from lensmodels.reporting.requests import not_evaluated, require_evaluated
from lensmodels.runs import RunConfig, read_config
from lenssim.configuration.yaml_reading import format_yaml

PLOTS = "plots"

SUPERVISION_NAMES = {
    None: "nothing",
    "images": "images alone",
    "simulator": "what only a simulator knows of its images",
}
"""What supervised a pretraining, in words."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with its metrics and predictions."""

    folder: Path
    config: RunConfig
    metrics: dict[str, Any]
    predictions: pd.DataFrame

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.resolve().name

    @property
    def is_averaged(self) -> bool:
        """Whether its test took the mean over the symmetries of each image."""
        return bool(self.metrics.get("average_symmetries", False))

    @property
    def tested_on(self) -> str:
        """Number of test images and name of their data set."""
        return f"{self.metrics['n_test']:,} test images of {data_name(self.metrics)}"

    @property
    def settings(self) -> str:
        """Every setting, as YAML."""
        return format_yaml(self.config.model_dump(mode="json"), ascii_only=False)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What was trained and tested, on which data: name and value of each."""
        config, metrics = self.config, self.metrics
        data = metrics["data"]
        averaged = ", each the mean of its eight symmetries" if self.is_averaged else ""
        pretrained_here = "this run" if config.method != "supervised" else "random weights"
        start = config.pretrained or pretrained_here
        frozen = ", frozen" if config.frozen else ""
        unlabelled = ", ".join(
            f"{url} (weight {weight:g})" for url, weight in config.pretrain_unlabelled.items()
        )
        return [
            ("method", method_title(config.method, config.pretrain)),
            ("pretrained on", SUPERVISION_NAMES[supervision_of(config.method, config.pretrain)]),
            *([("and on unlabelled images", unlabelled)] if unlabelled else []),
            ("encoder", f"{config.encoder.name}, from {start}{frozen}"),
            ("trained on", config.data.url),
            ("train images", self._train_images),
            ("tested on", f"{data['url']}, test split, {metrics['n_test']:,} images{averaged}"),
            ("data model", f"{data['model']}, seed {data['seed']}"),
            ("specification, SHA-256", data["spec_sha256"] or "none: the images were imported"),
            ("data, SHA-256", data["sha256"]),
            ("seed", str(config.seed)),
            ("software", f"lensmodels {metrics['version']}"),
        ]

    @property
    def _train_images(self) -> str:
        if is_live(self.config.data.url):
            return f"{self.metrics['n_train']:,} an epoch, new ones in each, with their labels"
        return f"{self.metrics['n_train']:,}; {self.metrics['n_labels']:,} with their labels"

    def plot(self, name: str) -> PagePlot | None:
        """A plot by the name of its file; None if the evaluation has none."""
        file = self.folder / PLOTS / f"{name}.png"
        return PagePlot(*CAPTIONS[name], file.read_bytes()) if file.exists() else None


def data_name(metrics: Mapping[str, Any]) -> str:
    """Name of the data set of a test: of a model, or of imported images."""
    data = metrics["data"]
    return f"{'model ' if data['spec_sha256'] else ''}{data['model']}"


def read_evaluated(run: Path) -> EvaluatedRun:
    """A run with its metrics and predictions.

    Raises:
        UsageError: if it was not evaluated, or the files are damaged.
    """
    run = Path(run)
    config = read_config(run)
    require_evaluated(run)
    try:
        metrics = json.loads((run / "metrics.json").read_text())
        predictions = pd.read_csv(run / "predictions.csv")
    except ValueError:
        raise not_evaluated(run) from None
    return EvaluatedRun(run, config, metrics, predictions)
