"""The plots of a run, with their captions; one that fails leaves a sentence in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from lensmodels.reporting.sentences import Sentence
from lenssim.storage.atomic import replacing

CAPTIONS: dict[str, tuple[str, str]] = {
    "predicted_mass": (
        "Predicted against true mass",
        "Each test image with an axion vortex. The closer to the diagonal, the better; dashed, one "
        "standard deviation of the best estimate without bias. Where these part, the mass is no "
        "longer in the image, and predictions gather at the mean of what is left.",
    ),
    "rmse_by_mass": (
        "Error by mass",
        "RMSE in bins of a quarter dex, with 95% intervals. Dashed, the Cramér-Rao bound; grey, "
        "the best estimate that knows the prior.",
    ),
    "confusion": (
        "Confusion",
        "Rows are the true classes, columns the most probable ones: share of the row, and number "
        "of images.",
    ),
    "roc": (
        "ROC curves",
        "True against false positives of each class. The axis of the false positives is "
        "logarithmic: its left matters for a search in which most lenses are of another class.",
    ),
    "auc_by_snr": (
        "By signal to noise",
        "AUC of images with substructure against those without, in bins of about equal count in "
        "the S/N of the substructure, with 95% intervals; the better, the higher. A good model is "
        "shown by 1 \N{MINUS SIGN} AUC on a logarithmic axis, whose upper end stands for an AUC of "
        "1. Positions of the curves along the axis are moved a little, so that they do not hide "
        "each other.",
    ),
    "calibration": (
        "Calibration",
        "Whether stated probabilities are right: on the diagonal, an event is as frequent as "
        "stated; below it, less frequent. With 95% intervals.",
    ),
    "posterior_ranks": (
        "Is the posterior right?",
        "Left, simulation-based calibration: ranks of the true masses in their posteriors, even "
        "where these are right (grey: 95% of even bins); high at both ends, they are too narrow; "
        "on one side, biased. Right, the same by TARP, which compares the truth with references.",
    ),
    "shifts": (
        "Shifted test sets",
        "Test sets that depart from the training specification in one thing each: the score with "
        "its 95% interval (grey: without a shift), the calibration, and the share of the images "
        "that is flagged as outside what the model knows. A shift that costs score and is not "
        "flagged is one that the model does not notice.",
    ),
    "embedding": (
        "Embedding",
        "The encoder's features of test images, laid out so that neighbours stay neighbours. "
        "Distances between clusters and axes mean nothing. Separate classes can be told by a "
        "linear head; a gradient in mass means that the mass is encoded.",
    ),
    "mistakes": (
        "Worst mistakes",
        "The test images with the worst predictions, in an asinh stretch, with the S/N of their "
        "substructure. Below each image of a simulated archive: the image minus the same lens "
        "without substructure, rendered again; red is brighter, blue fainter. At low S/N it shows "
        "noise; structure that is seen there was not learned.",
    ),
    "training": (
        "Training",
        "Loss and scores by epoch. A validation loss that rises while that of training falls is "
        "overfitting; features whose spread or rank falls to the dashed line have collapsed.",
    ),
}
"""Heading and caption by the name of the plot's file, in the order of the page."""


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
