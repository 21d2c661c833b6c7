"""What a pretraining gains with few labels when one thing about it is changed.

    python benchmarks/variations.py run --data archives/B --out DIR     # what variations.yaml lists
    python benchmarks/variations.py report                              # results/variations.md

Each variation is the laptop grid with one change: its ResNet, model B, 1% of the labels (38 images
of each class), three seeds of the finetuning on one pretraining. What is done already is skipped,
as by `lensmodels benchmark`. Results are kept as that keeps them, in results/variations/NAME, and
compared with the unchanged cells in results/laptop. The archive needs as many train images as the
variation that has most.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
import yaml
from pydantic import BaseModel, ConfigDict
from report import RESULTS, table

from lensmodels.benchmark import Grid, load_grid, run_grid
from lensmodels.benchmark.comparison import (
    Difference,
    difference_of,
    macro_auc,
    score_of,
    select,
)
from lensmodels.benchmark.grid import BASELINE, CellBlock
from lensmodels.benchmark.results import CellResult, read_results
from lensmodels.errors import LensmodelsError

FOLDER = RESULTS / "variations"
UNCHANGED = RESULTS / "laptop" / "results"
MODEL, ENCODER, LABELS, SEEDS = "B", "resnet", 0.01, (0, 1, 2)


class Variation(BaseModel):
    """One change of the grid; variations.yaml says what the keys are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    methods: tuple[str, ...]
    baseline: bool = False
    set: Mapping[str, Any] = {}
    set_pretraining: Mapping[str, Any] = {}
    encoder: Mapping[str, Any] = {}
    pretrain_steps: int | None = None
    train: int | None = None
    labels: float = LABELS

    def of(self, grid: Grid) -> Grid:
        """A grid with this change, and no cells but those that show it."""
        values = grid.model_dump(exclude_unset=True)
        few_steps = grid.finetune_steps_at[LABELS]
        baselines: tuple[Literal["supervised"], ...] = (BASELINE,) if self.baseline else ()
        values["encoders"][ENCODER]["settings"] |= self.encoder
        values |= {
            "train": self.train or grid.train,
            "rows": [{"method": method, "encoder": ENCODER} for method in self.methods],
            "set": {**grid.set, **self.set},
            "set_method": dict.fromkeys(self.methods, self.set_pretraining),
            "pretrain_steps": self.pretrain_steps or grid.pretrain_steps,
            "finetune_steps_at": {self.labels: few_steps},
            "cells": [
                CellBlock(
                    models=(MODEL,), labels=(self.labels,), seeds=SEEDS, baselines=baselines
                ).model_dump()
            ],
        }
        return Grid.model_validate(values)


def variations() -> dict[str, Variation]:
    """What variations.yaml lists, by name."""
    text = Path(__file__).with_suffix(".yaml").read_text()
    return {name: Variation.model_validate(each) for name, each in yaml.safe_load(text).items()}


@click.group()
def main() -> None:
    """Changes one thing of a pretraining at a time."""


@main.command()
@click.option("--data", required=True, help="Archive of model B: DIR or URL.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@click.option("--name", "names", multiple=True, type=click.Choice([*variations()]))
def run(data: str, out: Path, names: Sequence[str]) -> None:
    """Runs the variations, all where none is named."""
    known = variations()
    for name in names or known:
        grid = known[name].of(load_grid("laptop"))
        try:
            run_grid(grid, grid.all_cells(), {MODEL: data}, out / name)
        except LensmodelsError as error:
            raise click.ClickException(str(error)) from None
        shutil.copytree(out / name / "results", FOLDER / name, dirs_exist_ok=True)


@main.command()
def report() -> None:
    """Writes results/variations.md from the results."""
    unchanged = read_results(UNCHANGED)
    rows = []
    for name, variation in variations().items():
        results = read_results(FOLDER / name)
        for method in (*((BASELINE,) if variation.baseline else ()), *variation.methods):
            changed = _cells(results, method, variation.labels)
            if changed:
                baseline = _cells(results, BASELINE, variation.labels)
                usual = _cells(unchanged, BASELINE)
                rows.append(
                    [
                        variation.about,
                        method,
                        *_learned(changed),
                        f"{score_of(changed, macro_auc).mean:.4f}",
                        _shown(difference_of(changed, _cells(unchanged, method), macro_auc)),
                        ""
                        if method == BASELINE
                        else _shown(difference_of(changed, baseline or usual, macro_auc)),
                    ]
                )
    text = "\n\n".join(
        [
            "# variations",
            "Macro AUC with 1% of the labels, 38 images of each class, model B, the laptop grid's "
            "ResNet: means over three seeds of the finetuning on one pretraining, with 95% "
            "intervals over test images and seeds; in bold where they exclude zero. The baseline "
            "is changed likewise where the change concerns it. The linear probe, of the "
            "pretraining's validation images with all their labels, is its log's last, of one "
            "pretraining.",
            table(["unchanged", "linear probe", "rank", "macro AUC"], _unchanged_rows(unchanged)),
            table(
                [
                    "what is changed (from)",
                    "method",
                    "linear probe",
                    "rank",
                    "macro AUC",
                    "against unchanged",
                    "against its baseline",
                ],
                rows,
            ),
            "Commands: `python benchmarks/variations.py run --data archives/B --out DIR`, and "
            "`report`.",
        ]
    )
    (RESULTS / "variations.md").write_text(text + "\n")
    click.echo(text)


def _unchanged_rows(results: Sequence[CellResult]) -> list[list[str]]:
    methods = dict.fromkeys(method for each in variations().values() for method in each.methods)
    return [
        [method, *_learned(cells), f"{score_of(cells, macro_auc).mean:.4f}"]
        for method in (BASELINE, *methods)
        for cells in [_cells(results, method)]
    ]


def _cells(results: Sequence[CellResult], method: str, labels: float = LABELS) -> list[CellResult]:
    return select(
        results,
        model=MODEL,
        method=method,
        encoder=ENCODER,
        task="classification",
        labels=labels,
    )


def _learned(cells: Sequence[CellResult]) -> list[str]:
    """Linear probe and rank of the features that cells began with."""
    pretraining = cells[0].record["pretraining"]
    if pretraining is None:
        return ["", ""]
    figures = pretraining["figures"]
    return [f"{figures['linear_macro_auc']:.4f}", f"{figures['embedding_rank']:.0f}"]


def _shown(difference: Difference) -> str:
    low, high = difference.interval.as_list()
    text = f"{difference.mean:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"**{text}**" if difference.is_real else text


if __name__ == "__main__":
    main()
