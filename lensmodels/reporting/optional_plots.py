"""Plots that a report can do without: one that fails leaves a sentence in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from lensmodels.reporting.captions import CAPTIONS
from lensmodels.reporting.sentences import Sentence
from lenssim.storage.atomic import replacing

MISSING = "missing.json"
"""File beside the plots of a run that names those that could not be drawn, and why."""

_Drawn = TypeVar("_Drawn")


class OptionalPlots:
    """Draws plots one by one, and continues if one fails.

    Attributes:
        missing: reason for each plot that could not be drawn, by its name.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def draw(self, name: str, draw: Callable[[], _Drawn]) -> _Drawn | None:
        """What a function draws; None if it fails, or draws nothing.

        Args:
            name: of the plot.
            draw: draws it, and saves it if that may fail too.
        """
        try:
            return draw()
        except Exception as error:  # drawing libraries raise exceptions of any type
            reason = " ".join(str(error).split()).rstrip(".")
            self.missing[name] = f"{type(error).__name__}: {reason}" if reason else str(type(error))
            return None


def write_missing(plots: Path, missing: Mapping[str, str]) -> None:
    """Keeps which plots of a run are missing; no file if none is."""
    if not missing:
        (plots / MISSING).unlink(missing_ok=True)
        return
    with replacing(plots / MISSING) as scratch:
        scratch.write_text(json.dumps(missing, indent=1) + "\n", encoding="utf-8")


def read_missing(plots: Path) -> dict[str, str]:
    """What `write_missing` kept."""
    try:
        return json.loads((plots / MISSING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def missing_sentences(missing: Mapping[str, str]) -> list[Sentence]:
    """A sentence on each plot that is missing: reason by name."""
    return [
        Sentence(
            f"The plot {CAPTIONS[name][0] if name in CAPTIONS else name} could not be drawn "
            f"({reason}).",
            is_warning=True,
        )
        for name, reason in missing.items()
    ]
