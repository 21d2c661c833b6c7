"""What predictions are worth: pure functions of arrays.

Classification scores are scikit-learn's, by its definitions. Masses are compared as log10(m / eV),
so that every error is in dex. Intervals are in `bootstrap`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfinv
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]

MASS_BIN = 0.25
"""Width of a bin in log10 of the axion mass, dex."""

RELIABILITY_BINS = 10
"""Bins of equal width in the stated confidence."""

COVERAGE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6827, 0.8, 0.9, 0.9545)
"""Probabilities whose central intervals are checked; one and two sigma among them."""

SNR_BINS = 8
"""Bins of equal count in the S/N of the substructure."""

SCATTER_BIN = 50
"""Test images whose scatter is the uncertainty of a prediction like theirs: good to a tenth."""

SNR_LIMITS = (0.0, 3.0, 5.0, 10.0)
"""S/N above which the images with substructure are counted in scores."""

MIN_IN_BIN = 10
"""Images below which a bin of S/N says nothing."""


def accuracy(labels: IntArray, probabilities: FloatArray) -> float:
    """Share of images whose most probable class is the true one.

    Args:
        labels: (n,), each below the number of classes.
        probabilities: (n, classes).

    Returns:
        Between 0 and 1.
    """
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def confusion_matrix(labels: IntArray, probabilities: FloatArray) -> NDArray[np.int64]:
    """Counts, (classes, classes): row of the true class, column of the most probable one."""
    classes = range(probabilities.shape[1])
    return sklearn_confusion_matrix(labels, probabilities.argmax(axis=1), labels=list(classes))


@dataclass(frozen=True)
class Reliability:
    """How often the stated confidence is right, in bins of it.

    Attributes:
        confidence: mean stated probability of the most probable class in each bin that is not
            empty, (bins,).
        accuracy: share of these images for which it is the true class, (bins,).
        count: images in the bin, (bins,).
    """

    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of confidence and accuracy, weighted by count (Guo et al. 2017, eq. 3)."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.average(gaps, weights=self.count))


def reliability(
    labels: IntArray, probabilities: FloatArray, bins: int = RELIABILITY_BINS
) -> Reliability:
    """Reliability of the most probable class (Guo et al. 2017, ICML, sec. 2).

    Args:
        labels: (n,).
        probabilities: (n, classes), that sum to one.
        bins: of equal width over [0, 1].

    Returns:
        Mean confidence, accuracy and number of images of each bin that has images.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    return Reliability(
        confidence=(np.bincount(place, confidence, bins)[filled] / count[filled]),
        accuracy=(np.bincount(place, right, bins)[filled] / count[filled]),
        count=count[filled],
    )


@dataclass(frozen=True)
class RegressionMetrics:
    """Errors of predicted log10 masses, dex; r2 is None if all true masses are the same."""

    count: int
    rmse_dex: float
    mae_dex: float
    bias_dex: float
    r2: float | None


def regression_metrics(true: FloatArray, predicted: FloatArray) -> RegressionMetrics:
    """RMSE, mean absolute error, mean error (predicted less true) and R^2.

    Args:
        true, predicted: log10(m / eV), (n,), at least one.

    Returns:
        Errors in dex; R^2 is 1 for perfect predictions.
    """
    error = np.asarray(predicted, np.float64) - true
    spread = float(np.var(true))
    return RegressionMetrics(
        count=len(error),
        rmse_dex=float(np.sqrt(np.mean(error**2))),
        mae_dex=float(np.mean(np.abs(error))),
        bias_dex=float(np.mean(error)),
        r2=float(1 - np.mean(error**2) / spread) if spread > 0 else None,
    )


@dataclass(frozen=True)
class Bin:
    """Samples between two edges: `members` are their indices."""

    low: float
    high: float
    members: NDArray[np.intp]

    @property
    def middle(self) -> float:
        """Half way between the edges."""
        return 0.5 * (self.low + self.high)


def mass_bins(true: FloatArray, width: float = MASS_BIN) -> list[Bin]:
    """Samples by true log10 mass, in bins whose edges are multiples of the width.

    Args:
        true: log10(m / eV), (n,).
        width: of a bin, dex.

    Returns:
        The bins that are not empty, rising; a mass on the last edge is in the last bin.
    """
    steps = np.asarray(true, np.float64) / width
    first, last = int(np.floor(steps.min() + 1e-9)), int(np.ceil(steps.max() - 1e-9))
    place = np.clip(np.floor(steps).astype(int), first, max(first, last - 1))
    return [
        Bin(step * width, (step + 1) * width, np.flatnonzero(place == step))
        for step in np.unique(place)
    ]


def snr_bins(snr: FloatArray, substructured: NDArray[np.bool_], bins: int = SNR_BINS) -> list[Bin]:
    """Images with substructure by its S/N, in bins of about equal count.

    Args:
        snr: S/N of the substructure, (n,).
        substructured: which images have any, (n,).
        bins: at most; fewer where they would hold less than `MIN_IN_BIN` images.

    Returns:
        The bins, rising; none if there are too few images.
    """
    chosen = np.flatnonzero(substructured)
    bins = min(bins, len(chosen) // MIN_IN_BIN)
    ranked = chosen[np.argsort(snr[chosen], kind="stable")]
    parts = np.array_split(ranked, bins) if bins else []
    edges = [float(snr[part[0]]) for part in parts] + [float(snr[ranked[-1]])] if bins else []
    return [Bin(edges[number], edges[number + 1], part) for number, part in enumerate(parts)]


@dataclass(frozen=True)
class Coverage:
    """How often the true value is inside the stated central interval.

    Attributes:
        nominal: probability of each interval, (levels,).
        observed: share of true values inside, (levels,).
        pull: RMS of (predicted - true) / sigma; 1 where the uncertainty is right, above where
            it is too small.
    """

    nominal: FloatArray
    observed: FloatArray
    pull: float


def coverage(true: FloatArray, predicted: FloatArray, sigma: FloatArray) -> Coverage:
    """Coverage of a predicted normal uncertainty.

    Args:
        true, predicted: log10(m / eV), (n,).
        sigma: predicted standard deviation, dex, (n,), positive.

    Returns:
        Nominal coverage, actual coverage, and the RMS of the pulls.
    """
    pulls = (np.asarray(predicted, np.float64) - true) / sigma
    nominal = np.array(COVERAGE_LEVELS)
    limits = np.sqrt(2) * erfinv(nominal)
    inside = np.abs(pulls)[:, None] <= limits
    return Coverage(nominal, inside.mean(axis=0), float(np.sqrt(np.mean(pulls**2))))


def local_scatter(
    predicted: FloatArray, tested: FloatArray, true: FloatArray, per_bin: int = SCATTER_BIN
) -> FloatArray:
    """RMS error, in a test, of predictions about as large as each of these.

    Args:
        predicted: log10(m / eV), (n,).
        tested, true: predicted and true log10(m / eV) of the test images, (m,).
        per_bin: test images that share one value; between bins it is interpolated.

    Returns:
        Uncertainty of each prediction, dex, (n,).
    """
    order = np.argsort(tested, kind="stable")
    parts = np.array_split(order, max(1, len(order) // per_bin))
    middle = [float(np.mean(tested[part])) for part in parts]
    scatter = [float(np.sqrt(np.mean((tested[part] - true[part]) ** 2))) for part in parts]
    return np.interp(predicted, middle, scatter)
