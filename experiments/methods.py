"""Whether every method of pretraining teaches every family of encoders something of the class.

    python experiments/methods.py [--method NAME ...] [--encoder FAMILY ...] [--learning-rate RATE]

Each is pretrained on 2,000 images of each class of model B, without labels. The frozen features
are compared with those of the same encoder at the weights it began with, whose norms are set to
the data first. A pair that is in the table is skipped, one that was cut short continues. What a
method refuses is in the table by its sentence. A pair at another learning rate of the pretraining
is a row of its own. --quick is a rehearsal, which is not kept.

Columns of results/methods.parquet:
    name      of the pair, as in "byol-resnet"; with its rate if one was asked for
    method, encoder
    minutes   of the pretraining
    score     macro AUC of the linear probe; NaN where the pair is refused
    record    JSON: "environment", and "figures" with settings and scores
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import lenssim
from lensmodels import runs, training
from lensmodels.data import InputScaling, LensDataModule
from lensmodels.encoders import Encoder
from lensmodels.errors import LensmodelsError
from lensmodels.methods import PRETRAINING
from lensmodels.methods.probes import (
    embedding_rank,
    embedding_std,
    neighbour_probabilities,
    whiten,
)
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lensmodels.statistics.auc import macro_auc
from lensmodels.statistics.bootstrap import paired_interval, weighted_macro_auc
from lensmodels.views import plain_recipe
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "methods.parquet"
PAGE = RESULTS / "methods.md"
PACKAGES = ["torch", "timm", "lightning", "lightly", "scikit-learn"]

MODEL = "B"
TRAIN, TEST = 2000, 700
"""Images of each class."""

LIVE_ONLY = ("smooth-twin",)
"""Methods that ask for what an archive does not hold."""

# all of some hundred thousand weights, those of the grid `architectures`
ENCODERS: dict[str, dict[str, Any]] = {
    "resnet": {"encoder": "test_resnet"},
    "vit": {
        "encoder": "vit_tiny_patch16_224",
        "patch_size": 8,
        "overrides": ["encoder.arguments={depth: 4, embed_dim: 120, global_pool: avg}"],
    },
    "swin": {
        "encoder": "swin",
        "overrides": ["encoder.arguments={embed_dim: 32, depths: [1, 1, 2], num_heads: [1, 2, 4]}"],
    },
    # convolutions of single channels are slow in bfloat16 on processors
    "cvt": {"encoder": "cvt_tiny_64", "precision": "32-true"},
    "crossformer": {"encoder": "crossformer_tiny_64"},
}
EPOCHS = {"resnet": 4, "vit": 12, "swin": 8, "cvt": 12, "crossformer": 12}
PROBES = {"linear": "linear probe", "knn": "neighbours, whitened features"}


def pretrained(
    data: str, run: Path, method: str, family: str, rate: float | None, quick: bool
) -> dict[str, Any]:
    """Pretrains, and probes the features beside those of the first weights."""
    words = {
        "data": data,
        "method": method,
        "train_size": 100 if quick else TRAIN,
        "batch_size": 32 if quick else 128,
        "pretrain_epochs": 1 if quick else EPOCHS[family],
        "precision": "bf16-mixed",
        "seed": 0,
        **ENCODERS[family],
    }
    if rate is not None:
        words["overrides"] = [*words.get("overrides", ()), f"pretrain.learning_rate={rate}"]
    begun = time.perf_counter()
    try:
        config = training.begin(config_from_options(words), run, resume=True)
        training.pretrain(config, run)
    except LensmodelsError as error:
        return {"method": method, "family": family, "refused": str(error)}
    minutes = (time.perf_counter() - begun) / 60
    module = LensDataModule(config.data)
    module.setup()
    encoder, scaling = runs.load_encoder(run)
    ours = _probes(encoder, scaling, module)
    theirs = _probes(_untrained(config, scaling, module), scaling, module)
    labels = ours["labels"]
    probed = {}
    for probe in PROBES:
        paired = [weighted_macro_auc(labels, item[probe]) for item in (ours, theirs)]
        probed[probe] = {
            "macro_auc": macro_auc(labels, ours[probe]),
            "random_macro_auc": macro_auc(labels, theirs[probe]),
            "difference_ci95": paired_interval(paired[0], paired[1], labels, seed=0).as_list(),
        }
    spec = lenssim.open_archive(data).spec
    return {
        "method": method,
        "family": family,
        "spec": f"{spec.name} {spec.version}",
        "spec_sha256": spec.sha256,
        "encoder": config.encoder.model_dump(mode="json"),
        "views": plain_recipe(config.pretrain_views),
        "epochs": config.pretrain.epochs,
        "learning_rate": config.pretrain.learning_rate,
        "batch_size": config.data.batch_size,
        "n_train": module.sizes["train"],
        "n_test": len(labels),
        "minutes": minutes,
        "embedding_std": ours["std"],
        "embedding_rank": ours["rank"],
        "random_embedding_rank": theirs["rank"],
        "probes": probed,
    }


@torch.no_grad()
def _untrained(config: runs.RunConfig, scaling: InputScaling, data: LensDataModule) -> nn.Module:
    """The encoder that the pretraining began with, its batch norms set to the train images."""
    training.seed_weights(config, "pretrain")
    encoder = Encoder(config.encoder, data.num_pix).train()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    if norms:
        for batch in data.stream("train", shuffle=True):
            encoder(scaling(batch["image"]))
    return encoder.eval()


@torch.no_grad()
def _probes(encoder: nn.Module, scaling: InputScaling, data: LensDataModule) -> dict[str, Any]:
    """Test scores of classifiers on frozen features, which learn the labels of the train images."""

    def embedded(stream: Any) -> tuple[Tensor, Tensor]:
        pairs = [(encoder(scaling(item["image"])), item["label"].clone()) for item in stream]
        features, labels = (torch.cat(values) for values in zip(*pairs, strict=True))
        return features.float(), labels

    train, known = embedded(data.stream("train", shuffle=True))
    test, labels = embedded(data.test_dataloader())
    white, white_test = whiten(train, test)
    scaler = StandardScaler().fit(train)
    linear = LogisticRegression(max_iter=2000).fit(scaler.transform(train), known)
    return {
        "linear": linear.predict_proba(scaler.transform(test)).astype(np.float64),
        "knn": neighbour_probabilities(white, known, white_test).double().numpy(),
        "labels": labels.numpy(),
        "std": embedding_std(test),
        "rank": embedding_rank(test),
    }


def columns(figures: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table that are not in its record alone."""
    is_refused = "refused" in figures
    return {
        "method": figures["method"],
        "encoder": figures["family"],
        "minutes": math.nan if is_refused else figures["minutes"],
        "score": math.nan if is_refused else figures["probes"]["linear"]["macro_auc"],
    }


def page(records: dict[str, dict[str, Any]]) -> str:
    """The page of all pairs, Markdown."""
    figures = [record["figures"] for record in records.values()]
    done = [item for item in figures if "refused" not in item]
    refused = [item for item in figures if "refused" in item]
    parts = ["# Methods and encoders"]
    if done:
        parts.append(
            f"Macro AUC of classifiers on frozen features of {done[0]['n_test']:,} test images of "
            f"model {done[0]['spec']}, beside the same encoder at the weights that it began with; "
            f"pretrained on {done[0]['n_train']:,} images without labels. One pretraining each: "
            "the interval is that of the difference over test images, by paired bootstrap. Spread "
            "is 1 for isotropic features and 0 for collapsed ones; rates are at a batch of 256. "
            "`python experiments/methods.py`."
        )
        headings = ["method", "encoder", "rate", "epochs", "minutes", "spread", "rank"]
        for title in PROBES.values():
            headings += [title, "random weights", "difference, 95%"]
        rows = []
        for item in done:
            row = [
                item["method"],
                item["family"],
                f"{item['learning_rate']:g}",
                item["epochs"],
                f"{item['minutes']:.1f}",
                f"{item['embedding_std']:.2f}",
                f"{item['embedding_rank']:.0f}",
            ]
            for probe in PROBES:
                scores = item["probes"][probe]
                low, high = scores["difference_ci95"]
                row += [
                    f"{scores['macro_auc']:.3f}",
                    f"{scores['random_macro_auc']:.3f}",
                    f"{low:+.3f} to {high:+.3f}",
                ]
            rows.append(row)
        parts.append(markdown_table(headings, rows))
    parts += [f"{item['method']} with {item['family']}: {item['refused']}" for item in refused]
    for where in dict.fromkeys(json.dumps(record["environment"]) for record in records.values()):
        listed = ", ".join(f"{key} {value}" for key, value in json.loads(where).items())
        parts.append(f"On: {listed}.")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [name for name in PRETRAINING if name not in LIVE_ONLY]
    parser.add_argument("--method", nargs="+", default=known, choices=known)
    parser.add_argument("--encoder", nargs="+", default=list(ENCODERS), choices=ENCODERS)
    parser.add_argument("--learning-rate", type=float, help="in place of the methods' own")
    parser.add_argument("--work", type=Path, help="folder of the archive and the runs, kept")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rate = options.learning_rate
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        train, test = (100, 60) if options.quick else (TRAIN, TEST)
        data = work / f"{MODEL}-{train}"
        lenssim.generate(MODEL, train=train, test=test, out=data)
        for method in options.method:
            for family in options.encoder:
                name = f"{method}-{family}" + (f"-{rate:g}" if rate is not None else "")
                if not options.quick and name in read_records(TABLE):
                    continue
                run = work / "runs" / f"{name}-{train}"
                figures = pretrained(str(data), run, method, family, rate, options.quick)
                shutil.rmtree(run, ignore_errors=True)
                record = {"environment": environment(PACKAGES), "figures": figures}
                if options.quick:
                    print(page({name: record}))
                    continue
                add_record(TABLE, name, columns(figures), record)
                with replacing(PAGE) as path:
                    path.write_text(page(read_records(TABLE)))
                print(name, columns(figures), flush=True)


if __name__ == "__main__":
    main()
