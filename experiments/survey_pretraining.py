"""What an encoder gains from survey images without labels, beside simulations or in their place.

    python experiments/survey_pretraining.py --work DIR [--seeds 0 1 2]

The survey is model B-wide with another PSF and other noise; its labels are used by no pretraining.
The networks see residuals of the smooth fit, which is made with each archive's own PSF and noise:
images of a world as wide teach a small network nothing (docs/explanation/wide-world.md). An encoder
is pretrained on the simulations, on the survey, or on both in each batch, with one set of
batch-norm statistics or one for each. It is then finetuned on the simulations, and tested on both;
and the other way round, finetuned on a few labelled survey images. Every pretraining sees as many
images. A seed is a pretraining and a draw of the labelled images; the pages have one row a
pretraining, and differences from no pretraining in bold if they are significant after Holm's
correction over all of them (docs/how-to/survey-images.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import lenssim
from lensmodels import training
from lensmodels.evaluation import score
from lensmodels.evaluation.shifts import Shift, replaced, scaled, wider_psf
from lensmodels.options import pretrained_options
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lensmodels.settings import config_from_options
from lensmodels.statistics.bootstrap import resamples, weighted_macro_auc
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import Trainings, difference, mean_interval
from lenssim.spec import CLASSES, Specification, load_spec

WITHOUT_REFIT = {"observation.refit_snr": "none"}


def survey_values(spec: Specification) -> dict[str, Any]:
    """The survey's changes of a specification: a PSF 40% wider, and a third of the exposure."""
    exposure = scaled("instrument.exposure_time", 1 / 3)(spec)
    return {**WITHOUT_REFIT, **wider_psf(1.4)(spec), **exposure}


SIMULATIONS = Shift("simulations", replaced(WITHOUT_REFIT))
SURVEY = Shift("survey", survey_values)

PRETRAININGS = ("none", "simulations", "survey", "both", "both, norms by domain")

LABELS = {"simulations": 1.0, "survey": 0.1}
"""Share of the labels that an encoder is finetuned on: simulations come with all of them."""

TESTS = {
    ("simulations", "simulations"): "finetuned and tested on simulations",
    ("simulations", "survey"): "finetuned on simulations, tested on the survey",
    ("survey", "survey"): "finetuned on 10% of the labels of the survey, tested on it",
}


def archive(work: Path, shift: Shift, arguments: argparse.Namespace, seed: int) -> Path:
    """The archive of a shift of the model, made if it is not there."""
    out = work / shift.name
    if not (out / "archive.json").exists():
        spec = load_spec(arguments.model)
        shifted = shift.specification(spec) or spec
        lenssim.generate(shifted, out=out, train=arguments.train, test=arguments.test, seed=seed)
    lenssim.fit(out)
    return out


def pretrained(
    work: Path, name: str, archives: dict[str, Path], arguments: argparse.Namespace, seed: int
) -> Path:
    """A run that was pretrained; the one that is there."""
    run = work / "pretrained" / f"{_folder(name)}-{seed}"
    if (run / "encoder.safetensors").exists():
        return run
    is_mixed = name.startswith("both")
    options = _options(arguments, seed) | {
        "data": str(archives["survey" if name == "survey" else "simulations"]),
        "method": arguments.method,
        "encoder": arguments.encoder,
        # a batch of both has half as many of each, so that an epoch sees twice as many
        "pretrain_epochs": max(1, arguments.pretrain_epochs // (2 if is_mixed else 1)),
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
    seed: int,
) -> Path:
    """A run that was finetuned on the labels of an archive; the one that is there."""
    run = work / "finetuned" / f"{_folder(name)}-{data.name}-{seed}"
    if (run / "metrics.json").exists():
        return run
    labels = LABELS[data.name]
    options = _options(arguments, seed) | {
        # as many steps with few labels
        "finetune_epochs": round(arguments.finetune_epochs / labels),
        "lr": 4e-3,
        "labels": labels,
    }
    if start is None:
        options |= {"data": str(data), "encoder": arguments.encoder}
    else:
        options |= pretrained_options(str(start), str(data))
    training.train(config_from_options(options), run, resume=run.exists(), tested=True)
    return run


def _folder(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")


def _options(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What the runs have in common: as in the grid `wide`."""
    overrides = ["data.scaling=asinh", "data.softening=20", "precision=bf16-mixed"]
    return {
        "input": "residual",
        "batch_size": arguments.batch_size,
        "seed": seed,
        "overrides": overrides,
    }


def predicted(run: Path, data: Path) -> pd.DataFrame:
    """What a run says of the test images of an archive."""
    out = run.parent.parent / "tests" / f"{run.name}-on-{data.name}"
    if not (out / "metrics.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        score(run, str(data), out=out)
    return pd.read_csv(out / "predictions.csv")


def trainings(tables: list[pd.DataFrame], seeds: list[int]) -> Trainings:
    """Macro AUC of several trainings on the same test images, with bootstrap resamples."""
    labels = tables[0]["label"].to_numpy()
    columns = [f"p_{name}" for name in CLASSES]
    statistics = [weighted_macro_auc(labels, table[columns].to_numpy()) for table in tables]
    drawn = [
        [statistic(counts) for statistic in statistics] for counts in resamples(labels, seed=0)
    ]
    whole = np.ones((1, len(labels)))
    return Trainings(
        keys=seeds,
        pretrainings=seeds,
        values=np.array([float(statistic(whole)[0]) for statistic in statistics]),
        resamples=np.concatenate(drawn, axis=1),
    )


def page(scores: dict[str, dict[tuple[str, str], Trainings]]) -> str:
    """One row a pretraining: mean and 95% interval of each test; bold if a gain is significant."""
    gains = [
        difference(scores[name][test], scores["none"][test])
        for name in PRETRAININGS[1:]
        for test in TESTS
    ]
    is_significant = iter([False] * len(TESTS) + significant(gains))
    rows = []
    for name in PRETRAININGS:
        cells = []
        for test in TESTS:
            held = scores[name][test]
            low, high = mean_interval(held, 0, 1).as_list()
            text = f"{held.values.mean():.3f} ({low:.3f} to {high:.3f})"
            cells.append(f"**{text}**" if next(is_significant) else text)
        rows.append([name, *cells])
    return markdown_table(["pretrained on", *TESTS.values()], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for archives and runs")
    parser.add_argument("--model", default="B-wide")
    parser.add_argument("--method", default="vicreg")
    parser.add_argument("--encoder", default="test_resnet")
    parser.add_argument("--train", type=int, default=2000, help="train images of each class")
    parser.add_argument("--test", type=int, default=1000, help="test images of each class")
    parser.add_argument("--pretrain-epochs", type=int, default=12)
    parser.add_argument("--finetune-epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    work = arguments.work
    archives = {
        shift.name: archive(work, shift, arguments, seed)
        for shift, seed in ((SIMULATIONS, 11), (SURVEY, 12))
    }
    tables: dict[tuple[str, tuple[str, str]], list[pd.DataFrame]] = {}
    for seed in arguments.seeds:
        for name in PRETRAININGS:
            start = None if name == "none" else pretrained(work, name, archives, arguments, seed)
            runs = {
                data: finetuned(work, name, start, archives[data], arguments, seed)
                for data in LABELS
            }
            for test in TESTS:
                learned, tested = test
                table = predicted(runs[learned], archives[tested])
                tables.setdefault((name, test), []).append(table)
    scores = {
        name: {test: trainings(tables[name, test], arguments.seeds) for test in TESTS}
        for name in PRETRAININGS
    }
    images, seeds = 3 * arguments.train, len(arguments.seeds)
    write(
        "survey_pretraining",
        f"Macro AUC of a {arguments.encoder} on residuals of model {arguments.model} and of a "
        f"survey of it with a wider PSF and more noise, {images:,} train images each, of which a "
        f"pretraining ({arguments.method}) uses no label. Means of {seeds} seeds, each a "
        "pretraining and a draw of the labelled images, and 95% intervals; a difference from no "
        "pretraining that is significant after Holm's correction is bold.",
        {
            name: {" to ".join(test): held.values.tolist() for test, held in tests.items()}
            for name, tests in scores.items()
        },
        page(scores),
        ["numpy", "torch", "lightly"],
    )


if __name__ == "__main__":
    main()
