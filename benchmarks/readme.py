"""Writes the tables of README.md and docs/explanation/results.md from the measured results."""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from lensmodels.methods.supervision import method_title, supervision_of
from lensmodels.reporting.measurements import read_records
from lensmodels.reporting.tables import format_difference, format_interval, markdown_table
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import Difference
from lensmodels.study import Grid, load_grid
from lensmodels.study.comparison import (
    ComparedRow,
    Score,
    compare_rows,
    difference_of,
    score_of,
    select,
    significant_gains,
)
from lensmodels.study.grid import BASELINE, BASELINE_NAMES, COMPARED, PCA_BASELINE
from lensmodels.study.results import CellResult, read_results

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ROOT / "experiments" / "results"
MODELS = ("A", "B")
DIGITS = 4
"""Of a macro AUC."""


def figures(name: str) -> Any:
    """Everything that a benchmark measured."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["figures"]


def simulator() -> str:
    """Error of the fast engine, and its speed beside lenstronomy's at that error, by class."""
    speed = {(row["model"], row["class"]): row for row in figures("generation")["equal_error"]}
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in figures("accuracy"):
        key = row["model"], row["class"]
        if key in speed:
            rows.setdefault(row["model"], []).append(row["fast"] | {"speed": speed[key]})

    def cells(values: list[dict[str, Any]]) -> list[str]:
        errors = (" / ".join(f"{each[name]:.2f}" for each in values) for name in ("median", "p99"))
        ratios = (each["speed"]["lenstronomy"] / each["speed"]["fast"] for each in values)
        return [*errors, " / ".join(f"{ratio:.0f}x" for ratio in ratios)]

    headings = ["model", "median error", "99th percentile", "speed against lenstronomy"]
    return markdown_table(headings, [[model, *cells(values)] for model, values in rows.items()])


def archives() -> str:
    """Cost of what surrounds the rendering."""
    made, stored = figures("generation"), figures("archives")
    shards, checked = stored["shard writing, images/s"], stored["checking, s"]
    rows = [
        [
            "images/s of the whole `generate`, all three classes, against rendering alone, "
            f"model {whole['model']}",
            f"{whole['rendering'] / whole['generate']:.0%}",
        ]
        for whole in made["archive"]
    ]
    rows += [
        [
            f"peak memory of `generate`, {row['images']} images of each class of {row['model']}",
            f"{row['megabytes']:.0f} MB",
        ]
        for row in made.get("memory", [])
    ]
    rows += [
        [
            "writing shards, against webdataset's ShardWriter",
            f"{shards['ours'] / shards['ShardWriter']:.1f}x",
        ],
        [
            "checking every file, against `sha256sum`",
            f"{checked['sha256sum'] / checked['one worker']:.0%}",
        ],
        [
            "requests to open a group on a web server, and for its first 256 images",
            f"{stored['requests']['opening']} + {stored['requests']['first 256 images']}",
        ],
    ]
    return markdown_table(["what", "measured"], rows)


def learning() -> str:
    """Speed of the streams and of training, and what is learned from model B."""
    streams = {
        row["pipeline"]: row["ratio"]
        for row in figures("streaming")["streams"]
        if row["workers"] == 1
    }
    steps = [row["ratio"] for row in figures("training_cpu")]
    rows = [
        ["batches from Zarr, one worker, against stock webdataset", f"{streams['zarr']:.0f}x"],
        ["batches from shards, likewise", f"{streams['shards']:.0f}x"],
        [
            "pretraining steps/s on two cores, against the plain lightly recipes",
            f"{min(steps):.1f}x to {max(steps):.1f}x",
        ],
    ]
    for record in read_records(EXPERIMENTS / "axion_mass.parquet").values():
        run = record["figures"]
        metrics = run["metrics"]
        rows.append(
            [
                "RMSE of the axion mass in dex, 10,000 images, a small ResNet, "
                f"{run['epochs']} epochs, {run['about']}",
                f"{metrics['rmse_dex']:.3f} ({format_interval(metrics['ci95']['rmse_dex'], 3)})",
            ]
        )
    probed = [
        record["figures"]
        for name, record in read_records(EXPERIMENTS / "methods.parquet").items()
        if "probes" in record["figures"]
        and name == f"{record['figures']['method']}-{record['figures']['family']}"  # at its rate
        and supervision_of(record["figures"]["method"]) == "images"  # and not by the simulator
    ]
    for family in dict.fromkeys(run["family"] for run in probed):
        linear = [run["probes"]["linear"] for run in probed if run["family"] == family]
        scores = [run["macro_auc"] for run in linear]
        chance = [run["random_macro_auc"] for run in linear]
        rows.append(
            [
                f"linear probe of a small {family}, pretrained on 5,700 images of B 2.0.0 without "
                f"labels, {len(linear)} methods (at random weights)",
                f"{min(scores):.3f} to {max(scores):.3f} ({max(chance):.3f})",
            ]
        )
    return markdown_table(["what", "measured"], rows)


@cache
def grid_and_results(name: str) -> tuple[Grid, list[CellResult]]:
    """A grid and its results, read once: each keeps its bootstrap."""
    return load_grid(name), read_results(EXPERIMENTS / name)


def rows_of(name: str, model: str, labels: float = 1.0) -> list[ComparedRow]:
    """Rows of a grid that were run."""
    grid, results = grid_and_results(name)
    rows = compare_rows(grid, results, model=model, task="classification", labels=labels)
    return [row for row in rows if row.ours]


@cache
def grid_rows(labels: float) -> dict[str, list[ComparedRow]]:
    """Rows of the laptop grid that were run, by model."""
    rows = {model: rows_of("laptop", model, labels) for model in MODELS}
    return {model: of_model for model, of_model in rows.items() if of_model}


def _table(labels: float) -> str:
    """Scores of the rows that were run, and what they gain over each baseline."""
    body = []
    of_models = grid_rows(labels)
    names = [
        name
        for name in COMPARED
        if any(name in row.gains for rows in of_models.values() for row in rows)
    ]
    for model, rows in of_models.items():
        marks = significant_gains(rows)
        for row, of_row in zip(rows, marks, strict=True):
            cells = [_score(score) for score in (row.baseline, row.ours)]
            gains = [_gain(row.gains.get(name), of_row.get(name)) for name in names]
            body.append([model, method_title(row.method), row.encoder, *cells, *gains])
    against = [f"less {BASELINE_NAMES[name].lower()}" for name in names]
    return markdown_table(
        ["model", "method", "encoder", "supervised", "pretrained", *against], body
    )


def few_labels() -> str:
    """What pretraining brings where labels are few."""
    return _table(0.01)


def encoders() -> str:
    """Encoders beside the first, with all labels, and each beside its own baselines with few."""
    grid, results = grid_and_results("architectures")

    def cells(method: str, encoder: str, labels: float) -> list[CellResult]:
        return select(
            results, model="B", method=method, encoder=encoder, task="classification", labels=labels
        )

    def mean(of: list[CellResult]) -> str:
        return _score(score_of(of, "macro_auc") if of else None)

    reference = grid.reference_encoder
    assert reference is not None
    few = rows_of("architectures", "B", 0.01)
    gains = {  # with the correction of the report, over both baselines
        row.encoder: _gain(row.gains.get(PCA_BASELINE), marks.get(PCA_BASELINE))
        for row, marks in zip(few, significant_gains(few), strict=True)
    }
    first = cells(BASELINE, reference, 1.0)
    whole = {encoder: cells(BASELINE, encoder, 1.0) for encoder in grid.encoders}
    run = [encoder for encoder, of_encoder in whole.items() if of_encoder]
    differences = [
        difference_of(whole[encoder], first, "macro_auc") if encoder != reference else None
        for encoder in run
    ]
    body = [
        [
            encoder,
            mean(whole[encoder]),
            _gain(difference, mark),
            *(mean(cells(name, encoder, 0.01)) for name in (BASELINE, PCA_BASELINE, "vicreg")),
            gains.get(encoder, ""),
        ]
        for encoder, difference, mark in zip(
            run, differences, significant(differences), strict=True
        )
    ]
    headings = ["encoder", "all labels", f"less {reference}", "1% of the labels"]
    headings += ["and PCA of all images", "VICReg", "VICReg less PCA of all images"]
    return markdown_table(headings, body)


def published() -> str:
    """The study's rows by its recipe and longer, each from random weights to pretrained."""
    body = []
    for model in ("A-deeplense", "B-deeplense"):
        rows = rows_of("published", model)
        longer = {(row.method, row.encoder): row for row in rows_of("published-long", model)}
        for row, marks in zip(rows, significant_gains(rows), strict=True):
            assert row.study is not None  # every row of the grid is one of the study's
            long = longer.get((row.method, row.encoder))
            body.append(
                [
                    model,
                    method_title(row.method),
                    row.encoder,
                    f"{row.study.supervised:.3f} to {row.study.finetuned:.3f}",
                    _pair("published", model, row),
                    row.ours.replicates if row.ours else "",
                    _gain(row.gains.get(BASELINE), marks.get(BASELINE)),
                    _pair("published-long", model, long) if long else "",
                ]
            )
    headings = ["model", "method", "encoder", "the study", "20 epochs of finetuning", "of"]
    return markdown_table([*headings, "gain", "100 epochs, 1 seed"], body)


def _pair(name: str, model: str, row: ComparedRow) -> str:
    """Scores from random weights and pretrained, over the seeds of the finetuning of the latter."""
    whole, ours = (
        select(
            grid_and_results(name)[1], model=model, method=method, encoder=row.encoder,
            task="classification",
        )
        for method in (BASELINE, row.method)
    )  # fmt: skip
    seeds = {cell.cell.seed for cell in ours}
    first = [cell for cell in whole if cell.cell.seed in seeds]
    return f"{_score(score_of(first, 'macro_auc')) if first else '?'} to {_score(row.ours)}"


def _score(score: Score | None) -> str:
    return f"{score.mean:.{DIGITS}f}" if score else ""


def _gain(gain: Difference | None, is_significant: bool | None) -> str:
    """A difference with its interval, bold if it is significant."""
    if gain is None:
        return ""
    mean = format_difference(gain.mean, DIGITS)
    interval = format_interval(gain.interval.as_list(), DIGITS)
    return f"{f'**{mean}**' if is_significant else mean} ({interval})"


PAGES = {
    ROOT / "README.md": {"simulator": simulator},
    ROOT / "docs" / "explanation" / "results.md": {
        "archives": archives,
        "learning": learning,
        "few labels": few_labels,
        "encoders": encoders,
        "published": published,
    },
}


def with_tables(page: Path) -> str:
    """The text of a page with everything between `<!-- NAME -->` and `<!-- end -->` made again."""
    text = page.read_text()
    for name, block in PAGES[page].items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, block=block: match[1] + block() + "\n" + match[2],
            text,
            flags=re.S,
        )
        if count != 1:
            sys.exit(f"{page.name} must hold the block {name} once.")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    is_check = parser.parse_args().check
    for page in PAGES:
        text = with_tables(page)
        if not is_check:
            page.write_text(text)
        elif text != page.read_text():
            sys.exit(f"{page.name} is older than the results: run python benchmarks/readme.py.")


if __name__ == "__main__":
    main()
