"""What the gain of the study is made of: its images and recipe, with one thing changed at a time.

    python experiments/variations.py run --out DIR     # of variations.yaml
    python experiments/variations.py report            # results/variations.md

Each variation is the grid `published` with one change: model B-deeplense, one encoder, all labels,
from random weights and after a contrastive pretraining by rotation. There are three pretrainings by
three seeds of the finetuning, fewer where --replicates asks for fewer. A change of the pretraining
alone leaves the networks from random weights as they are. Where the images change, an archive of
its own is made in DIR/archives. Finished cells are skipped, as by `lensmodels study`. Results are
kept in results/variations.parquet, whose columns are those of a study's table of cells
(lensmodels/study/results.py) and "variation", the name of the change; a cell that was run again is
replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

import lenssim
from lensmodels.errors import LensmodelsError
from lensmodels.methods.supervision import method_title
from lensmodels.reporting.tables import format_difference, format_interval, markdown_table
from lensmodels.statistics.multiple_testing import significant
from lensmodels.statistics.paired import Difference
from lensmodels.study import Grid, load_grid, run_grid
from lensmodels.study.comparison import (
    change_of_gain,
    difference_of,
    published,
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
GRID = "published"
MODEL, METHOD = "B-deeplense", "contrastive-rotation"
SEEDS = (0, 1, 2)


class Variation(BaseModel):
    """One change of the grid; variations.yaml says what the keys are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    encoder: str = "resnet"
    set: Mapping[str, Any] = {}
    specification: Mapping[str, Any] = {}
    steps: Mapping[Literal["pretrain_steps", "finetune_steps"], int] = {}
    again: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is changed; its encoder's others are compared with one that is not."""
        return bool(self.set or self.specification or self.steps or self.again)

    @property
    def leaves_the_baseline(self) -> bool:
        """Whether networks from random weights know nothing of it."""
        return list(self.steps) == ["pretrain_steps"] and not (self.set or self.specification)

    def of(self, grid: Grid, replicates: int = len(SEEDS)) -> Grid:
        """A grid with this change, and no cells but those that show it.

        Args:
            grid: without the change.
            replicates: pretrainings, and seeds of the finetuning.
        """
        seeds = SEEDS[:replicates]
        block = CellBlock(
            models=(MODEL,), seeds=seeds, pretrain_seeds=seeds, rows=(f"{METHOD} {self.encoder}",),
            baselines=() if self.leaves_the_baseline else (BASELINE,),
        )  # fmt: skip
        values = grid.model_dump(exclude_unset=True) | self.steps
        values |= {"set": {**grid.set, **self.set}, "cells": [block.model_dump()]}
        return Grid.model_validate(values)

    def archive(self, grid: Grid, name: str, folder: Path) -> Path:
        """The archive of its images, made if it is not there; unchanged images share one.

        Args:
            grid: how many images are needed.
            name: of the variation.
            folder: of the archives.
        """
        out = folder / (name if self.specification else "none")
        overrides = [f"{key}={value}" for key, value in self.specification.items()]
        lenssim.generate(MODEL, out=out, train=grid.train, test=grid.test, overrides=overrides)
        return out


def variations() -> dict[str, Variation]:
    """What variations.yaml lists, by name."""
    values = read_yaml(Path(__file__).with_suffix(".yaml"))
    return {name: Variation.model_validate(entry) for name, entry in values.items()}


@click.group()
def main() -> None:
    """Changes one thing of the study's images or recipe at a time."""


@main.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the runs.")
@click.option("--name", "names", multiple=True, type=click.Choice([*variations()]))
@click.option("--supervised", is_flag=True, help="Networks from random weights alone.")
@click.option(
    "--replicates",
    type=click.IntRange(1, len(SEEDS)),
    default=len(SEEDS),
    show_default=True,
    help="Pretrainings, and seeds of the finetuning.",
)
def run(out: Path, names: Sequence[str], supervised: bool, replicates: int) -> None:
    """Runs the variations, all if none is named."""
    known = variations()
    failed = []
    for name in names or known:
        grid = known[name].of(load_grid(GRID), replicates)
        archive = known[name].archive(grid, name, out / "archives")
        try:
            cells = [cell for cell in grid.all_cells() if cell.is_baseline or not supervised]
            run_grid(grid, cells, {MODEL: str(archive)}, out / name)
        except InterruptedTrainingError as error:
            raise click.ClickException(str(error)) from None
        except LensmodelsError as error:
            failed.append(f"{name}: {error}")
        finally:
            keep(name, read_results(out / name / "results"))
    if failed:
        raise click.ClickException("\n".join(failed))


def keep(name: str, results: Sequence[CellResult]) -> None:
    """Puts the results of a variation into the table, in place of those of the same cells."""
    if not results:
        return
    added = table_of(results)
    added = added.append_column("variation", pa.array([name] * len(added), pa.string()))
    if TABLE.exists():
        table = pq.read_table(TABLE)
        replaced = pc.and_(
            pc.equal(table["variation"], name), pc.is_in(table["name"], added["name"])
        )
        others = table.filter(pc.invert(replaced))
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
    grid, known = load_grid(GRID), variations()
    sides: dict[str, tuple[list[CellResult], list[CellResult]]] = {}
    unchanged: dict[str, tuple[list[CellResult], list[CellResult]]] = {}
    differences: dict[tuple[str, str], Difference] = {}
    for name, variation in known.items():
        results = _read(name, variation.of(grid))
        baseline, pretrained = (
            select(
                results, model=MODEL, method=method, encoder=variation.encoder,
                task="classification",
            )
            for method in (BASELINE, METHOD)
        )  # fmt: skip
        reference = unchanged.get(variation.encoder)
        if variation.leaves_the_baseline and pretrained and reference:
            finetuned = {cell.cell.seed for cell in pretrained}
            baseline = [cell for cell in reference[0] if cell.cell.seed in finetuned]
        if not baseline:
            continue
        sides[name] = (baseline, pretrained)
        if not variation.changes:
            unchanged[variation.encoder] = sides[name]
        if pretrained:
            differences[name, "gain"] = difference_of(pretrained, baseline, "macro_auc")
        if not variation.changes or reference is None:
            continue
        if not variation.leaves_the_baseline:
            differences[name, "change"] = difference_of(
                baseline, reference[0], "macro_auc", same_images=not variation.specification
            )
        if pretrained and reference[1]:
            differences[name, "change of gain"] = change_of_gain(
                (pretrained, baseline), (reference[1], reference[0]), "macro_auc"
            )
    marks = significant(list(differences.values()))
    shown = {
        key: _shown(each, mark)
        for (key, each), mark in zip(differences.items(), marks, strict=True)
    }
    rows = []
    for name, of_name in sides.items():
        variation = known[name]
        if not variation.changes:
            study = published(MODEL, METHOD, grid.encoders[variation.encoder].study_encoder)
            assert study is not None  # it is one of the study's rows
            gain = f"{study.finetuned - study.supervised:+.3f}"
            scores_of_study = [
                f"{study.supervised:.3f}",
                "",
                f"{study.finetuned:.3f}",
                gain,
                "",
                "",
            ]
            rows.append(["the study", variation.encoder, *scores_of_study])
        scores = [score_of(cells, "macro_auc") if cells else None for cells in of_name]
        supervised, finetuned = (
            f"{score.mean:.4f} ({score.replicates})" if score else "" for score in scores
        )
        rows.append(
            [
                variation.about,
                variation.encoder,
                supervised,
                shown.get((name, "change"), ""),
                finetuned,
                shown.get((name, "gain"), ""),
                shown.get((name, "change of gain"), ""),
                _processors(of_name),
            ]
        )
    headings = ["what is changed (from)", "encoder"]
    headings += ["supervised", "less nothing changed", "pretrained"]
    return "\n\n".join(
        [
            "# variations",
            f"Macro AUC with all labels, model {MODEL}, encoders of the grid `{GRID}`, "
            f"{3 * grid.train:,} train images: from random weights and after a pretraining "
            f"({method_title(METHOD)}), with one thing changed at a time. 95% intervals over test "
            "images, pretrainings and seeds of the finetuning; a difference is bold if it is "
            "significant after Holm's correction over this table. Differences are over the "
            "pretrainings and seeds that both sides have; of one seed, the interval is over test "
            "images alone. Where processors differ, so does rounding in mixed precision.",
            markdown_table([*headings, "gain", "change of gain", "processors"], rows),
            "Commands: `python experiments/variations.py run --out DIR`, with `--supervised` for "
            "the networks from random weights alone and `--replicates 1` for one training of each "
            "kind, and `report`.\n",
        ]
    )


def _shown(difference: Difference, is_significant: bool) -> str:
    mean = format_difference(difference.mean, 4)
    interval = format_interval(difference.interval.as_list(), 4)
    return f"{f'**{mean}**' if is_significant else mean} ({interval})"


def _processors(sides: Sequence[Sequence[CellResult]]) -> str:
    """What the cells were run on, without the trimmings of a maker's name."""
    names = {cell.record["hardware"]["device"] for cells in sides for cell in cells}
    return ", ".join(sorted({" ".join(name.split("(")[0].split()[:2]) for name in names}))


def _read(name: str, grid: Grid) -> list[CellResult]:
    """Results of a variation; none where it was not run.

    Args:
        name: of the variation.
        grid: with its change.

    Raises:
        click.ClickException: where they were made from something else.
    """
    if not TABLE.exists():
        return []
    results = results_of(pq.read_table(TABLE, filters=[("variation", "=", name)]))
    for result in results:
        if result.record["made_from"]["recipe"] != grid.recipe(result.cell):
            raise click.ClickException(
                f"{name}: {result.cell.name} was not run like this; run it again."
            )
    return results


if __name__ == "__main__":
    main()
