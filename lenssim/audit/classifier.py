"""How well gradient boosting tells the classes from features, cross-validated by image.

Images are cut into folds, and each fold is scored by a model that was trained on the folds before
it (forward validation; Dawid 1984, J. R. Stat. Soc. A 147, 278). In the usual cross-validation each
pair of folds meets twice, with either one as the test: what the two have in common by chance counts
twice, and where nothing tells the classes the AUC scatters by up to sqrt(2) times its error. Here
each fold is independent of what its model was trained on, and errors add up as they should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenssim.audit.scores import Auc, macro_auc, mean_over_folds
from lenssim.errors import UsageError

FloatArray = NDArray[np.float64]

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
    """Probability of each class by scikit-learn's histogram-based gradient boosting."""
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
