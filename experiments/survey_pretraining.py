"""What an encoder gains from survey images without labels, beside simulations or in their place.

The survey is model B-wide with another PSF and other noise; its labels are used by no pretraining.
An encoder is pretrained on the simulations, on the survey, or on both in each batch, with one set
of batch-norm statistics or one for each. It is then finetuned on the simulations, and tested on
both; and the other way round, finetuned on a few labelled survey images. Every pretraining sees as
many images. The table has one row a pretraining (docs/how-to/survey-images.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lenssim
from lensmodels import training
from lensmodels.api import run_config, train
from lensmodels.options import pretrained_options
from lensmodels.reporting.measurements import write
from lensmodels.reporting.run_page import evaluate
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options

SURVEY = (
    "instrument.psf={gaussian: {fwhm: {uniform: [0.22, 0.30]}}}",
    "instrument.exposure_time=200.0",
)
"""Changes of the specification: a wider PSF, and a third of the exposure."""

PRETRAININGS = ("none", "simulations", "survey", "both", "both, norms by domain")

FEW = 0.1
"""Share of the survey images whose labels the other direction finetunes on."""


def archive(
    work: Path, name: str, arguments: argparse.Namespace, overrides: tuple[str, ...], seed: int
) -> Path:
    """The archive of a name, made if it is not there."""
    out = work / name
    if not (out / "archive.json").exists():
        lenssim.generate(
            arguments.model,
            out=out,
            train=arguments.train,
            test=arguments.test,
            seed=seed,
            overrides=["observation.refit_snr=none", *overrides],
        )
    return out


def pretrained(
    work: Path, name: str, archives: dict[str, Path], arguments: argparse.Namespace
) -> Path:
    """A run that was pretrained; the one that is there."""
    run = work / "pretrained" / name.replace(", ", "-").replace(" ", "-")
    if (run / "encoder.safetensors").exists():
        return run
    is_mixed = name.startswith("both")
    options: dict[str, Any] = {
        "data": str(archives["survey" if name == "survey" else "simulations"]),
        "method": arguments.method,
        "encoder": arguments.encoder,
        "batch_size": arguments.batch_size,
        # a batch of both has half as many of each, so that an epoch sees twice as many
        "pretrain_epochs": max(1, arguments.pretrain_epochs // (2 if is_mixed else 1)),
        "seed": arguments.seed,
    }
    if is_mixed:
        options["unlabelled"] = {str(archives["survey"]): 1.0}
        options["domain_norms"] = name.endswith("by domain")
    config = config_from_options(options)
    training.check_requirements(config, run, finetuned=False)
    training.pretrain(training.begin(config, run, resume=run.exists()), run)
    return run


def finetuned(
    work: Path,
    name: str,
    start: Path | None,
    data: Path,
    arguments: argparse.Namespace,
    labels: float,
) -> Path:
    """A run that was finetuned on the labels of an archive, and tested on it."""
    run = work / "finetuned" / f"{name.replace(', ', '-').replace(' ', '-')}-{data.name}"
    options: dict[str, Any] = {
        "batch_size": arguments.batch_size,
        "finetune_epochs": arguments.finetune_epochs,
        "labels": labels,
        "seed": arguments.seed,
    }
    if start is None:
        config = run_config(data, encoder=arguments.encoder, **options)
    else:
        config = config_from_options(pretrained_options(str(start), str(data)) | options)
    if not (run / "metrics.json").exists():
        train(config, run, resume=run.exists())
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for archives and runs")
    parser.add_argument("--model", default="B-wide")
    parser.add_argument("--method", default="byol")
    parser.add_argument("--encoder", default="test_resnet")
    parser.add_argument("--train", type=int, default=1000, help="train images of each class")
    parser.add_argument("--test", type=int, default=300, help="test images of each class")
    parser.add_argument("--pretrain-epochs", type=int, default=10)
    parser.add_argument("--finetune-epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    work = arguments.work
    archives = {
        "simulations": archive(work, "simulations", arguments, (), 11),
        "survey": archive(work, "survey", arguments, SURVEY, 12),
    }
    rows, measured = [], {}
    for name in PRETRAININGS:
        start = None if name == "none" else pretrained(work, name, archives, arguments)
        on_simulations = finetuned(work, name, start, archives["simulations"], arguments, 1.0)
        on_survey = finetuned(work, name, start, archives["survey"], arguments, FEW)
        survey = str(archives["survey"])
        scores = {
            "simulations": evaluate(on_simulations),
            "simulations, tested on the survey": evaluate(on_simulations, survey),
            "survey": evaluate(on_survey),
        }
        measured[name] = {
            key: {"macro_auc": found["macro_auc"], "ci95": found["ci95"]["macro_auc"]}
            for key, found in scores.items()
        }
        rows.append([name, *(score["macro_auc"] for score in measured[name].values())])
    images = 3 * arguments.train
    write(
        "survey_pretraining",
        f"Macro AUC of a {arguments.encoder} on model {arguments.model} and on a survey of it with "
        f"a wider PSF and more noise, {images:,} train images each, of which a pretraining "
        f"({arguments.method}) uses no label. One seed.",
        measured,
        markdown_table(
            [
                "pretrained on",
                "finetuned and tested on simulations",
                "finetuned on simulations, tested on the survey",
                f"finetuned on {FEW:.0%} of the labels of the survey, tested on it",
            ],
            rows,
        ),
        ["numpy", "torch", "lightly"],
    )


if __name__ == "__main__":
    main()
