"""Running a grid: cell after cell, each of which can be killed and gone on with.

DIR/pretrained/FAMILY/   runs that were pretrained, each shared by the cells of its family
DIR/runs/CELL/           runs that were finetuned
DIR/results/             what is kept and compared: see results.py
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pandas as pd

from lensmodels import training
from lensmodels.benchmark.grid import BASELINE, LONG_BASELINE, Cell, Grid
from lensmodels.benchmark.results import RESULTS, hardware, is_done, versions, write_result
from lensmodels.data import LensDataModule
from lensmodels.errors import DataError
from lensmodels.evaluation import score
from lensmodels.evaluation.inference import choose_device, read_manifest
from lensmodels.methods import PRETRAINING
from lensmodels.runs import CHECKPOINTS, LOGS, RunConfig
from lensmodels.settings import config_from_words
from lensmodels.tasks import TaskSettings

_TIME = "minutes.json"


def run_grid(
    grid: Grid,
    cells: Sequence[Cell],
    data: Mapping[str, str],
    out: Path,
    *,
    device: str = "auto",
    seconds: float | None = None,
) -> list[Cell]:
    """Runs the cells that have no result yet.

    Args:
        grid: their settings.
        cells: which, in this order.
        data: archive of each model, as {"B": "archives/B"}.
        out: folder of the grid.
        device: "auto", "cpu" or "gpu".
        seconds: after which no other cell is begun; None for all.

    Returns:
        The cells that are done, those of earlier runs among them.

    Raises:
        DataError: where an archive is not of its model, or too small.
        UsageError: where a folder holds runs of other settings.
    """
    start = time.monotonic()
    wanted = [cell for cell in cells if cell.model in data]
    _check_archives(grid, wanted, data)
    results = out / RESULTS
    done = [cell for cell in wanted if is_done(results, cell)]
    waiting = [cell for cell in wanted if not is_done(results, cell)]
    if done:
        click.echo(f"{len(done)} of {len(wanted)} cells are done already.", err=True)
    for cell in waiting:
        if seconds is not None and time.monotonic() - start > seconds:
            break
        click.echo(f"[{len(done) + 1}/{len(wanted)}] {cell.name}", err=True)
        _run_cell(grid, cell, data[cell.model], out, device)
        done.append(cell)
    return done


def _check_archives(grid: Grid, cells: Sequence[Cell], data: Mapping[str, str]) -> None:
    for model in dict.fromkeys(cell.model for cell in cells):
        manifest = read_manifest(data[model])
        if manifest.name != model:
            raise DataError(
                f"{data[model]} is of model {manifest.name}, not {model}; give the archive of each "
                f"model as --data {model}=DIR_OR_URL."
            )
        for name in TaskSettings().classes:
            for split, least in (("train", grid.train), ("test", grid.test)):
                group = manifest.group(f"{split}/{name}")
                held = group.count if group else 0
                if held < least:
                    raise DataError(
                        f"{data[model]} holds {held:,} images of {split}/{name}, and the grid "
                        f"takes {least:,}; make them with `lenssim generate --model {model} "
                        f"--train {grid.train} --test {grid.test}`."
                    )


def _run_cell(grid: Grid, cell: Cell, url: str, out: Path, device: str) -> None:
    """Pretrains where that is not done, finetunes, tests, and writes the result."""
    pretrained = None
    if not cell.is_baseline:
        pretrained = out / "pretrained" / cell.family
        _pretrain(grid, cell, url, pretrained, device)
    run = out / "runs" / cell.name
    config = _config(grid, cell, url, device, pretrained)
    with _timed(run):
        training.train(config, run, resume=True)
    tested, metrics = score(run, device=device)
    del metrics["data"]["url"]  # where a machine keeps it says nothing
    figures = _learned(pretrained) if pretrained else {}
    minutes = {
        "pretrain": _minutes(pretrained) if pretrained else None,
        "finetune": _minutes(run),
    }
    settings = config.model_dump(mode="json", exclude={"pretrained", "measured", "device"})
    del settings["data"]["url"]
    record = {
        "settings": settings,
        "pretraining": figures,
        "minutes": minutes,
        "hardware": hardware(choose_device(device)),
        "versions": versions(),
        "metrics": metrics,
    }
    write_result(out / RESULTS, cell, record, tested.table)
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)


def _pretrain(grid: Grid, cell: Cell, url: str, run: Path, device: str) -> None:
    # one pretraining for the cells of every task, share of labels and seed
    shared = Cell(cell.model, cell.method, cell.encoder, "classification", 1.0, 0)
    config = training.begin(_config(grid, shared, url, device, None), run, resume=True)
    with _timed(run):
        training.pretrain(config, run)
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)


def _config(grid: Grid, cell: Cell, url: str, device: str, pretrained: Path | None) -> RunConfig:
    """Settings of a cell's run, its epochs from the steps of the grid."""
    method = BASELINE if cell.is_baseline else cell.method
    words: dict[str, Any] = {
        "data": url,
        "method": method,
        "encoder_settings": grid.encoders[cell.encoder].settings,
        "task": cell.task,
        "labels": cell.labels,
        "seed": cell.seed,
        "train_size": grid.train,
        "device": device,
        "overrides": [f"data.test_size={grid.test}", *grid.overrides(method, cell.encoder)],
    }
    if pretrained is not None:
        words["pretrained"] = str(pretrained.resolve())
    config = config_from_words(words)
    data = LensDataModule(config.data)
    data.setup()
    steps = grid.finetune_steps
    if cell.method == LONG_BASELINE:
        steps = grid.long_steps(cell.encoder)
    epochs = {"finetune": _epochs(steps, len(data.train_dataloader()))}
    if method in PRETRAINING:
        epochs["pretrain"] = _epochs(grid.pretrain_steps, len(data.unlabelled_dataloader()))
    for stage, count in epochs.items():
        words["overrides"].append(f"{stage}.epochs={count}")
    return config_from_words(words)


def _epochs(steps: int, steps_an_epoch: int) -> int:
    return max(1, round(steps / max(1, steps_an_epoch)))


def _learned(pretrained: Path) -> dict[str, Any]:
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
    """Adds the minutes that work on a run takes to those that it took before it was cut short."""
    before = _minutes(run)
    start = time.perf_counter()
    try:
        yield
    finally:
        run.mkdir(parents=True, exist_ok=True)
        spent = before + (time.perf_counter() - start) / 60
        (run / _TIME).write_text(json.dumps(spent))


def _minutes(run: Path) -> float:
    try:
        return float(json.loads((run / _TIME).read_text()))
    except (OSError, ValueError):
        return 0.0
