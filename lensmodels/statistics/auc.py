"""Areas under ROC curves: the one rule for what is undefined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]


def one_vs_rest_auc(labels: IntArray, probabilities: FloatArray) -> list[float | None]:
    """Area under the ROC curve of each class against all others.

    Args:
        labels: (n,), each below the number of classes.
        probabilities: or any scores that rank as they do, (n, classes).

    Returns:
        One area a class; None if it is undefined: the class has no image, or all of them.
    """
    areas: list[float | None] = []
    for label in range(probabilities.shape[1]):
        positive = labels == label
        if positive.all() or not positive.any():
            areas.append(None)
        else:
            areas.append(float(roc_auc_score(positive, probabilities[:, label])))
    return areas


def macro_mean(areas: Sequence[float | None]) -> float | None:
    """Mean over the classes; None if that of any class is undefined.

    A mean over fewer classes is another score, and would be mistaken for this one.
    """
    defined = [area for area in areas if area is not None]
    return float(np.mean(defined)) if len(defined) == len(areas) else None


def macro_auc(labels: IntArray, scores: FloatArray) -> float | None:
    """Mean of `one_vs_rest_auc` over the classes; None if it is undefined for any."""
    return macro_mean(one_vs_rest_auc(labels, scores))


def binary_auc(positive: FloatArray, negative: FloatArray) -> float:
    """Probability that a positive score is above a negative one, half for ties.

    Args:
        positive, negative: scores, (n,) and (m,).
    """
    labels = np.repeat([True, False], [len(positive), len(negative)])
    return float(roc_auc_score(labels, np.concatenate([positive, negative])))
