"""Results of a grid as Parquet tables with one row per cell.

RESULTS/NAME.parquet    a cell that was run: its record, scores and predictions
RESULTS/cells.parquet   many cells in one table, as `collect` writes it

Any number of such files in a folder are read as one table, so results of several machines are
merged by copying their files into one folder.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.evaluation.summary import labels_of, log_mass_error, probabilities_of, true_log_mass
from lensmodels.reporting.measurements import processor
from lensmodels.statistics import bootstrap
from lensmodels.statistics.bootstrap import Counts, FloatArray, Statistic
from lensmodels.study.grid import Cell
from lensmodels.tasks import TaskName
from lenssim.configuration.key_values import differences
from lenssim.storage.atomic import replacing
from lenssim.version import VERSION

FIDUCIAL_RANGE = (-23.25, -22.75)
"""log10(m / eV) of what the study calls around 1e-23 eV."""

_PACKAGES = ("torch", "lightning", "timm", "lightly", "numpy")

_MIN_PROBABILITY = 1e-30

_BOOTSTRAP_SEED = 0


@dataclass(frozen=True, eq=False)
class Resampled:
    """A score of one cell.

    Attributes:
        value: on the test images.
        resamples: on each bootstrap resample of them, (resamples,); the same resamples for every
            cell that was tested on the same images, so that two cells can be compared in pairs.
    """

    value: float
    resamples: FloatArray


@dataclass(frozen=True, eq=False)
class CellResult:
    """A cell that was run.

    Attributes:
        cell: which.
        record: settings, data hash, versions, hardware, minutes and metrics; JSON-able.
        truth: label, or log10(m / eV), of each test image, (n,); None in a table of scores alone.
        predicted: log probabilities of the classes, (n, classes), or log10(m / eV), (n,); likewise.
        stored: scores that were read from a table.
    """

    cell: Cell
    record: dict[str, Any]
    truth: NDArray[np.float64] | None = None
    predicted: NDArray[np.float64] | None = None
    stored: Mapping[str, Resampled] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, Any]:
        """As in metrics.json."""
        return self.record["metrics"]

    @property
    def images(self) -> Any:
        """What identifies the images that it was tested on."""
        return self.record["made_from"]["archive"], self._truth_sha256

    @property
    def places(self) -> Any:
        """What images of two specifications share if each has its counterpart in its place."""
        return self.record["made_from"]["archive"]["seed"], self._truth_sha256

    @property
    def spec_sha256(self) -> str:
        """Hash of the specification of its images."""
        return str(self.metrics["data"]["spec_sha256"])

    @property
    def minutes(self) -> float:
        """Of pretraining, if there was one, and finetuning."""
        spent = self.record["minutes"]
        return float(spent["finetune"] + (spent["pretrain"] or 0.0))

    @cached_property
    def scores(self) -> Mapping[str, Resampled]:
        """Every score of its task, by name."""
        if self.stored or self.truth is None:
            return self.stored
        return {name: _resampled(self, measure) for name, measure in SCORES[self.cell.task].items()}

    @cached_property
    def _truth_sha256(self) -> str:
        if self.truth is None:
            return str(self.record["truth_sha256"])
        return hashlib.sha256(self.truth.astype("<f4").tobytes()).hexdigest()


def _macro_auc(result: CellResult) -> Statistic:
    assert result.truth is not None and result.predicted is not None
    return bootstrap.weighted_macro_auc(result.truth.astype(np.int64), result.predicted)


def _rmse(result: CellResult) -> Statistic:
    assert result.truth is not None and result.predicted is not None
    return bootstrap.weighted_rms(result.predicted - result.truth)


def _rmse_near(result: CellResult) -> Statistic:
    assert result.truth is not None and result.predicted is not None
    near = (result.truth >= FIDUCIAL_RANGE[0]) & (result.truth < FIDUCIAL_RANGE[1])
    square = np.where(near, np.square(result.predicted - result.truth), 0.0)

    def root_mean(counts: Counts) -> FloatArray:
        with np.errstate(invalid="ignore"):  # a resample without any of these images
            return np.sqrt(counts @ square / (counts @ near))

    return root_mean


SCORES: dict[TaskName, dict[str, Callable[[CellResult], Statistic]]] = {
    "classification": {"macro_auc": _macro_auc},
    "axion-mass": {"rmse": _rmse, "rmse_near": _rmse_near},
}
"""Scores of a task by name: macro AUC; RMSE of log10(m / eV) in dex, over the whole prior and over
the masses in `FIDUCIAL_RANGE`."""


def _resampled(result: CellResult, measure: Callable[[CellResult], Statistic]) -> Resampled:
    """A score of a cell on its test images and on every resample of them."""
    assert result.truth is not None
    statistic, count = measure(result), len(result.truth)
    is_classified = result.cell.task == "classification"
    strata = result.truth.astype(np.int64) if is_classified else np.zeros(count, np.int64)
    blocks = [statistic(counts) for counts in bootstrap.resamples(strata, seed=_BOOTSTRAP_SEED)]
    return Resampled(float(statistic(np.ones((1, count)))[0]), np.concatenate(blocks))


def write_result(folder: Path, cell: Cell, record: dict[str, Any], table: pd.DataFrame) -> None:
    """Writes the file of a cell, by which it counts as done.

    Args:
        folder: to write into.
        cell: which.
        record: see `CellResult`.
        table: columns of predictions.csv.
    """
    if cell.task == "classification":
        # logarithms keep apart what is close to 0
        truth = labels_of(table).astype(np.float64)
        predicted = np.log(np.maximum(probabilities_of(table), _MIN_PROBABILITY))
    else:
        truth = true_log_mass(table)
        predicted = truth + log_mass_error(table)
    # as they are read back
    truth, predicted = (array.astype(np.float32).astype(np.float64) for array in (truth, predicted))
    folder.mkdir(parents=True, exist_ok=True)
    result = CellResult(cell, record, truth, predicted)
    write_table(table_of([result], predictions=[cell]), folder / f"{cell.name}.parquet")


def collect(results: Iterable[CellResult], file: Path, *, predictions: Iterable[Cell] = ()) -> None:
    """Writes many cells into one table, with their scores.

    Args:
        results: of any number of cells.
        file: to write; replaced where it exists.
        predictions: cells whose predictions are kept as well, for plots of single images.
    """
    write_table(table_of(results, predictions=predictions), file)


def table_of(results: Iterable[CellResult], *, predictions: Iterable[Cell] = ()) -> pa.Table:
    """A table of results, one row a cell; arguments are those of `collect`."""
    kept = set(predictions)
    rows = []
    for result in results:
        record, is_kept = result.record, result.cell in kept
        if not is_kept:
            record = {**record, "truth_sha256": result.images[1]}
        row: dict[str, Any] = {"name": result.cell.name, **asdict(result.cell)}
        row["minutes"] = result.minutes
        row["record"] = json.dumps(record, allow_nan=False)
        for name, values in (("truth", result.truth), ("predicted", result.predicted)):
            row[name] = values.ravel().tolist() if is_kept and values is not None else None
        for name, score in result.scores.items():
            row[name] = score.value
            row[f"{name}_resamples"] = score.resamples.tolist()
        rows.append(row)
    return pa.Table.from_pylist(rows, _SCHEMA)


def write_table(table: pa.Table, file: Path) -> None:
    """Writes a table of results, whole or not at all."""
    with replacing(file) as scratch:
        # a dictionary of numbers that never repeat makes the file half as large again
        pq.write_table(
            table,
            scratch,
            compression="zstd",
            compression_level=19,
            use_dictionary=["record"],
        )


_VALUES = pa.list_(pa.float32())

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("name", "model", "method", "encoder", "task")),
        ("labels", pa.float64()),
        ("seed", pa.int32()),
        ("pretrain_seed", pa.int32()),
        ("minutes", pa.float64()),
        *((name, pa.float64()) for scores in SCORES.values() for name in scores),
        *((f"{name}_resamples", _VALUES) for scores in SCORES.values() for name in scores),
        ("truth", _VALUES),
        ("predicted", _VALUES),
        ("record", pa.string()),
    ]
)


def read_results(path: Path) -> list[CellResult]:
    """Every cell of a table, or of all tables in a folder, in the order of their names.

    A cell that is in several of them counts once, as in the first by name of file.

    Raises:
        LensmodelsError: if a file is damaged, naming it.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    by_name: dict[str, CellResult] = {}
    for file in files:
        for result in _read(file):
            by_name.setdefault(result.cell.name, result)
    return [by_name[name] for name in sorted(by_name)]


def _read(file: Path) -> list[CellResult]:
    try:
        return results_of(pq.read_table(file, schema=_SCHEMA))
    except (OSError, ValueError, KeyError, TypeError) as error:  # of pyarrow, too
        raise LensmodelsError(
            f"{file} is damaged or not a table of results ({error}); delete it and run its cells "
            "again."
        ) from None


def results_of(table: pa.Table) -> list[CellResult]:
    """The results of a table, as `table_of` makes it."""
    return [_from_row(row) for row in table.to_pylist()]


def _from_row(row: dict[str, Any]) -> CellResult:
    row["pretrain_seed"] = row.get("pretrain_seed") or 0  # tables of before have no such column
    cell = Cell(**{name: row[name] for name in Cell.__dataclass_fields__})
    record = json.loads(row["record"])
    record["made_from"]["archive"]  # what a comparison looks at
    scores = {
        name: Resampled(row[name], np.array(row[f"{name}_resamples"]))
        for name in SCORES[cell.task]
        if row[name] is not None
    }
    if row["truth"] is None:
        return CellResult(cell, record, stored=scores)
    truth, predicted = np.array(row["truth"]), np.array(row["predicted"])
    if cell.task == "classification":
        predicted = predicted.reshape(len(truth), -1)
    return CellResult(cell, record, truth, predicted, scores)


def is_done(
    results: Mapping[Cell, CellResult], folder: Path, cell: Cell, made_from: dict[str, Any]
) -> bool:
    """Whether a cell has its result.

    Args:
        results: of the folder.
        folder: of the results, for the message.
        cell: which.
        made_from: what decides its result, as its record holds it.

    Raises:
        UsageError: if it has one that was made from something else.
    """
    if cell not in results:
        return False
    held = results[cell].record["made_from"]
    different = [key for key in made_from if held.get(key) != made_from[key]]
    if different:
        name = different[0]
        pair = held.get(name), made_from[name]
        key, old, new = next(differences(*pair, name), (name, *pair))
        raise UsageError(
            f"{cell.name} in {folder} was made with {key} {old}, not {new}; delete it, or choose "
            "another --grid or folder."
        )
    return True


def hardware(device: torch.device) -> dict[str, Any]:
    """What a cell ran on."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name()}
    return {"device": processor(), "threads": torch.get_num_threads()}


def versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, installed or run from a folder."""
    own = {"python": platform.python_version(), "lenssim": VERSION}
    return own | {name: version(name) for name in _PACKAGES}
