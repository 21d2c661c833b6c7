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
from lensmodels.evaluation import score
from lensmodels.evaluation.shifts import Shift, replaced, scaled, wider_psf
from lensmodels.options import pretrained_options
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lenssim.spec import Specification, load_spec

WITHOUT_REFIT = {"observation.refit_snr": "none"}


def survey_values(spec: Specification) -> dict[str, Any]:
    """The survey's changes of a specification: a PSF 40% wider, and a third of the exposure."""
    exposure = scaled("instrument.exposure_time", 1 / 3)(spec)
    return {**WITHOUT_REFIT, **wider_psf(1.4)(spec), **exposure}


SIMULATIONS = Shift("simulations", replaced(WITHOUT_REFIT))
SURVEY = Shift("survey", survey_values)

PRETRAININGS = ("none", "simulations", "survey", "both", "both, norms by domain")

FEW = 0.1
"""Share of the survey images whose labels the other direction finetunes on."""


def archive(work: Path, shift: Shift, arguments: argparse.Namespace, seed: int) -> Path:
    """The archive of a shift of the model, made if it is not there."""
    out = work / shift.name
    if not (out / "archive.json").exists():
        spec = load_spec(arguments.model)
        shifted = shift.specification(spec) or spec
        lenssim.generate(shifted, out=out, train=arguments.train, test=arguments.test, seed=seed)
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
    """A run that was finetuned on the labels of an archive; the one that is there."""
    run = work / "finetuned" / f"{name.replace(', ', '-').replace(' ', '-')}-{data.name}"
    options: dict[str, Any] = {
        "batch_size": arguments.batch_size,
        "finetune_epochs": arguments.finetune_epochs,
        "labels": labels,
        "seed": arguments.seed,
    }
    if start is None:
        config = config_from_options({"data": str(data), "encoder": arguments.encoder} | options)
    else:
        config = config_from_options(pretrained_options(str(start), str(data)) | options)
    training.train(config, run, resume=run.exists(), tested=True)
    return run


def macro_auc(run: Path, data: Path) -> dict[str, Any]:
    """Macro AUC of a run on the test images of an archive, with its 95% interval."""
    out = run.parent.parent / "tests" / f"{run.name}-on-{data.name}"
    out.mkdir(parents=True, exist_ok=True)
    _, metrics = score(run, str(data), out=out)
    return {"macro_auc": metrics["macro_auc"], "ci95": metrics["ci95"]["macro_auc"]}


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
        shift.name: archive(work, shift, arguments, seed)
        for shift, seed in ((SIMULATIONS, 11), (SURVEY, 12))
    }
    rows, measured = [], {}
    for name in PRETRAININGS:
        start = None if name == "none" else pretrained(work, name, archives, arguments)
        on_simulations = finetuned(work, name, start, archives["simulations"], arguments, 1.0)
        on_survey = finetuned(work, name, start, archives["survey"], arguments, FEW)
        measured[name] = {
            "simulations": macro_auc(on_simulations, archives["simulations"]),
            "simulations, tested on the survey": macro_auc(on_simulations, archives["survey"]),
            "survey": macro_auc(on_survey, archives["survey"]),
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
