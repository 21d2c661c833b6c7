"""Does a model say when it does not know? The share of images that it flags, by what is strange.

A small model learns the classes of model B. It is then shown images that differ from its training
images in one thing each, and pictures that are no such image at all, and for each kind the share
that is outside what the model knows is reported (docs/how-to/trust-a-prediction.md), beside what it
would have said of them (`lensmodels predict --force`). The first row is the test split at home.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import lenssim
from lensmodels.api import run_config, train
from lensmodels.evaluation import predict
from lensmodels.evaluation.out_of_distribution import HomeScores, load_home_scores
from lensmodels.evaluation.summary import classes_of, probabilities_of
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim import errors

SIMULATED: dict[str, tuple[str, tuple[str, ...]]] = {
    "Einstein radius 2% larger": ("B", ("lens.einstein_mass=1.0404e12",)),
    "shear of 0.03": ("B", ("lens.gamma1=0.03",)),
    "source two magnitudes fainter": ("B", ("source.magnitude=22.0",)),
    "PSF 20% wider": ("B", ("instrument.psf_fwhm=0.192",)),
    "exposure four times as long": ("B", ("instrument.num_exposures=16",)),
    "model A": ("A", ()),
    "model B-wide": ("B-wide", ()),
}
"""Model and changed settings of the images of each kind."""

ELECTRONS_PER_ADU = 3.1
EXPOSURE = 566.0 * 4
"""Seconds, of model B."""


def pictures(images: NDArray[np.float32], deeplense: Path) -> Iterator[tuple[str, NDArray]]:
    """What is no image of model B in e-/s.

    Args:
        images: of model B, (n, height, width).
        deeplense: folder of axion.npy, cdm.npy and no_sub.npy, images of the DeepLense sets; they
            are left out where it is missing.
    """
    yield "ADU in place of e-/s", images * EXPOSURE / ELECTRONS_PER_ADU
    yield "ADU/s in place of e-/s", images / ELECTRONS_PER_ADU
    yield "mirrored sign", -images
    noise = images[:, :8, :].std(axis=(1, 2), keepdims=True)
    generator = np.random.default_rng(0)
    yield "sky noise alone", noise * generator.standard_normal(images.shape)
    yield "a blank image", np.zeros((1, *images.shape[1:]))
    files = [deeplense / f"{name}.npy" for name in ("axion", "cdm", "no_sub")]
    if all(file.exists() for file in files):
        found = [np.load(file, allow_pickle=False).squeeze() for file in files]
        yield "DeepLense images, min-max scaled", np.stack(found)


VALIDATION = 0.2
"""Share of the train images that thresholds and calibration are measured on."""

HOME_SEED, SHIFTED_SEED = 5, 77


def generate(
    model: str, out: Path, train: int, test: int, seed: int, overrides: tuple[str, ...] = ()
) -> Path:
    """An archive; the one that is there."""
    if not (out / "archive.json").exists():
        lenssim.generate(model, out=out, train=train, test=test, seed=seed, overrides=overrides)
    return out


def measure(name: str, table: pd.DataFrame, home: HomeScores) -> dict[str, object]:
    """What a model says of the images of a kind.

    Args:
        name: of the kind.
        table: predictions of the images, also of those that are flagged.
        home: what the model keeps of its validation images.
    """
    outside = ~table["in_distribution"].to_numpy(bool)
    percentiles = table[[f"percentile_{score}" for score in home.names]].to_numpy()
    beyond = ((percentiles <= 0) | (percentiles >= 100)).mean(axis=0)
    probabilities = probabilities_of(table)
    said = np.array(classes_of(table))[probabilities.argmax(axis=1)]
    names, counts = np.unique(said, return_counts=True)
    return {
        "input": name,
        "images": len(table),
        "flagged": float(outside.mean()),
        "flagged_by_pixels": float((table["novelty"] > 1).mean()),
        "novelty": float(table["novelty"].median()),
        "beyond_all_validation_images": dict(zip(home.names, beyond.tolist(), strict=True)),
        "most_frequent_class": str(names[counts.argmax()]),
        "share_of_that_class": float(counts.max() / counts.sum()),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for archives and the run")
    parser.add_argument("--train", type=int, default=3000, help="train images of each class")
    parser.add_argument("--test", type=int, default=1500, help="test images of each class")
    parser.add_argument("--shifted", type=int, default=100, help="images of each class and kind")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--deeplense", type=Path, default=Path("deeplense"))
    arguments = parser.parse_args()
    work = arguments.work
    archive = generate("B", work / "B", arguments.train, arguments.test, HOME_SEED)
    run = work / "run"
    if not (run / "metrics.json").exists():
        options = {"encoder": "test_resnet", "finetune_epochs": arguments.epochs, "lr": 1e-3}
        held_out = [f"data.validation_fraction={VALIDATION}"]
        train(run_config(archive, **options, overrides=held_out), run)
    home = load_home_scores(run)
    if home is None:
        raise errors.LenssimError(f"{run} keeps nothing of its validation images.")

    def predicted(given: Path) -> pd.DataFrame:
        return predict(run, [given], work / "predictions.csv", force=True, overwrite=True)

    rows = [measure("the test split", pd.read_csv(run / "predictions.csv"), home)]
    for name, (model, overrides) in SIMULATED.items():
        folder = work / "-".join(name.lower().replace("%", "").split())
        generate(model, folder, 0, arguments.shifted, SHIFTED_SEED, overrides)
        rows.append(measure(name, predicted(folder), home))
    split = lenssim.open_archive(archive)
    images = np.concatenate(
        [
            split.dataset("test", name)["image"][: arguments.shifted].values
            for name in ("axion", "cdm", "no_sub")
        ]
    )
    for name, pixels in pictures(images, arguments.deeplense):
        np.save(work / "pictures.npy", pixels.astype(np.float32))
        rows.append(measure(name, predicted(work / "pictures.npy"), home))
    tested = pd.read_json(run / "metrics.json", typ="series")
    calibration = tested["calibration"]
    text = markdown_table(
        [
            "input",
            "images",
            "flagged",
            "by its pixels alone",
            "median novelty",
            "said without the flag",
            "confidence",
        ],
        [
            [
                row["input"],
                f"{row['images']:,}",
                f"{row['flagged']:.1%}",
                f"{row['flagged_by_pixels']:.1%}",
                f"{row['novelty']:.2g}",
                f"{row['most_frequent_class']} ({row['share_of_that_class']:.0%})",
                f"{row['mean_confidence']:.3f}",
            ]
            for row in rows
        ],
    )
    write(
        "out_of_distribution",
        f"Share of images that a test_resnet, trained on {arguments.train:,} images a class of "
        f"model B (macro AUC {tested['macro_auc']:.3f} at home), says are outside what it knows: "
        "by all that it is told, and by the pixels alone, without what an archive states of its "
        "instrument. Median novelty, of which 1 is the threshold. What it would say without the "
        "flag: the most frequent class, and the mean probability of each image's own.",
        {
            "macro_auc": float(tested["macro_auc"]),
            "expected_calibration_error": float(tested["expected_calibration_error"]),
            "calibration": calibration,
            "rows": rows,
        },
        f"{text}\n\nAt home, the expected calibration error is "
        f"{calibration['expected_calibration_error_before']:.3f}, and "
        f"{tested['expected_calibration_error']:.3f} after temperature scaling "
        f"(T = {calibration['temperature']:.2f}); the 90% prediction sets hold the true class for "
        f"{calibration['coverage']:.1%} of the test images, with "
        f"{calibration['validation_images']:,} validation images.",
        ["numpy", "torch", "scikit-learn"],
    )


if __name__ == "__main__":
    main()
