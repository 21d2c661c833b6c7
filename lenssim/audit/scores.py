"""How well gradient boosting tells the classes from features, and areas under the ROC curve.

Images are cut into folds, and each fold is scored by a model that was trained on the folds before
it (forward validation; Dawid 1984, J. R. Stat. Soc. A 147, 278). In the usual cross-validation each
pair of folds meets twice, with either one as the test: what the two have in common by chance counts
twice, and if nothing tells the classes the AUC scatters by up to sqrt(2) times its error. Here each
fold is independent of what its model was trained on, and errors add up as they should.

An AUC of one class against the rest is the probability that an image of the class scores above one
of the rest, half for ties. Its error is that of DeLong, DeLong & Clarke-Pearson 1988 (Biometrics
44, 837), extended to a mean over classes: each image has one influence on that mean, and images
vary within their class, as the sizes of the classes are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from lenssim.errors import UsageError

FloatArray = NDArray[np.float64]


class Auc(NamedTuple):
    """An AUC and its standard error."""

    value: float
    error: float

    @property
    def deviation(self) -> float:
        """How many standard errors it is from 0.5; 0 where all scores are equal."""
        distance = self.value - 0.5
        if self.error == 0.0:
            return 0.0 if distance == 0.0 else float(np.copysign(np.inf, distance))
        return distance / self.error

    @property
    def p_value(self) -> float:
        """Two-sided, of an AUC of 0.5."""
        return float(2.0 * norm.sf(abs(self.deviation)))


def macro_auc(labels: NDArray[np.integer], scores: FloatArray) -> Auc:
    """Mean over the classes of the AUC of each against the rest.

    Args:
        labels: class of each image, 0 to classes - 1, each of which has at least two, shape (n,).
        scores: for each class, shape (n, classes).

    Returns:
        The AUC with its standard error.
    """
    classes = scores.shape[1]
    areas, influence = [], np.zeros(len(labels))
    for label in range(classes):
        area, components = _placements(labels == label, scores[:, label])
        areas.append(area)
        influence += components / classes
    return Auc(float(np.mean(areas)), _standard_error(labels, influence))


def class_auc(labels: NDArray[np.integer], label: int, scores: FloatArray) -> Auc:
    """AUC of one class against the rest.

    Args:
        labels: class of each image, shape (n,).
        label: of the class.
        scores: shape (n,).

    Returns:
        The AUC with its standard error.
    """
    area, influence = _placements(labels == label, scores)
    return Auc(area, _standard_error(labels, influence))


def mean_over_folds(areas: Sequence[Auc]) -> Auc:
    """Mean of the AUCs of folds, each scored by a model that knows none of the later ones.

    Scores of different models are not on one scale, so folds are scored one by one. Their errors
    are independent.
    """
    errors = np.array([area.error for area in areas])
    value = float(np.mean([area.value for area in areas]))
    return Auc(value, float(np.sqrt((errors**2).sum()) / len(areas)))


def _placements(positive: NDArray[np.bool_], scores: FloatArray) -> tuple[float, FloatArray]:
    """AUC, and each image's influence on it: the share of the other side that it is right of."""
    places = rankdata(scores)
    count, rest = int(positive.sum()), int((~positive).sum())
    influence = np.empty(len(scores))
    below = (places[positive] - rankdata(scores[positive])) / rest
    above = 1.0 - (places[~positive] - rankdata(scores[~positive])) / count
    area = float(below.mean())
    influence[positive] = (below - area) / count
    influence[~positive] = (above - area) / rest
    return area, influence


def _standard_error(labels: NDArray[np.integer], influence: FloatArray) -> float:
    """Of a sum of influences, where the number of images of each class is fixed."""
    variance = 0.0
    for label in np.unique(labels):
        members = influence[labels == label]
        variance += len(members) * float(members.var(ddof=1))
    return float(np.sqrt(variance))


FOLDS = 10
"""Parts that the images of each class are cut into."""

TRAINED_FIRST = 2
"""Parts that are only trained on."""

_SETTINGS: dict[str, Any] = {
    "max_iter": 40,
    "learning_rate": 0.1,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 20,
    "early_stopping": False,
    "random_state": 0,
}


def check_installed() -> None:
    """Refuses an audit where scikit-learn is not installed.

    Raises:
        UsageError: saying what to install.
    """
    try:
        import sklearn.ensemble  # noqa: F401
    except ImportError:
        raise UsageError(
            "An audit needs scikit-learn, which is not installed: pip install 'lenssim[models]', "
            "or scikit-learn alone."
        ) from None


Learner = Callable[[FloatArray, NDArray[np.int64], FloatArray], FloatArray]
"""Features and classes to learn from, and features to score: the scores, shape (n, classes)."""


def gradient_boosting(
    features: FloatArray, labels: NDArray[np.int64], scored: FloatArray
) -> FloatArray:
    """Class probabilities by scikit-learn's histogram-based gradient boosting.

    Args:
        features: of the images to train on, shape (n, features); NaN counts as missing.
        labels: classes of these images, shape (n,).
        scored: features of the images to score, shape (m, features).

    Returns:
        Probabilities, shape (m, classes), in the order of the sorted labels.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(**_SETTINGS)
    return model.fit(features, labels).predict_proba(scored)


def cross_validated_auc(
    labels: NDArray[np.int64],
    features: FloatArray,
    seed: int = 0,
    learner: Learner = gradient_boosting,
) -> Auc:
    """Macro AUC of a classifier on images that it was not trained on.

    Args:
        labels: class of each image, from 0 on, shape (n,).
        features: shape (n, features).
        seed: of the folds.
        learner: trains on some images and scores others.

    Returns:
        The AUC with its standard error, a mean over folds.
    """
    from sklearn.model_selection import StratifiedKFold

    cut = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    folds = [fold for _, fold in cut.split(features, labels)]
    areas = []
    for number in range(TRAINED_FIRST, FOLDS):
        train, test = np.concatenate(folds[:number]), folds[number]
        scores = learner(features[train], labels[train], features[test])
        areas.append(macro_auc(labels[test], scores))
    return mean_over_folds(areas)
