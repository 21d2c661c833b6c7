"""Does a model say when it does not know? Shift tests of a small model of model B.

It is tested on images that differ from its training images in one thing each, and on pictures that
are no such images at all (docs/how-to/shift-tests.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lenssim
from lensmodels.api import run_config, train
from lensmodels.evaluation.shift_testing import measure_shifts
from lensmodels.reporting.measurements import write
from lensmodels.reporting.shift_tables import shift_table
from lensmodels.reporting.tables import markdown_table

VALIDATION = 0.2
"""Share of the train images that thresholds and calibration are measured on."""

SEED = 5
"""Of the archive."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for archive and run")
    parser.add_argument("--model", default="B")
    parser.add_argument("--train", type=int, default=3000, help="train images of each class")
    parser.add_argument("--test", type=int, default=500, help="test images of each class")
    parser.add_argument("--shift-images", type=int, default=100, help="of each class and shift")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    archive, run = arguments.work / arguments.model, arguments.work / "run"
    if not (archive / "archive.json").exists():
        lenssim.generate(
            arguments.model,
            out=archive,
            train=arguments.train,
            test=arguments.test,
            seed=SEED,
            overrides=["observation.refit_snr=none"],
        )
    config = run_config(
        archive,
        encoder="test_resnet",
        finetune_epochs=arguments.epochs,
        lr=1e-3,
        overrides=[f"data.validation_fraction={VALIDATION}"],
    )
    metrics = train(config, run, resume=(run / "model.safetensors").exists())
    found = measure_shifts(run, arguments.shift_images, out=run)
    calibration, at_home = metrics["calibration"], metrics["in_distribution"]
    said = markdown_table(
        ["shift", "most frequent class", "its share"],
        [
            [row["shift"], row["most_frequent_class"], f"{row['share_of_that_class']:.0%}"]
            for row in found["rows"]
        ],
    )
    write(
        "out_of_distribution",
        f"Shift tests of a test_resnet, trained on {arguments.train:,} images a class of model "
        f"{arguments.model}: macro AUC {metrics['macro_auc']:.3f} on its "
        f"{metrics['n_test']:,} test images, {at_home['share_outside']:.1%} of which are flagged.",
        {
            "macro_auc": metrics["macro_auc"],
            "expected_calibration_error": metrics["expected_calibration_error"],
            "in_distribution": at_home,
            "calibration": calibration,
            "shifts": {key: found[key] for key in ("rows", "left_out", "images_per_class")},
        },
        f"{shift_table(found).markdown}\n\nWhat it says of most images of a shift, without the "
        f"flag:\n\n{said}\n\nOn the test images, the expected calibration error is "
        f"{calibration['expected_calibration_error_before']:.3f}, and "
        f"{metrics['expected_calibration_error']:.3f} after temperature scaling "
        f"(T = {calibration['temperature']:.2f}); the 90% prediction sets hold the true class for "
        f"{calibration['coverage']:.1%} of them, with {calibration['validation_images']:,} "
        "validation images.",
        ["numpy", "torch", "scikit-learn"],
    )


if __name__ == "__main__":
    main()
