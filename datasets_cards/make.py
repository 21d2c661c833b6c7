"""Writes the cards of the models that lenssim ships, from their specifications and from what
benchmarks/bright_tiers.py has measured of them.

python datasets_cards/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

from lenssim.archive.card import model_card
from lenssim.build.plan import DEFAULT_COUNTS
from lenssim.spec import load_spec, shipped_specs

FOLDER = Path(__file__).parent
MEASURED = FOLDER.parent / "benchmarks" / "results" / "bright_tiers.json"


def cards() -> dict[str, str]:
    """Content of each card by its file name, as in model-b.md."""
    measured = json.loads(MEASURED.read_text())["figures"]
    return {
        f"model-{name.lower()}.md": model_card(load_spec(name), DEFAULT_COUNTS, measured)
        for name in shipped_specs()
    }


if __name__ == "__main__":
    for name, content in cards().items():
        (FOLDER / name).write_text(content)
