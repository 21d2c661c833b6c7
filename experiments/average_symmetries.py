"""What the mean over the eight symmetries of an image brings to the runs of the grid `wide`.

    python experiments/average_symmetries.py --grid DIR --data DIR

The first DIR is that of `lensmodels study --grid wide --out DIR`, the second its archive of B-wide.
Every finetuned run is tested once more with `--average-symmetries`: the outputs are of the mean
features of an image and its quarter turns and mirror images, which lenses know nothing of. The
page compares pretraining with random weights, both averaged, with Holm's correction over its table.

Columns of results/average_symmetries.parquet:
    name      of the cell of the grid
    method, encoder, labels, pretrain_seed, seed
    score     macro AUC over all test images, symmetries averaged
    record    JSON: "auc_above_snr" of the run as it is ("plain") and averaged, the macro AUC of
              "resamples" of the test images, "environment"
A run whose row is there is skipped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lensmodels.evaluation import score
from lensmodels.methods import PRETRAINING
from lensmodels.reporting.measurements import add_record, environment, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.statistics.bootstrap import resamples, weighted_macro_auc
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import Trainings, difference
from lensmodels.study.results import read_results
from lenssim.spec import CLASSES
from lenssim.storage.atomic import replacing

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "average_symmetries.parquet"
PAGE = RESULTS / "average_symmetries.md"
METRICS = "metrics.json"
BASELINE = "supervised (resnet)"

RESAMPLES = 400
"""Of the test images, the same for every run, that are kept."""

SHOWN = (0.0, 5.0)
"""Least refit S/N of the macro AUCs on the page."""


def _of(rows: list[dict[str, Any]], least: float) -> float:
    [value] = [row["auc"] for row in rows if (row["above"], row["class"]) == (least, "all")]
    return float(value)


def resampled_auc(table: pd.DataFrame) -> list[float]:
    """Macro AUC of predictions on `RESAMPLES` resamples of the test images."""
    labels = table["label"].to_numpy()
    statistic = weighted_macro_auc(labels, table[[f"p_{name}" for name in CLASSES]].to_numpy())
    drawn = np.concatenate([statistic(counts) for counts in resamples(labels, seed=0)])
    return [round(float(value), 6) for value in drawn[:RESAMPLES]]


def trainings(records: list[dict[str, Any]]) -> Trainings:
    """Averaged scores of the runs of a method and a share of labels."""
    return trainings_of(
        [record["cell"] for record in records],
        [_of(record["averaged"], 0.0) for record in records],
        [record["resamples"] for record in records],
        is_pretrained=records[0]["cell"]["method"] in PRETRAINING,
    )


def trainings_of(
    runs: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    drawn: Sequence[Sequence[float]],
    *,
    is_pretrained: bool,
) -> Trainings:
    """Scores of runs of one kind, which began with a pretraining or with random weights.

    Args:
        runs: "seed" of the labels and "pretrain_seed" of each.
        values, drawn: score of each on the test images, and on each of their resamples.
        is_pretrained: whether they began with a pretraining, which some of them share.
    """
    pretrainings: list[Hashable] = [
        run["pretrain_seed"] if is_pretrained else ("random", run["seed"]) for run in runs
    ]
    return Trainings([run["seed"] for run in runs], pretrainings, np.array(values), np.array(drawn))


def gains(groups: Mapping[tuple[float, str], list[dict[str, Any]]]) -> str:
    """The table of differences from `BASELINE`, bold where one is significant."""
    compared = [
        (labels, method, difference(trainings(records), trainings(groups[labels, BASELINE])))
        for (labels, method), records in sorted(groups.items())
        if method != BASELINE and (labels, BASELINE) in groups and len(records) > 1
    ]
    rows = []
    marks = significant([gain for *_, gain in compared])
    for (labels, method, gain), is_significant in zip(compared, marks, strict=True):
        low, high = gain.interval.as_list()
        mean = f"**{gain.mean:+.3f}**" if is_significant else f"{gain.mean:+.3f}"
        rows.append([f"{labels:.2%}", method, f"{mean} ({low:+.3f} to {high:+.3f})"])
    return markdown_table(["labels", "method", f"averaged, less {BASELINE}"], rows)


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
        "experiments/average_symmetries.py`.\n\n"
        f"{markdown_table(headings, rows)}\n\nDifferences with 95% intervals over pretrainings, "
        "draws of the labels and test images; bold if significant after Holm's correction over "
        f"this table.\n\n{gains(groups)}\n"
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
            tested, metrics = score(run, options.data, out=Path(folder), average_symmetries=True)
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
            "resamples": resampled_auc(tested.table),
            "environment": where,
        }
        add_record(TABLE, cell.name, columns | {"score": metrics["macro_auc"]}, record)
        with replacing(PAGE) as scratch:
            scratch.write_text(page())
    print(page())


if __name__ == "__main__":
    main()
