"""What a pretraining gains with few labels when one thing about it is changed.

    python experiments/variations.py run --data archives/B --out DIR    # of variations.yaml
    python experiments/variations.py report                             # results/variations.md

Each variation is the laptop grid with one change: its ResNet, model B, 1% of the labels (38 images
of each class), three seeds of the finetuning on one pretraining. Finished cells are skipped, as by
`lensmodels study`. Results are kept in results/variations.parquet, whose columns are those of a
study's table of cells (lensmodels/study/results.py) and "variation", the name of the change. They
are compared with the unchanged cells in results/laptop. The archive needs as many train images as
the largest variation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from lensmodels.errors import LensmodelsError
from lensmodels.reporting.tables import markdown_table
from lensmodels.study import Grid, load_grid, run_grid
from lensmodels.study.comparison import (
    Difference,
    difference_of,
    score_of,
    select,
)
from lensmodels.study.grid import BASELINE, CellBlock
from lensmodels.study.results import (
    CellResult,
    read_results,
    results_of,
    table_of,
    write_table,
)
from lensmodels.training import InterruptedTrainingError
from lenssim.configuration.yaml_reading import read_yaml

RESULTS = Path(__file__).with_name("results")
TABLE = RESULTS / "variations.parquet"
UNCHANGED = RESULTS / "laptop"
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
        few_steps = {self.labels: grid.finetune_steps_at[LABELS]}
        baselines: tuple[Literal["supervised"], ...] = (BASELINE,) if self.baseline else ()
        encoder = values["encoders"][ENCODER]
        encoder["settings"] |= self.encoder
        encoder["set"] = {**encoder.get("set", {}), **self.set}
        changed = {
            method: {**grid.set_method.get(method, {}), **self.set_pretraining}
            for method in self.methods
        }
        values |= {
            "train": self.train or grid.train,
            "rows": [{"method": method, "encoder": ENCODER} for method in self.methods],
            "set_method": {**grid.set_method, **changed},
            "pretrain_steps": self.pretrain_steps or grid.pretrain_steps,
            "finetune_steps_at": {**grid.finetune_steps_at, **few_steps},
            "cells": [
                CellBlock(
                    models=(MODEL,), labels=(self.labels,), seeds=SEEDS, baselines=baselines
                ).model_dump()
            ],
        }
        return Grid.model_validate(values)


def variations() -> dict[str, Variation]:
    """What variations.yaml lists, by name."""
    values = read_yaml(Path(__file__).with_suffix(".yaml"))
    return {name: Variation.model_validate(entry) for name, entry in values.items()}


@click.group()
def main() -> None:
    """Changes one thing of a pretraining at a time."""


@main.command()
@click.option("--data", required=True, help="Archive of model B: DIR or URL.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@click.option("--name", "names", multiple=True, type=click.Choice([*variations()]))
def run(data: str, out: Path, names: Sequence[str]) -> None:
    """Runs the variations, all if none is named."""
    known = variations()
    failed = []
    for name in names or known:
        grid = known[name].of(load_grid("laptop"))
        try:
            run_grid(grid, grid.all_cells(), {MODEL: data}, out / name)
        except InterruptedTrainingError as error:
            raise click.ClickException(str(error)) from None
        except LensmodelsError as error:
            failed.append(f"{name}: {error}")
        finally:
            keep(name, read_results(out / name / "results"))
    if failed:
        raise click.ClickException("\n".join(failed))


def keep(name: str, results: Sequence[CellResult]) -> None:
    """Puts the results of a variation into the table, in place of its earlier ones."""
    added = table_of(results)
    added = added.append_column("variation", pa.array([name] * len(added), pa.string()))
    if TABLE.exists():
        others = pq.read_table(TABLE, filters=[("variation", "!=", name)])
        added = pa.concat_tables([others, added.cast(others.schema)])
    write_table(added.sort_by([("variation", "ascending"), ("name", "ascending")]), TABLE)


@main.command()
def report() -> None:
    """Writes results/variations.md from the table."""
    text = page()
    (RESULTS / "variations.md").write_text(text)
    click.echo(text)


def page() -> str:
    """The page of all variations, Markdown."""
    unchanged = read_results(UNCHANGED)
    methods = dict.fromkeys(method for entry in variations().values() for method in entry.methods)
    usual = {method: _cells(unchanged, method, LABELS) for method in (BASELINE, *methods)}
    rows = [
        row
        for name, variation in variations().items()
        for row in _rows(variation, _read(name, variation), usual)
    ]
    return "\n\n".join(
        [
            "# variations",
            "Macro AUC with 38 labelled images of each class, model B, the laptop grid's ResNet: "
            "means over three seeds of the finetuning on one pretraining, with 95% intervals over "
            "test images and seeds. All seeds of a row share one pretraining, so that no "
            "difference is significant. The baseline is changed likewise where the change concerns "
            "it. How "
            "pretrainings of other seeds would scatter was not measured, so that differences "
            "from the unchanged cells are of this one. With another number of images the seeds "
            "choose other labelled ones, which a method shares with its baseline, and not with "
            "the unchanged cells. The linear probe is of the pretraining's validation images, "
            "with all their labels, and the last of its log.",
            markdown_table(
                ["unchanged", "linear probe", "rank", "macro AUC", "gain over the baseline"],
                [
                    [
                        method,
                        *_learned(cells),
                        f"{score_of(cells, 'macro_auc').mean:.4f}",
                        _gain(method, cells, usual[BASELINE]),
                    ]
                    for method, cells in usual.items()
                ],
            ),
            markdown_table(
                [
                    "what is changed (from)",
                    "method",
                    "linear probe",
                    "rank",
                    "macro AUC",
                    "less the unchanged",
                    "gain over the baseline",
                ],
                rows,
            ),
            "The input scaling of every row was measured on all images, labelled or not.",
            "Commands: `python experiments/variations.py run --data archives/B --out DIR`, and "
            "`report`; archives/B has 16,000 train images of each class, and 1,000 to test with.\n",
        ]
    )


def _read(name: str, variation: Variation) -> list[CellResult]:
    """Results of a variation; none where it was not run.

    Raises:
        click.ClickException: where some are missing, or were made from something else.
    """
    results = results_of(pq.read_table(TABLE, filters=[("variation", "=", name)]))
    if not results:
        return []
    grid = variation.of(load_grid("laptop"))
    made_from = {entry.cell: entry.record["made_from"]["recipe"] for entry in results}
    for cell in grid.all_cells():
        if _but_for_scaling(made_from.get(cell)) != _but_for_scaling(grid.recipe(cell)):
            raise click.ClickException(f"{name}: {cell.name} was not run like this; run it again.")
    return results


def _but_for_scaling(recipe: Mapping[str, Any] | None) -> Any:
    """A recipe without the images that a baseline's input scaling is measured on.

    The cells of the table were run before this was a setting: on all images, labelled or not, as
    the page says.
    """
    if recipe is None:
        return None
    kept = json.loads(json.dumps(recipe))
    kept["settings"].pop("data.scaling_images", None)
    return kept


def _rows(
    variation: Variation, results: Sequence[CellResult], usual: Mapping[str, list[CellResult]]
) -> list[list[str]]:
    """Rows of the table: the baseline, where it is changed, and each method."""
    if not results:
        return []
    changed = {
        method: _cells(results, method, variation.labels)
        for method in (*((BASELINE,) if variation.baseline else ()), *variation.methods)
    }
    baseline = changed.get(BASELINE, usual[BASELINE])
    is_same_data = variation.train is None
    return [
        [
            variation.about,
            method,
            # of other validation images, they are not of the same scale
            *(_learned(cells) if is_same_data else ("", "")),
            f"{score_of(cells, 'macro_auc').mean:.4f}",
            _shown(difference_of(cells, usual[method], "macro_auc")) if is_same_data else "",
            _gain(method, cells, baseline),
        ]
        for method, cells in changed.items()
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


def _gain(method: str, cells: Sequence[CellResult], baseline: Sequence[CellResult]) -> str:
    if method == BASELINE:
        return ""
    difference = difference_of(cells, baseline, "macro_auc")
    return _shown(difference)


def _shown(difference: Difference) -> str:
    low, high = difference.interval.as_list()
    return f"{difference.mean:+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
