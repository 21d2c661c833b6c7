"""What every benchmark writes: a JSON of its figures, and a Markdown table of the same."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def environment(packages: Sequence[str]) -> dict[str, str]:
    """Processor, Python and the versions of packages."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if names:
            processor = names[0].split(":", 1)[1].strip()
    found = {"processor": processor, "python": platform.python_version()}
    return found | {name: version(name) for name in packages}


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; floats with three significant figures."""

    def shown(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(shown(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def how_learned(figures: Mapping[str, Any]) -> str:
    """How the images of an experiment of learning.py were turned, and what was learned beside."""
    angles = [view["angle"] for view in figures.get("views", [])]
    turned = "turned by any angle" if any(angles) else "turned by right angles"
    return f"{turned}, quadrupole as a second target" if figures.get("quadrupole") else turned


def write(name: str, about: str, figures: Any, text: str, packages: Sequence[str]) -> None:
    """Writes results/NAME.json and results/NAME.md, and prints the latter.

    Args:
        name: of the benchmark.
        about: what was measured, in a sentence or two.
        figures: everything measured, JSON-able.
        text: the same as Markdown.
        packages: whose versions matter.
    """
    RESULTS.mkdir(exist_ok=True)
    command = "python " + " ".join([f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    where = environment(packages)
    content = {"command": command, "environment": where, "figures": figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    listed = ", ".join(f"{key} {value}" for key, value in where.items())
    page = f"# {name}\n\n{about}\n\n{text}\n\nCommand: `{command}`. On: {listed}.\n"
    (RESULTS / f"{name}.md").write_text(page)
    print(page)
