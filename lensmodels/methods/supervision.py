"""What a pretraining learns from: images alone, or what only a simulator knows of them.

Real lenses come as images. A method that a simulator supervises is told apart in every table and
report, so that nobody takes its gain for one of self-supervision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lensmodels.data.live_archive import is_live
from lensmodels.errors import UsageError
from lensmodels.methods.settings import (
    ENTRIES,
    METHOD_NAMES,
    PRETRAINING_DEFAULTS,
    SUPERVISED_DEFAULTS,
    PairSettings,
    StageSettings,
    Supervision,
)

if TYPE_CHECKING:
    from lenssim.live.pairs import Pairs

MARK = "[simulator]"
"""Beside the name of a method that a simulator supervises."""

MARK_NOTE = (
    f"{MARK}: pretrained on what only a simulator knows of its images, and no telescope tells; not "
    "to be compared with self-supervision on images alone."
)


def pairs_of(method: str, stage: StageSettings) -> Pairs | None:
    """What the images of a pair share that a method is pretrained on; None for single images.

    Args:
        method: its name.
        stage: settings of its pretraining.
    """
    entry = ENTRIES.get(method)
    if entry is None or entry.pairs is not None:
        return entry and entry.pairs
    return "source" if isinstance(stage, PairSettings) and stage.pairs == "source" else None


def supervision_of(method: str, stage: StageSettings | None = None) -> Supervision | None:
    """What a pretraining learned from; None if a method pretrains nothing.

    Args:
        method: its name.
        stage: settings of its pretraining; its defaults if not given.
    """
    entry = ENTRIES.get(method)
    if entry is None:
        return None
    return "simulator" if pairs_of(method, stage or entry.defaults) else entry.supervision


def method_title(method: str, stage: StageSettings | None = None) -> str:
    """Name of a method in a sentence or a table, marked if a simulator supervises it.

    Args:
        method: its name.
        stage: settings of its pretraining; its defaults if not given.
    """
    stage = stage or PRETRAINING_DEFAULTS.get(method, SUPERVISED_DEFAULTS)
    paired = " of live pairs" if isinstance(stage, PairSettings) and stage.pairs != "none" else ""
    mark = f" {MARK}" if supervision_of(method, stage) == "simulator" else ""
    return f"{METHOD_NAMES[method]}{paired}{mark}"


def check_pairs(method: str, stage: StageSettings, url: str) -> None:
    """Refuse data without the pairs of images that a pretraining needs.

    Args:
        method: its name.
        stage: settings of its pretraining.
        url: of the data.

    Raises:
        UsageError: saying what has them.
    """
    if pairs_of(method, stage) is not None and not is_live(url):
        raise UsageError(
            f"{METHOD_NAMES[method]} is to learn from pairs of images, which only a simulator "
            "makes: pretrain it on --data live:MODEL, and finetune that run on an archive by "
            "`lensmodels finetune --from RUN --data DIR`."
        )
