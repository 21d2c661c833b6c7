"""Running a grid: cell after cell, each of which can be killed and resumed.

DIR/pretrained/FAMILY/   runs that were pretrained, each shared by the cells of its family
DIR/runs/CELL/           runs that were finetuned
DIR/results/             what is kept and compared: see results.py
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from lensmodels import training
from lensmodels.data import LensDataModule
from lensmodels.devices import choose_device
from lensmodels.errors import LensmodelsError
from lensmodels.evaluation import score
from lensmodels.methods import PRETRAINING
from lensmodels.runs import CHECKPOINTS, ENCODER, LOGS, RunConfig, read_config
from lensmodels.settings import PRETRAINING_KEYS, config_from_options
from lensmodels.study.at_once import run_at_once
from lensmodels.study.grid import Cell, Grid
from lensmodels.study.requests import RESULTS, check_archives
from lensmodels.study.results import (
    hardware,
    is_done,
    read_results,
    versions,
    write_result,
)
from lenssim.storage.atomic import replacing

_TIME = "minutes.json"
_TICK = 5.0
"""Seconds between two notes of the time that was spent: what a kill can lose."""


def run_grid(
    grid: Grid,
    cells: Sequence[Cell],
    data: Mapping[str, str],
    out: Path,
    *,
    device: str = "auto",
    seconds: float | None = None,
    jobs: int = 1,
) -> list[Cell]:
    """Runs the cells that have no result yet.

    Args:
        grid: their settings.
        cells: which, in this order; those of other models are passed over.
        data: archive of each model, as {"B": "archives/B"}.
        out: folder of the grid.
        device: "auto", "cpu" or "gpu".
        seconds: what there is time for: a cell that would not be done by then, judged by those
            that are, is passed over; None for all.
        jobs: cells at once, each in a process of its own; they share the device.

    Returns:
        The cells that are done, those of earlier runs among them.

    Raises:
        DataError: if an archive is not of its model, or too small.
        UsageError: if a folder holds what was made otherwise.
        LensmodelsError: if cells failed, naming them; the others are run all the same.
    """
    return GridRun(grid, data, out, device, jobs).run(cells, seconds)


class GridRun:
    """A grid that is running.

    Args:
        grid, data, out, device, jobs: as for `run_grid`.
    """

    def __init__(
        self, grid: Grid, data: Mapping[str, str], out: Path, device: str, jobs: int
    ) -> None:
        self.grid, self.data, self.out, self.device, self.jobs = grid, data, out, device, jobs
        self.results = out / RESULTS
        self.archives: dict[str, dict[str, Any]] = {}

    @property
    def hardware(self) -> dict[str, Any]:
        """What a cell runs on; the minutes of cells that share a device are longer."""
        shared = {"jobs": self.jobs} if self.jobs > 1 else {}
        return hardware(choose_device(self.device)) | shared

    def run(self, cells: Sequence[Cell], seconds: float | None) -> list[Cell]:
        """Runs the cells; see `run_grid`."""
        start = time.monotonic()
        wanted = [cell for cell in cells if cell.model in self.data]
        self.archives = check_archives(self.grid, wanted, self.data)
        held = {result.cell: result for result in read_results(self.results)}
        done = [cell for cell in wanted if is_done(held, self.results, cell, self._made_from(cell))]
        if done:
            click.echo(f"{len(done)} of {len(wanted)} cells are done already.", err=True)
        failed: list[Cell] = []
        number = len(done)

        def has_time(cell: Cell) -> bool:
            if seconds is None:
                return True
            left = seconds - (time.monotonic() - start)
            return left > 0 and self._expected_seconds(cell) <= left

        def begin(cell: Cell) -> None:
            nonlocal number
            number += 1
            click.echo(f"[{number}/{len(wanted)}] {cell.name}", err=True)

        def end(cell: Cell, error: LensmodelsError | None) -> None:
            if error is None:
                done.append(cell)
            else:
                click.echo(f"{cell.name} failed: {error}", err=True)
                failed.append(cell)

        waiting = [cell for cell in wanted if cell not in done]
        if self.jobs > 1:
            run_at_once(self, waiting, self.jobs, has_time=has_time, begin=begin, end=end)
        else:
            self._run_in_order(waiting, has_time, begin, end)
        if failed:
            raise LensmodelsError(
                f"{len(failed)} of {len(wanted)} cells failed: "
                f"{', '.join(cell.name for cell in failed)}."
            )
        return done

    def _run_in_order(
        self,
        cells: Sequence[Cell],
        has_time: Callable[[Cell], bool],
        begin: Callable[[Cell], None],
        end: Callable[[Cell, LensmodelsError | None], None],
    ) -> None:
        for cell in cells:
            if not has_time(cell):
                continue
            begin(cell)
            try:
                self.pretrain(cell)
                self.finetune(cell)
            except training.InterruptedTrainingError:
                raise
            except LensmodelsError as error:
                end(cell, error)
            else:
                end(cell, None)

    def _made_from(self, cell: Cell) -> dict[str, Any]:
        return {"recipe": self.grid.recipe(cell), "archive": self.archives[cell.model]}

    def _pretrained(self, cell: Cell) -> Path | None:
        return None if cell.is_baseline else self.out / "pretrained" / cell.family

    def _expected_seconds(self, cell: Cell) -> float:
        """Time of a cell, from what others with its encoder took here; 0 if there are none."""
        spent, cost, own = 0.0, 0.0, _without_threads(self.hardware)
        for result in read_results(self.results):
            if (
                _without_threads(result.record["hardware"]) == own
                and result.cell.encoder == cell.encoder
            ):
                spent += 60 * result.minutes
                cost += self.grid.cost(result.cell)
        pretrained = self._pretrained(cell)
        is_pretrained = pretrained is not None and (pretrained / ENCODER).exists()
        return spent / cost * self.grid.cost(cell, is_pretrained=is_pretrained) if cost else 0.0

    def finetune(self, cell: Cell) -> None:
        """Finetunes, from its pretraining, which is done, or random weights; tests; keeps that."""
        url, run = self.data[cell.model], self.out / "runs" / cell.name
        pretrained = self._pretrained(cell)
        config = self._config(cell, pretrained)
        with _timed(run):
            training.train(config, run, resume=True, moved=True)
        tested, metrics = score(run, url, device=self.device)
        del metrics["data"]["url"]  # where a machine keeps it says nothing
        record = {
            "made_from": self._made_from(cell),
            "settings": _settings(run, without=PRETRAINING_KEYS),
            "pretraining": {
                "settings": _settings(
                    pretrained, without=("finetune", "finetune_views", "task", "frozen")
                ),
                "figures": _learned(pretrained),
            }
            if pretrained
            else None,
            "minutes": {
                "pretrain": _minutes(pretrained) if pretrained else None,
                "finetune": _minutes(run),
            },
            "hardware": self.hardware,
            "versions": versions(),
            "metrics": metrics,
        }
        write_result(self.results, cell, record, tested.table)
        shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)

    def pretrain(self, cell: Cell) -> None:
        """Pretrains what a cell begins with, where it does not begin with random weights."""
        run = self._pretrained(cell)
        if run is None:
            return
        # one pretraining for the cells of every task, share of labels and draw of them
        shared = replace(cell, task="classification", labels=1.0, seed=cell.pretrain_seed)
        config = training.begin(self._config(shared, None), run, resume=True, moved=True)
        with _timed(run):
            training.pretrain(config, run)
        shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)

    def _config(self, cell: Cell, pretrained: Path | None) -> RunConfig:
        """Settings of a cell's run, its epochs from the steps of the grid."""
        overrides = {"data.test_size": self.grid.test, **self.grid.settings_of(cell)}
        options: dict[str, Any] = {
            "data": self.data[cell.model],
            "method": cell.run_method,
            "encoder_settings": self.grid.encoders[cell.encoder].settings,
            "task": cell.task,
            "labels": cell.labels,
            "seed": cell.seed,
            "train_size": self.grid.train,
            "device": self.device,
            "overrides": [f"{key}={json.dumps(value)}" for key, value in overrides.items()],
        }
        if pretrained is not None:
            options["pretrained"] = str(pretrained.resolve())
        data = LensDataModule(config_from_options(options).data)
        data.setup()
        pretrain, finetune = self.grid.steps(cell)
        epochs = {"finetune": _epochs(finetune, data.steps("labelled"))}
        if cell.run_method in PRETRAINING:
            epochs["pretrain"] = _epochs(pretrain, data.steps("train"))
        options["overrides"] += [f"{stage}.epochs={count}" for stage, count in epochs.items()]
        return config_from_options(options)


def _without_threads(hardware: Mapping[str, Any]) -> dict[str, Any]:
    """Hardware of a cell, as far as it is the same for all that one call runs."""
    return {key: value for key, value in hardware.items() if key != "threads"}


def _epochs(steps: int, steps_an_epoch: int) -> int:
    return max(1, round(steps / max(1, steps_an_epoch)))


def _settings(run: Path, *, without: Sequence[str]) -> dict[str, Any]:
    """Settings of a run that say something to another machine."""
    left_out = {"pretrained", "measured", "device", *without}
    settings = read_config(run).model_dump(mode="json", exclude=left_out)
    for place in ("url", "cache_dir"):
        del settings["data"][place]
    return settings


def _learned(pretrained: Path) -> dict[str, float]:
    """What the pretraining's log says of its features in the end."""
    log = pd.read_csv(pretrained / LOGS / "pretrain" / "metrics.csv")
    names = ("train_loss", "embedding_std", "embedding_rank", "knn_macro_auc", "linear_macro_auc")
    return {
        name: float(log[name].dropna().iloc[-1])
        for name in names
        if name in log and log[name].notna().any()
    }


@contextmanager
def _timed(run: Path) -> Iterator[None]:
    """Notes the minutes that work on a run takes, over all the times that it was resumed."""
    before, start = _minutes(run), time.perf_counter()
    over = threading.Event()

    def note() -> None:
        with replacing(run / _TIME) as scratch:
            scratch.write_text(json.dumps(before + (time.perf_counter() - start) / 60))

    def tick() -> None:
        while not over.wait(_TICK):
            note()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        over.set()
        clock.join()
        note()


def _minutes(run: Path) -> float:
    try:
        return float(json.loads((run / _TIME).read_text()))
    except (OSError, ValueError):
        return 0.0
