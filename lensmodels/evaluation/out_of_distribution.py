"""Whether an image is of the kind that a model was trained on: its novelty, from several scores.

Each score (`image_scores`) is compared with its values over images of the training archive that
the model was not trained on, the validation images: the deviation from their median is divided by
that of the first or the last hundredth of them, whichever is on the same side. The novelty of an
image is the largest of these over the scores, divided by a threshold. The threshold is the order
statistic of the validation images' own values that a new image of the same kind exceeds with the
probability `FLAGGED_AT_HOME` (split conformal prediction: Vovk, Gammerman and Shafer 2005). So
the number of scores does not raise the share of images that are flagged at home. An image is not
compared with itself: the values of each tenth of the validation images are made with the medians of
the others. The width of the PSF and the pixel scale, which are stated, are held against the range
of the validation images with a tolerance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensmodels.evaluation.image_scores import (
    SCORE_NAMES,
    TOLERANCES,
    Gaussian,
    Scores,
    coordinates,
    image_scores,
)
from lensmodels.evaluation.kept_tensors import load_of_model, save_of_model
from lensmodels.model import LensModel
from lensmodels.runs import OUT_OF_DISTRIBUTION

FLAGGED_AT_HOME = 0.0025
"""Share of images like the training set that are flagged. With a few hundred validation images,
the share is itself uncertain: a quarter of a percent stays below one."""

FOLDS = 10
"""Parts of the validation images, each compared with the others."""

MIN_HELD_OUT = 100
"""Validation images below which no threshold is set."""

OUTSIDE = "outside what the model knows"
"""The class of an image beyond the threshold."""

_TAIL = 0.01
"""Share of the validation images beyond the point that a deviation is measured by."""

_MIN_SCALE = 1e-6
"""Smallest deviation that others are measured by, as a share of the score."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class HomeScores:
    """What the scores of images like the training set are.

    Attributes:
        gaussians: of the training images' "features" and, with a whitening, "components".
        names: of the scores, (k,).
        values: of the validation images, (n, k).
    """

    gaussians: Mapping[str, Gaussian]
    names: tuple[str, ...]
    values: FloatArray

    def percentiles(self, scores: Scores) -> Scores:
        """Share of the validation images with a lower score, in percent.

        Args:
            scores: by name, each (n,); NaN where a score is unknown.

        Returns:
            By name, each (n,); 0 or 100 beyond all validation images, NaN where it is unknown.
        """
        found = {}
        for column, name in enumerate(self.names):
            known = np.sort(self.values[:, column])
            given = _column(scores, name)
            below = np.searchsorted(known, given, "left") + np.searchsorted(known, given, "right")
            found[name] = np.where(np.isnan(given), np.nan, 50.0 * below / len(known))
        return found

    def novelty(self, scores: Scores) -> FloatArray:
        """How far images are from the validation images; above 1 they are outside.

        Args:
            scores: by name, each (n,).

        Returns:
            (n,).
        """
        return self.deviations(scores).max(axis=1)

    def strangest(self, scores: Scores) -> list[str]:
        """The score that deviates most of each image, by its name in messages, (n,)."""
        names = [SCORE_NAMES[name] for name in self.names]
        return [names[place] for place in self.deviations(scores).argmax(axis=1)]

    def deviations(self, scores: Scores) -> FloatArray:
        """Deviation of each score from its median, in units of the largest that is inside.

        Args:
            scores: by name, each (n,); NaN, where a score is unknown, does not deviate.

        Returns:
            (n, k).
        """
        given = np.stack([_column(scores, name) for name in self.names], axis=1)
        middle = np.median(self.values, axis=0)
        low, high = self.limits()
        room = np.where(given > middle, high - middle, middle - low)
        room = np.maximum(room, np.finfo(np.float64).tiny)
        return np.where(np.isnan(given), 0.0, np.abs(given - middle) / room)

    def limits(self) -> tuple[FloatArray, FloatArray]:
        """Values of each score beyond which an image is outside: below (k,), and above (k,).

        Of a score that is stated, those of the validation images with a tolerance.
        """
        middle, below, above = _scales(self.values)
        low, high = middle - self.threshold * below, middle + self.threshold * above
        for place, name in enumerate(self.names):
            if name in TOLERANCES:
                held = self.values[:, place]
                low[place] = (1 - TOLERANCES[name]) * held.min()
                high[place] = (1 + TOLERANCES[name]) * held.max()
        return low, high

    @cached_property
    def threshold(self) -> float:
        """The deviation that an image of the same kind exceeds with `FLAGGED_AT_HOME`."""
        measured = [place for place, name in enumerate(self.names) if name not in TOLERANCES]
        values = self.values[:, measured]
        fold = np.arange(len(values)) % FOLDS
        parts = [
            _deviations(values[fold == number], values[fold != number]) for number in range(FOLDS)
        ]
        largest = np.concatenate([part.max(axis=1) for part in parts])
        rank = math.ceil((len(largest) + 1) * (1 - FLAGGED_AT_HOME))
        return float(np.sort(largest)[min(rank, len(largest)) - 1])


class NoveltyCheck:
    """Says which images are outside what a model knows: columns of a table, and a sentence.

    Args:
        model: in evaluation mode.
        home: what its run keeps of the validation images; None if it keeps nothing.
    """

    def __init__(self, model: LensModel, home: HomeScores | None) -> None:
        self.model, self.home = model, home
        self.images, self.outside = 0, 0
        self._reasons: Counter[str] = Counter()

    def columns(
        self, images: Tensor, features: Tensor, stated: Scores, *, contradicted: bool = False
    ) -> dict[str, FloatArray | NDArray[np.bool_]]:
        """Columns of some images: `in_distribution`, `novelty` and the percentile of each score.

        Args:
            images: raw, e-/s, on the device of the model, (n, 1, height, width).
            features: that the model gives, (n, features).
            stated: scores that are no measure of their pixels, each (n,), if there are any.
            contradicted: whether what is stated of the images contradicts the training images: no
                image is then inside.

        Returns:
            By name, each (n,); nothing if the run keeps nothing of its validation images.
        """
        if self.home is None:
            return {}
        same = None if self.model.average_symmetries else features
        seen = coordinates(self.model, images, same)
        scores = image_scores(images, seen, self.home.gaussians) | stated
        novelty = self.home.novelty(scores)
        outside = novelty > 1
        self.images += len(images)
        self.outside += len(images) if contradicted else int(outside.sum())
        for name, is_outside in zip(self.home.strangest(scores), outside, strict=True):
            self._reasons[name] += int(is_outside)
        columns: dict[str, FloatArray | NDArray[np.bool_]] = {
            "in_distribution": ~outside & (not contradicted),
            "novelty": novelty,
        }
        for name, values in self.home.percentiles(scores).items():
            columns[f"percentile_{name}"] = values
        return columns

    def sentences(self, run: str, *, forced: bool) -> list[str]:
        """What to say of all images so far on the terminal.

        Args:
            run: how the run is called.
            forced: whether images outside have predictions all the same.
        """
        if self.home is None:
            return [
                f"Note: {run} does not know how unlike its training images an image may be. "
                f"`lensmodels evaluate` measures it of runs with {MIN_HELD_OUT} validation images "
                "or more; train on more images to have them."
            ]
        if not self.outside:
            return []
        often = self._reasons.most_common(1)
        reason = f" (most often: {often[0][0]})" if often and often[0][1] else ""
        then = (
            "their predictions mean nothing"
            if forced
            else "they have no prediction without --force"
        )
        return [
            f"Warning: {self.outside:,} of {self.images:,} images are {OUTSIDE}{reason}; {then}."
        ]


def _column(scores: Scores, name: str) -> FloatArray:
    if name in scores:
        return np.asarray(scores[name], np.float64)
    return np.full(len(next(iter(scores.values()))), np.nan)


def _deviations(given: FloatArray, known: FloatArray) -> FloatArray:
    """Deviations of scores, (n, k), from those of other images, (m, k)."""
    middle, below, above = _scales(known)
    deviations = np.abs(given - middle) / np.where(given > middle, above, below)
    return np.where(np.isnan(given), 0.0, deviations)


def _scales(known: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Median of scores, (m, k), and what deviations below and above it are measured by; (k,)."""
    low, middle, high = np.quantile(known, [_TAIL, 0.5, 1 - _TAIL], axis=0)
    smallest = np.maximum(_MIN_SCALE * np.abs(middle), np.finfo(np.float64).tiny)
    return middle, np.maximum(middle - low, smallest), np.maximum(high - middle, smallest)


def save_home_scores(run: Path, home: HomeScores) -> None:
    """Writes RUN/out_of_distribution.safetensors, which belongs to the model that the run holds."""
    tensors = {"scores": torch.from_numpy(np.ascontiguousarray(home.values))}
    for name, gaussian in home.gaussians.items():
        tensors[f"{name}.mean"] = gaussian.mean.float()
        tensors[f"{name}.factor"] = gaussian.factor.float()
    save_of_model(run, OUT_OF_DISTRIBUTION, tensors, {"names": ",".join(home.names)})


def load_home_scores(run: Path) -> HomeScores | None:
    """What `save_home_scores` wrote; None if there is none for the model that the run holds."""
    kept = load_of_model(run, OUT_OF_DISTRIBUTION)
    if kept is None:
        return None
    tensors, about = kept
    gaussians = {
        name.removesuffix(".mean"): Gaussian(
            tensors[name].double(), tensors[name.replace(".mean", ".factor")].double()
        )
        for name in tensors
        if name.endswith(".mean")
    }
    return HomeScores(gaussians, tuple(about["names"].split(",")), tensors["scores"].numpy())
