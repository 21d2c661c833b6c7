"""The grid as data: which cells there are, in which order, and the settings of each.

A cell is one model trained on one task: an encoder, finetuned from one of several pretrainings or
from random weights, with some share of the labels and a draw of them. Every row of the study, a
self-supervised method with an encoder, has beside its own cells those of baselines of the same
encoder, all from random weights:

    supervised        the same views, schedule and number of finetuning steps, from the labelled
                      images alone: their input scaling is measured on these, too
    supervised-pca    the same, with the input scaling, a PCA, of all train images
    supervised-long   more steps, matched in compute to the most expensive pretraining of that
                      encoder, and the epoch with the lowest validation loss
    random-probe      the head alone, over an encoder of random weights

An equivariant baseline is `supervised` with the encoder `equivariant`: a block runs the baselines
of the encoders that it lists, as well as those of its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lensmodels.encoders import EncoderSettings
from lensmodels.errors import UsageError
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.tasks import TaskName
from lensmodels.views import default_recipe, plain_recipe
from lenssim.configuration.key_values import alternatives
from lenssim.configuration.yaml_reading import parse_yaml, read_yaml

Baseline = Literal["supervised", "supervised-pca", "supervised-long", "random-probe"]

BASELINE: Baseline = "supervised"
PCA_BASELINE: Baseline = "supervised-pca"
LONG_BASELINE: Baseline = "supervised-long"
COMPARED: tuple[Baseline, ...] = (BASELINE, PCA_BASELINE, LONG_BASELINE)
"""Baselines that a pretraining is compared with, in one table."""

BASELINE_SETTINGS: dict[str, dict[str, Any]] = {
    "supervised": {"data.scaling_images": "labelled"},
    "supervised-pca": {"data.scaling_images": "all"},
    "supervised-long": {"data.scaling_images": "labelled", "best_epoch": True},
    "random-probe": {
        "data.scaling_images": "labelled",
        "frozen": True,
        "reestimate_norms": True,  # those of random weights know nothing of the images
    },
}
"""Settings of a baseline's runs, by dotted key."""

BASELINES: tuple[Baseline, ...] = get_args(Baseline)

BASELINE_NAMES: dict[str, str] = {
    "supervised": "Supervised",
    "supervised-pca": "Supervised, PCA of all images",
    "supervised-long": "Supervised, equal compute",
    "random-probe": "Random encoder, probe",
}
"""How each baseline is called in a table."""

_SHIPPED = files("lensmodels.study") / "grids"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GridEncoder(_Strict):
    """An encoder of a grid.

    Attributes:
        study_encoder: the study's encoder, whose published scores it is compared with; older
            files have an older key.
        settings: what it is.
        set: settings of its runs, by dotted key.
    """

    study_encoder: Literal["resnet50", "vit"] = Field(
        validation_alias=AliasChoices("study_encoder", "stands_for")
    )
    settings: EncoderSettings
    set: dict[str, Any] = {}


class Row(_Strict):
    """A self-supervised method with an encoder: a row of the study's table."""

    method: str
    encoder: str


class CellBlock(_Strict):
    """Cells that are run one after the other: every combination of what is listed.

    Attributes:
        models: of the data.
        tasks: "classification", "axion-mass".
        labels: shares of the labels.
        seeds: of the finetuning, each of which draws other labelled images.
        pretrain_seeds: of the pretraining; every one is finetuned with every seed above.
        baselines: which; from random weights, which the finetuning's seed draws.
        encoders: of the grid, whose baselines are run beside those of the rows' encoders.
        rows: of the grid's, by "METHOD ENCODER"; all if None.
    """

    models: tuple[str, ...] = ("A", "B")
    tasks: tuple[TaskName, ...] = ("classification",)
    labels: tuple[float, ...] = (1.0,)
    seeds: tuple[int, ...] = (0,)
    pretrain_seeds: tuple[int, ...] = (0,)
    baselines: tuple[Baseline, ...] = (BASELINE, LONG_BASELINE)
    encoders: tuple[str, ...] = ()
    rows: tuple[str, ...] | None = None


class Grid(_Strict):
    """A grid of cells. A file may say by `extends: NAME` which grid its keys are put over.

    Attributes:
        about: what it is for, in a sentence.
        train, test: images of each class, the first ones of an archive's splits.
        encoders: by the name that rows use.
        reference_encoder: the one that the others are compared with, baseline by baseline; none
            if not given.
        rows: of the table.
        set: settings of every run, by dotted key, as in `lensmodels train --set`.
        set_method: settings of the runs of a method, by dotted key.
        pretrain_steps: optimiser steps of a pretraining.
        finetune_steps: optimiser steps of a finetuning.
        finetune_steps_at: the same for shares of the labels that are to have their own.
        cells: in the order in which they are run.
    """

    about: str
    train: int = Field(ge=1)
    test: int = Field(ge=1)
    encoders: dict[str, GridEncoder]
    reference_encoder: str | None = None
    rows: tuple[Row, ...]
    set: dict[str, Any] = {}
    set_method: dict[str, dict[str, Any]] = {}
    pretrain_steps: int = Field(ge=1)
    finetune_steps: int = Field(ge=1)
    finetune_steps_at: dict[float, Annotated[int, Field(ge=1)]] = {}
    cells: tuple[CellBlock, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Grid:
        for row in self.rows:
            if row.encoder not in self.encoders:
                raise ValueError(f"there is no encoder {row.encoder!r} among encoders")
            if row.method not in PRETRAINING_DEFAULTS:
                methods = ", ".join(PRETRAINING_DEFAULTS)
                raise ValueError(f"{row.method!r} is none of {methods}")
        if self.reference_encoder not in (None, *self.encoders):
            raise ValueError(f"there is no encoder {self.reference_encoder!r} among encoders")
        known = {_row_name(row) for row in self.rows}
        for block in self.cells:
            for name in block.rows or ():
                if name not in known:
                    raise ValueError(f"there is no row {name!r}")
            for name in block.encoders:
                if name not in self.encoders:
                    raise ValueError(f"there is no encoder {name!r} among encoders")
        return self

    def all_cells(self) -> list[Cell]:
        """Every cell once, in the order in which they are run."""
        cells: dict[Cell, None] = {}
        for block in self.cells:
            cells |= dict.fromkeys(self._cells_of(block))
        return list(cells)

    def _cells_of(self, block: CellBlock) -> Iterator[Cell]:
        rows = [row for row in self.rows if block.rows is None or _row_name(row) in block.rows]
        encoders = dict.fromkeys([*(row.encoder for row in rows), *block.encoders])
        starts: list[tuple[str, str, int]] = [
            (name, encoder, 0) for name in block.baselines for encoder in encoders
        ]
        starts += [
            (row.method, row.encoder, pretrain_seed)
            for pretrain_seed in block.pretrain_seeds
            for row in rows
        ]
        for seed, task, labels, model in product(
            block.seeds, block.tasks, block.labels, block.models
        ):
            for method, encoder, pretrain_seed in starts:
                yield Cell(model, method, encoder, task, labels, seed, pretrain_seed)

    def steps(self, cell: Cell) -> tuple[int, int]:
        """Optimiser steps of a cell's pretraining and of its finetuning.

        The long baseline is matched in compute to the most expensive pretraining of its encoder.
        """
        finetune = self.finetune_steps_at.get(cell.labels, self.finetune_steps)
        if not cell.is_baseline:
            return self.pretrain_steps, finetune
        if cell.method != LONG_BASELINE:
            return 0, finetune
        from lensmodels.methods import PRETRAINING

        rows = [row for row in self.rows if row.encoder == cell.encoder]
        max_cost = max((PRETRAINING[row.method].relative_cost for row in rows), default=0)
        return 0, finetune + round(self.pretrain_steps * max_cost)

    def cost(self, cell: Cell, *, is_pretrained: bool = False) -> float:
        """Work of a cell, in supervised steps.

        Args:
            cell: which.
            is_pretrained: whether its pretraining is there already.
        """
        pretrain, finetune = self.steps(cell)
        if not pretrain or is_pretrained:
            return finetune
        from lensmodels.methods import PRETRAINING

        return finetune + pretrain * PRETRAINING[cell.method].relative_cost

    def work(self, cells: Iterable[Cell]) -> dict[str, float]:
        """Work of cells by family, in supervised steps; a family is pretrained once."""
        work: dict[str, float] = {}
        for cell in cells:
            cost = self.cost(cell, is_pretrained=cell.family in work)
            work[cell.family] = work.get(cell.family, 0) + cost
        return work

    def settings_of(self, cell: Cell) -> dict[str, Any]:
        """Settings of a cell's runs by dotted key: its method's over its encoder's over all."""
        encoder = self.encoders[cell.encoder]
        return (
            self.set
            | encoder.set
            | BASELINE_SETTINGS.get(cell.method, {})
            | self.set_method.get(cell.run_method, {})
        )

    def recipe(self, cell: Cell) -> dict[str, Any]:
        """What decides a cell's result, besides the images; JSON-able."""
        pretrain, finetune = self.steps(cell)
        views = {"finetune": plain_recipe(default_recipe(BASELINE))}
        if not cell.is_baseline:
            views["pretrain"] = plain_recipe(default_recipe(cell.method))
        return {
            "train": self.train,
            "test": self.test,
            "encoder": self.encoders[cell.encoder].settings.model_dump(mode="json"),
            "settings": self.settings_of(cell),
            "pretrain_steps": pretrain,
            "finetune_steps": finetune,
            "views": views,
        }


@dataclass(frozen=True)
class Cell:
    """One model to be trained and tested.

    Attributes:
        model: of the data, as in "B".
        method: self-supervised, or a baseline.
        encoder: its name in the grid.
        task: "classification" or "axion-mass".
        labels: share of the labels.
        seed: of the finetuning, which also draws the labelled images.
        pretrain_seed: of the pretraining; 0 for a baseline.
    """

    model: str
    method: str
    encoder: str
    task: TaskName
    labels: float
    seed: int
    pretrain_seed: int = 0

    @property
    def name(self) -> str:
        """What its files are called."""
        parts = (self.model, self.method, self.encoder, self.task)
        return f"{'_'.join(parts)}_labels-{self.labels:g}{self._start}_seed-{self.seed}"

    @property
    def _start(self) -> str:
        """Part of a name: nothing for the first pretraining, as in results of before."""
        return f"_pretraining-{self.pretrain_seed}" if self.pretrain_seed else ""

    @property
    def is_baseline(self) -> bool:
        """Whether it begins with random weights."""
        return self.method in BASELINES

    @property
    def run_method(self) -> str:
        """The method of its run: every baseline is a supervised run."""
        return BASELINE if self.is_baseline else self.method

    @property
    def family(self) -> str:
        """What its pretraining is called: cells of one family share it, and a machine."""
        return f"{self.model}_{self.method}_{self.encoder}{self._start}"


def cells_of_models(cells: Sequence[Cell], models: Collection[str]) -> list[Cell]:
    """The cells of some models.

    Raises:
        UsageError: if there is no cell of one of them.
    """
    known = {cell.model for cell in cells}
    missing = set(models) - known
    if missing:
        raise UsageError(
            f"No cell is of model {' or '.join(sorted(missing))}; those here are of "
            f"{', '.join(sorted(known))}."
        )
    return [cell for cell in cells if cell.model in models]


def share_of(grid: Grid, cells: Sequence[Cell], part: int, parts: int) -> list[Cell]:
    """The cells for one machine of several; those of a family stay together.

    Families are dealt out by their work, the largest first, each to the machine that has least.

    Args:
        grid: that the cells are of.
        cells: to deal out.
        part: which machine, from 1.
        parts: number of machines.
    """
    work = grid.work(cells)
    loads = [0.0] * parts
    mine = set()
    for family in sorted(work, key=work.__getitem__, reverse=True):
        least = loads.index(min(loads))
        loads[least] += work[family]
        if least == part - 1:
            mine.add(family)
    return [cell for cell in cells if cell.family in mine]


def load_grid(name: str) -> Grid:
    """A grid that is shipped, by name, or one of a YAML file.

    Raises:
        UsageError: if there is no such grid, or the file is not one.
    """
    values = _read(name)
    try:
        return Grid.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        key = ".".join(path) or "the grid"
        if first["type"] == "extra_forbidden":
            raise UsageError(
                f"Grid {name}: unknown key '{key}'{alternatives(path, Grid)}."
            ) from None
        raise UsageError(f"Grid {name}: {key}: {first['msg']}.") from None


def _read(name: str, extending: tuple[str, ...] = ()) -> Any:
    """The keys of a grid, those of the one that it extends included.

    Args:
        name: of the grid, or its file.
        extending: the grids that extend this one.
    """
    if name in extending:
        raise UsageError(f"Grid {name} extends itself: {' -> '.join([*extending, name])}.")
    if name in shipped_grids():
        values = parse_yaml((_SHIPPED / f"{name}.yaml").read_text("utf-8"), f"Grid {name}")
    elif Path(name).exists():
        values = read_yaml(name, UsageError)
    else:
        raise UsageError(
            f"There is no grid {name!r}; choose {', '.join(shipped_grids())} or give a YAML file."
        )
    if not isinstance(values, dict):
        raise UsageError(f"Grid {name} must be a mapping of keys to values.")
    base = values.pop("extends", None)
    return values if base is None else _read(str(base), (*extending, name)) | values


def shipped_grids() -> list[str]:
    """Names of the grids that come with lensmodels."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in _SHIPPED.iterdir()
        if entry.name.endswith(".yaml")
    )


def _row_name(row: Row) -> str:
    return f"{row.method} {row.encoder}"
