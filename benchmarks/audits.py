"""The leak audit of archives of every specification 2.0.0.

    python benchmarks/audits.py [--archive A=DIR] [--models A B ...]

Whether anything but dark matter tells the classes apart (`lenssim audit`), 10,000 images a class.
An archive that is not given is simulated in a temporary folder, without the refit S/N, which the
audit does not look at. Rows of models that are not measured now stay.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from lensmodels.reporting.measurements import results_folder, write
from lensmodels.reporting.tables import markdown_table
from lenssim import generate, load_spec, open_archive
from lenssim.audit import audit

MODELS = ("A", "B", "A-wide", "B-wide", "B-faithful")
SPECIFICATION_VERSION = "2.0.0"
MAX_RING_EXCESS = 1e-5
"""Above which the ring of an image counts as another than its smooth lens's."""


def measured(model: str, archive: str, images: int) -> dict[str, Any]:
    """Result of the audit of one archive, and what it was made by."""
    spec = open_archive(archive).spec
    record = audit(archive, images_per_class=images)
    return {
        "model": model,
        "version": spec.version,
        "spec_sha256": spec.sha256,
        **record.model_dump(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The audits as Markdown."""
    lines = []
    for row in rows:
        closest = min(row["features"], key=lambda feature: float(feature["p_value"]))
        excess = max(row["ring_excess"].values())
        lines.append(
            [
                f"{row['model']} {row['version']}",
                f"{min(row['images'].values()):,}",
                f"{row['auc']:.4f} ± {row['standard_error']:.4f}",
                f"{(row['auc'] - 0.5) / row['standard_error']:+.1f}",
                f"{closest['name']} (p = {closest['p_value']:.2f})",
                f"{excess:.1e}",
                "passed" if row["passed"] and excess < MAX_RING_EXCESS else "FAILED",
            ]
        )
    return markdown_table(
        [
            "model",
            "images a class",
            "macro AUC",
            "standard errors from 0.5",
            "most telling feature, after Holm",
            "largest ring excess",
            "",
        ],
        lines,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--images", type=int, default=10_000, help="of each class")
    parser.add_argument(
        "--archive", action="append", default=[], metavar="MODEL=DIR", help="in place of a new one"
    )
    options = parser.parse_args()
    given = dict(text.split("=", 1) for text in options.archive)
    stored = results_folder() / "audits.json"
    rows = json.loads(stored.read_text())["figures"] if stored.exists() else []
    for model in options.models:
        if load_spec(model).version != SPECIFICATION_VERSION:
            parser.error(f"Model {model} is not of version {SPECIFICATION_VERSION}.")
        with tempfile.TemporaryDirectory() as scratch:
            archive = given.get(model, str(Path(scratch) / "archive"))
            if model not in given:
                without_refit = ["observation.refit_snr=none"]
                generate(model, train=options.images, test=0, out=archive, overrides=without_refit)
            row = measured(model, archive, options.images)
        rows = [each for each in rows if each["model"] != model] + [row]
        rows.sort(key=lambda each: MODELS.index(each["model"]))
        write(
            "audits",
            "Macro AUC of gradient boosting on all that must not tell the class, and what each "
            "feature tells alone. Chance is 0.5.",
            rows,
            table(rows),
            ["numpy", "numba", "scikit-learn"],
        )


if __name__ == "__main__":
    main()
