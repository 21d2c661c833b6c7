"""Results of the scripts in benchmarks/ and experiments/: as JSON or Parquet, and as Markdown."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from lenssim.storage.atomic import replacing


def results_folder() -> Path:
    """The folder `results` beside the script that runs."""
    return Path(sys.argv[0]).resolve().parent / "results"


def processor() -> str:
    """Name of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def environment(packages: Sequence[str]) -> dict[str, str]:
    """Processor, the GPU that torch has, Python, and versions of packages."""
    machine = {"processor": processor(), "python": platform.python_version()}
    if "torch" in packages:
        import torch

        if torch.cuda.is_available():
            machine["gpu"] = torch.cuda.get_device_name()
    return machine | {name: version(name) for name in packages}


def read_records(file: Path) -> dict[str, dict[str, Any]]:
    """Records of a table that `add_record` wrote, by name in their order; none without a file."""
    if not file.exists():
        return {}
    table = pd.read_parquet(file, columns=["name", "record"])
    return {name: json.loads(record) for name, record in table.itertuples(index=False)}


def add_record(file: Path, name: str, columns: Mapping[str, Any], record: Any) -> None:
    """Adds a row to a Parquet table of measurements, or replaces the one of the same name.

    Args:
        file: the table.
        name: of the row.
        columns: what a reader looks for first, by heading; the same for every row.
        record: everything measured, JSON-able; column "record", as JSON.
    """
    row = pd.DataFrame([{"name": name, **columns, "record": json.dumps(record)}])
    if file.exists():
        table = pd.read_parquet(file)
        row = pd.concat([table[table["name"] != name], row], ignore_index=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as scratch:
        row.sort_values("name").to_parquet(scratch, index=False, compression="zstd")


def write(name: str, about: str, measured: Any, text: str, packages: Sequence[str]) -> None:
    """Writes results/NAME.json and results/NAME.md beside the script, and prints the latter.

    Args:
        name: of the benchmark or experiment.
        about: what was measured, in a sentence or two.
        measured: everything measured, JSON-able.
        text: the same as Markdown.
        packages: whose versions matter.
    """
    folder = results_folder()
    folder.mkdir(exist_ok=True)
    script = Path(sys.argv[0])
    command = " ".join(["python", f"{script.resolve().parent.name}/{script.name}", *sys.argv[1:]])
    where = environment(packages)
    content = {"command": command, "environment": where, "figures": measured}
    with replacing(folder / f"{name}.json") as scratch:
        scratch.write_text(json.dumps(content, indent=1) + "\n")
    listed = ", ".join(f"{key} {value}" for key, value in where.items())
    page = f"# {name}\n\n{about}\n\n{text}\n\nCommand: `{command}`. On: {listed}.\n"
    with replacing(folder / f"{name}.md") as scratch:
        scratch.write_text(page)
    print(page)
