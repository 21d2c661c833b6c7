"""What the scripts in benchmarks/ and experiments/ write: measurements as JSON and as Markdown."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any


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
    """Processor, Python and the versions of packages."""
    found = {"processor": processor(), "python": platform.python_version()}
    return found | {name: version(name) for name in packages}


def how_learned(measured: Mapping[str, Any]) -> str:
    """How the images of a run of experiments/learning.py were augmented, in words."""
    angles = [view["angle"] for view in measured.get("views", [])]
    turned = "turned by any angle" if any(angles) else "turned by right angles"
    return f"{turned}, quadrupole as a second target" if measured.get("quadrupole") else turned


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
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    listed = ", ".join(f"{key} {value}" for key, value in where.items())
    page = f"# {name}\n\n{about}\n\n{text}\n\nCommand: `{command}`. On: {listed}.\n"
    (folder / f"{name}.md").write_text(page)
    print(page)
