"""What the mean over the eight symmetries of an image brings to the runs of the grid `wide`.

    python experiments/average_symmetries.py --grid DIR --data DIR

The first DIR is that of `lensmodels study --grid wide --out DIR`, the second its archive of B-wide.
Every finetuned run is tested once more with `--average-symmetries`: the outputs are of the mean
features of an image and its quarter turns and mirror images, which lenses know nothing of.

Columns of results/average_symmetries.parquet:
    name      of the cell of the grid
    method, encoder, labels, pretrain_seed, seed
    score     macro AUC over all test images, symmetries averaged
    record    JSON: "auc_above_snr" of the run as it is ("plain") and averaged, "environment"
A run whose row is there is skipped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lensmodels.evaluation import score
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.study.results import read_results
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "average_symmetries.parquet"
PAGE = RESULTS / "average_symmetries.md"
METRICS = "metrics.json"

SHOWN = (0.0, 5.0)
"""Least refit S/N of the macro AUCs on the page."""


def _of(rows: list[dict[str, Any]], least: float) -> float:
    [value] = [row["auc"] for row in rows if (row["above"], row["class"]) == (least, "all")]
    return float(value)


def page() -> str:
    """Means over the runs of a method and a share of labels, as they are and averaged."""
    groups: dict[tuple[float, str], list[dict[str, Any]]] = {}
    for record in read_records(TABLE).values():
        cell = record["cell"]
        groups.setdefault((cell["labels"], f"{cell['method']} ({cell['encoder']})"), []).append(
            record
        )
    rows = []
    for (labels, method), records in sorted(groups.items()):
        cells = []
        for least in SHOWN:
            plain, averaged = (
                np.array([_of(record[name], least) for record in records])
                for name in ("plain", "averaged")
            )
            gain = averaged - plain
            cells += [
                f"{plain.mean():.3f}",
                f"{averaged.mean():.3f}",
                f"{gain.min():+.3f} to {gain.max():+.3f}",
            ]
        rows.append([f"{labels:.2%}", method, len(records), *cells])
    headings = ["labels", "method", "runs"]
    for least in SHOWN:
        of = f"refit S/N > {least:g}" if least else "all images"
        headings += [f"macro AUC, {of}", "averaged", "gain, least to greatest"]
    return (
        "# The mean over eight symmetries, grid `wide`\n\nMacro AUC on the test images of B-wide "
        "of the finetuned runs, as they are and with the outputs of the mean features over the "
        "symmetries of each image; means over pretrainings and draws of the labels. By `python "
        "experiments/average_symmetries.py`.\n\n" + markdown_table(headings, rows) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=Path, required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    where = environment(["torch", "timm", "lightning"])
    for result in read_results(options.grid / "results"):
        cell = result.cell
        run = options.grid / "runs" / cell.name
        if cell.name in read_records(TABLE) or not run.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            _, metrics = score(run, options.data, out=Path(folder), average_symmetries=True)
        columns = {
            "method": cell.method,
            "encoder": cell.encoder,
            "labels": cell.labels,
            "pretrain_seed": cell.pretrain_seed,
            "seed": cell.seed,
        }
        record = {
            "cell": columns,
            "plain": json.loads((run / METRICS).read_text())["auc_above_snr"],
            "averaged": metrics["auc_above_snr"],
            "environment": where,
        }
        add_record(TABLE, cell.name, columns | {"score": metrics["macro_auc"]}, record)
        with replacing(PAGE) as scratch:
            scratch.write_text(page())
    print(page())


if __name__ == "__main__":
    main()
