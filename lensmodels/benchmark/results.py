"""Results as data: one JSON a cell, and what it predicted, beside it.

RESULTS/NAME.json   the cell, its settings, data hash, versions, hardware, minutes and metrics
RESULTS/NAME.npz    truth and prediction of every test image, for paired comparisons and Fig. 2
"""

from __future__ import annotations

import json
import os
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lensmodels.benchmark.grid import Cell
from lensmodels.errors import LensmodelsError, UsageError
from lensmodels.evaluation.summary import labels_of, log_mass_error, probabilities_of, true_log_mass
from lenssim.version import VERSION

RESULTS = "results"

_PACKAGES = ("torch", "lightning", "timm", "lightly", "numpy")

_LEAST_PROBABILITY = 1e-30


@dataclass(frozen=True, eq=False)
class CellResult:
    """A cell that was run.

    Attributes:
        cell: which.
        record: content of its JSON.
        truth: label, or log10(m / eV), of each test image, (n,).
        predicted: log probabilities of the classes, (n, 3), or log10(m / eV), (n,).
    """

    cell: Cell
    record: dict[str, Any]
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]

    @property
    def metrics(self) -> dict[str, Any]:
        """As in metrics.json."""
        return self.record["metrics"]

    @property
    def images(self) -> Any:
        """What identifies the images that it was tested on."""
        return self.record["made_from"]["archive"]

    @property
    def spec_sha256(self) -> str:
        """Hash of the specification of its images."""
        return str(self.metrics["data"]["spec_sha256"])

    @property
    def minutes(self) -> float:
        """Of pretraining, where there was one, and finetuning."""
        spent = self.record["minutes"]
        return float(spent["finetune"] + (spent["pretrain"] or 0.0))


def write_result(folder: Path, cell: Cell, record: dict[str, Any], table: pd.DataFrame) -> None:
    """Writes both files of a cell; the JSON, by which it counts as done, comes last.

    Args:
        folder: to write into.
        cell: which.
        record: what is known of it besides; JSON-able.
        table: columns of predictions.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any]
    if cell.task == "classification":
        # logarithms keep apart what is close to 0
        probabilities = np.maximum(probabilities_of(table), _LEAST_PROBABILITY)
        arrays = {
            "truth": labels_of(table).astype(np.uint8),
            "predicted": np.log(probabilities).astype(np.float32),
        }
    else:
        true = true_log_mass(table)
        arrays = {
            "truth": true.astype(np.float32),
            "predicted": (true + log_mass_error(table)).astype(np.float32),
        }
    part = folder / f"{cell.name}.{os.getpid()}.part"
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(folder / f"{cell.name}.npz")
    content = {"cell": asdict(cell), **record}
    part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    part.replace(folder / f"{cell.name}.json")


def read_results(folder: Path) -> list[CellResult]:
    """Every cell of a folder that was run.

    Raises:
        LensmodelsError: where a file is damaged, naming it.
    """
    return [_read(file) for file in sorted(folder.glob("*.json"))]


def _read_record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text())
        record["made_from"]["archive"]  # what a comparison looks at
        return record
    except (OSError, ValueError, KeyError, TypeError):
        raise _damaged(file) from None


def _read(file: Path) -> CellResult:
    record = _read_record(file)
    try:
        cell = Cell(**record["cell"])
        with np.load(file.with_suffix(".npz"), allow_pickle=False) as arrays:
            truth, predicted = (arrays[name].astype(np.float64) for name in ("truth", "predicted"))
        return CellResult(cell, record, truth, predicted)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        raise _damaged(file) from None


def _damaged(file: Path) -> LensmodelsError:
    return LensmodelsError(
        f"{file} or its .npz is damaged or not a result of a benchmark; delete both and run the "
        "cell again."
    )


def is_done(folder: Path, cell: Cell, made_from: dict[str, Any]) -> bool:
    """Whether a cell has its result.

    Args:
        folder: of the results.
        cell: which.
        made_from: what decides its result, as its record holds it.

    Raises:
        UsageError: where it has one that was made from something else.
    """
    file = folder / f"{cell.name}.json"
    if not file.exists():
        return False
    held = _read_record(file)["made_from"]
    different = [key for key in made_from if held.get(key) != made_from[key]]
    if different:
        key = different[0]
        raise UsageError(
            f"{file} was made with {key} {held.get(key)}, not {made_from[key]}; delete it, or "
            "choose another --out."
        )
    return True


def hardware(device: torch.device) -> dict[str, Any]:
    """What a cell ran on."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name()}
    names = _processor_lines()
    return {
        "device": names[0] if names else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def _processor_lines() -> Sequence[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]


def versions() -> dict[str, str]:
    """Versions of what a figure depends on, installed or run from a folder."""
    found = {"python": platform.python_version(), "lenssim": VERSION}
    return found | {name: version(name) for name in _PACKAGES}
