"""Writes the cards of the models that lenssim ships, from their specifications.

python datasets_cards/make.py
"""

from __future__ import annotations

from pathlib import Path

from lenssim.archive.card import model_card
from lenssim.build.plan import DEFAULT_COUNTS
from lenssim.spec import load_spec, shipped_specs

FOLDER = Path(__file__).parent


def cards() -> dict[str, str]:
    """Content of each card by its file name, as in model-b.md."""
    return {
        f"model-{name.lower()}.md": model_card(load_spec(name), DEFAULT_COUNTS)
        for name in shipped_specs()
    }


if __name__ == "__main__":
    for name, content in cards().items():
        (FOLDER / name).write_text(content)
