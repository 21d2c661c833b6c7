"""What metrics.json means, in sentences for a reader who did not train the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lensmodels.evaluation.information import InformationLimit
from lensmodels.reporting.style import CLASS_NAMES
from lensmodels.reporting.tables import (
    format_difference,
    format_interval,
    format_power,
    format_share,
    format_value,
)
from lensmodels.statistics.bootstrap import Interval

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Sentence:
    """A sentence of the report; a warning stands out."""

    text: str
    is_warning: bool = False


_CHANCE = 0.5
"""AUC of a coin."""

_MIN_R2 = 0.05
"""Share of the variance below which a regression predicts little more than the mean."""

_LEAK = 0.95
"""Ratio to the information limit below which an error is not believed: the limit is the mean of a
dozen lenses, from a grid of masses and angles."""

_SMALL_BIAS = 0.05
"""Bias in a bin of mass, dex, up to which no bin is named."""

SCORES = {"classification": ("macro_auc", "macro AUC"), "axion-mass": ("rmse_dex", "RMSE")}
"""Key and name of the score by which runs of a task are compared."""

SCORE_DIGITS = 3
"""Decimals of a score in a sentence."""

DIFFERENCE_DIGITS = {"classification": 5, "axion-mass": 4}
"""Decimals of a difference of scores: one more than the scores have."""


def score_sentence(metrics: Metrics) -> str:
    """The score of a test with its interval, as in "macro AUC 0.993 (0.990 to 0.996) on ..."."""
    if "summary" in metrics:  # of sets of images, which have no single score
        return metrics["summary"]
    key, name = SCORES[metrics["task"]]
    unit = " dex" if metrics["task"] == "axion-mass" else ""
    interval = format_interval(metrics["ci95"][key], SCORE_DIGITS)
    score = f"{name} {format_value(metrics[key], SCORE_DIGITS)}{unit if interval else ''}"
    inside = f" ({interval})" if interval else ""
    return f"{score}{inside} on {metrics['n_test']:,} test images"


def sentences(metrics: Metrics, limit: InformationLimit | None) -> list[Sentence]:
    """Three sentences on the scores of a run, and warnings.

    Args:
        metrics: content of metrics.json.
        limit: information on the axion mass in the images; None if it is not known.
    """
    if metrics["task"] == "classification":
        return _classification(metrics)
    return _axion_mass(metrics, limit)


def _classification(metrics: Metrics) -> list[Sentence]:
    text, warnings = [], []
    if metrics["macro_auc"] is None:
        missing = [CLASS_NAMES[name] for name, area in metrics["auc"].items() if area is None]
        warnings.append(
            f"The AUC of {' and '.join(missing)} is undefined, and so is their mean, the macro "
            "AUC: the test images are not of all classes."
        )
    else:
        interval = metrics["ci95"]["macro_auc"]
        text.append(
            f"Macro AUC {metrics['macro_auc']:.4f} (95% interval {format_interval(interval)}): "
            "the probability that an image of a class is ranked above one of another class, "
            "averaged over the classes; 0.5 is chance, 1 is perfect."
        )
        if interval[0] <= _CHANCE:
            warnings.append("It is no better than chance.")
    text.append(_most_frequent_confusion(metrics))
    together = [row for row in metrics["auc_by_snr"] if row["class"] == "all"]
    if len(together) > 1:
        faint, clear = together[0], together[-1]
        after = " after a refit of the lens and the source" if metrics["snr"] == "refit" else ""
        text.append(
            f"The faintest substructure (S/N{after} {faint['low']:.0f} to {faint['high']:.0f}) is "
            f"told from none with an AUC of {faint['auc']:.4f} ({format_interval(faint['ci95'])}), "
            f"the clearest (S/N above {clear['low']:.0f}) with {clear['auc']:.4f}."
        )
    return _with_warnings(text, warnings)


def _most_frequent_confusion(metrics: Metrics) -> str:
    counts = np.array(metrics["confusion"])
    text = (
        f"The most probable class is the true one for {metrics['accuracy']:.1%} of "
        f"{metrics['n_test']:,} test images"
    )
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"{text}: there is no mistake."
    true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
    names = [CLASS_NAMES[name] for name in metrics["auc"]]
    return (
        f"{text}; the most frequent mistake is {names[true]} taken for {names[predicted]} "
        f"({wrong[true, predicted]:,} images, "
        f"{format_share(wrong[true, predicted], counts[true].sum())} of that class)."
    )


def _axion_mass(metrics: Metrics, limit: InformationLimit | None) -> list[Sentence]:
    rmse, ends = metrics["rmse_dex"], metrics["ci95"]["rmse_dex"]
    text, warnings = [], []
    text.append(
        f"RMSE {rmse:.3f} dex over all test images (95% interval {format_interval(ends, 3)}), a "
        f"typical factor of {10**rmse:.2f} in mass."
    )
    if limit is None:
        text.append(
            "The information in the images is not known for this specification; "
            "experiments/information.py computes it."
            if metrics["data"]["spec_sha256"]
            else "The information in the images is not known, as they were imported."
        )
    elif ends[1] < _LEAK * limit.limit:
        warnings.append(
            f"That is below the {limit.limit:.3f} dex that the best estimator can reach on images "
            "like these: something other than the image gives the mass away. Check that no test "
            "image was trained on."
        )
    else:
        text.append(
            f"The best estimator reaches {limit.limit:.3f} dex on images like these, and this one "
            f"{rmse / limit.limit:.2f} times that: above about {format_power(-22.7)} eV a vortex "
            "is shorter than its own Einstein radius, and the mass is not in the image."
        )
    text.append(_bias_sentence(metrics))
    if metrics["r2"] is not None and metrics["r2"] < _MIN_R2:
        warnings.append("It has learned little more than the mean of all masses.")
    return _with_warnings(text, warnings)


_MIN_P_VALUE = 0.01
"""Below it, ranks are not called even."""


def posterior_sentences(metrics: Metrics) -> list[Sentence]:
    """Whether the posteriors of the axion mass are right; nothing for other heads."""
    found = metrics.get("posterior")
    if found is None:
        return []
    text = (
        f"The posterior's standard deviation is {found['sigma_rms']:.3f} dex (root mean square), "
        f"and the error of its mean {metrics['rmse_dex']:.3f} dex: the same where it is right."
    )
    values = {"simulation-based calibration": "rank_p_value", "TARP": "tarp_p_value"}
    wrong = [name for name, key in values.items() if found[key] < _MIN_P_VALUE]
    if not wrong:
        return [Sentence(f"{text} Ranks and TARP coverage are even within the noise.")]
    return [
        Sentence(text),
        Sentence(
            f"The posteriors are not right by {' and '.join(wrong)} (p < {_MIN_P_VALUE}): see the "
            "plot of the ranks.",
            is_warning=True,
        ),
    ]


def _bias_sentence(metrics: Metrics) -> str:
    """The mean error, and how it depends on the mass."""
    ends = metrics["ci95"]["bias_dex"]
    text = (
        f"Predicted less true log mass is {format_difference(metrics['bias_dex'], 3)} dex on "
        f"average (95% interval {format_interval(ends, 3)})"
    )
    low, high = (pick(metrics["by_mass"], key=lambda row: row["bias_dex"]) for pick in (min, max))
    if max(abs(low["bias_dex"]), abs(high["bias_dex"])) <= _SMALL_BIAS:
        return f"{text}, and at most {_SMALL_BIAS} dex off in every bin of mass."
    where = [
        f"{format_difference(row['bias_dex'], 2)} dex "
        f"({format_interval([row['low'], row['high']], 2)})"
        for row in (low, high)
    ]
    return f"{text}, and by bin of log10(m / eV) between {where[0]} and {where[1]}."


def _with_warnings(text: list[str], warnings: list[str]) -> list[Sentence]:
    return [
        *(Sentence(sentence) for sentence in text),
        *(Sentence(sentence, is_warning=True) for sentence in warnings),
    ]


def unknown_sentences(metrics: Metrics) -> list[Sentence]:
    """What a report leaves out because the archive does not state it."""
    return [Sentence(_UNKNOWN[name]) for name in metrics.get("unknown", ())]


_UNKNOWN = {
    "substructure_snr": "The archive does not state the S/N of the substructure: scores and "
    "mistakes are shown without it.",
    "axion_mass": "The archive does not state the axion masses: nothing is shown by mass.",
}


def warning_sentences(predictions: pd.DataFrame) -> list[Sentence]:
    """How many test images are unlike the training set, and the most frequent reason.

    Args:
        predictions: columns of predictions.csv; those of before have no warnings.
    """
    if "warnings" not in predictions:
        return []
    unlike = predictions["warnings"].dropna()
    unlike = unlike[unlike != ""]
    if unlike.empty:
        return []
    reason = unlike.mode()[0].split("; ")[0]
    return [
        Sentence(
            f"{len(unlike):,} of {len(predictions):,} test images are unlike the training set "
            f"(most often: {reason}); the column warnings of predictions.csv names them.",
            is_warning=True,
        )
    ]


def calibration_sentences(metrics: Metrics) -> list[Sentence]:
    """Temperature, calibration error and coverage; nothing if the run keeps no calibration."""
    found = metrics.get("calibration")
    if found is None:
        return []
    images = f"{found['validation_images']:,} validation images"
    share = f"{found['coverage']:.1%} of the test images"
    if metrics["task"] != "classification":
        return [
            Sentence(
                f"The 90% intervals hold the true mass for {share}, and are "
                f"{found['mean_width_dex']:.2f} dex wide on average ({images} set them)."
            )
        ]
    sizes = found["set_sizes"]
    single = sizes.get("1", 0) / metrics["n_test"]
    return [
        Sentence(
            f"Probabilities are scaled by a temperature of {found['temperature']:.2f}, which "
            "changes the expected calibration error from "
            f"{found['expected_calibration_error_before']:.3f} to "
            f"{metrics['expected_calibration_error']:.3f}; the 90% prediction sets hold the true "
            f"class for {share} ({images} set both), and {single:.0%} of them are of one class."
        )
    ]


_MANY_OUTSIDE = 0.01
"""Share of the test images outside what the model knows that is too many at home."""


def novelty_sentences(metrics: Metrics) -> list[Sentence]:
    """How many test images are outside what the model knows; nothing if that is not known."""
    found = metrics.get("in_distribution")
    if found is None:
        return []
    share = found["share_outside"]
    return [
        Sentence(
            f"{found['outside']:,} of {metrics['n_test']:,} test images ({share:.1%}) are outside "
            "what the model knows: `lensmodels predict` gives them no prediction.",
            is_warning=share > _MANY_OUTSIDE,
        )
    ]


def difference_sentence(
    task: str, name: str, reference: str, difference: float, interval: Interval
) -> Sentence:
    """Which of two trainings scores better.

    Args:
        task: of both.
        name, reference: of the run, and of the one that it is compared with.
        difference: of the score, run less reference.
        interval: of the difference.
    """
    _, score = SCORES[task]
    digits = DIFFERENCE_DIGITS[task]
    numbers = (
        f"{format_difference(difference, digits)} in {score}, 95% interval "
        f"{format_interval(interval.as_list(), digits)}"
    )
    if not interval.excludes_zero:
        return Sentence(f"{name} and {reference} cannot be told apart on these images ({numbers}).")
    is_better = difference > 0 if task == "classification" else difference < 0
    return Sentence(
        f"This training of {name} scores {'better' if is_better else 'worse'} than this one of "
        f"{reference} ({numbers})."
    )


METHOD_NOTES = (
    "Intervals are 95% percentile intervals of a bootstrap over the test images, resampled within "
    "each class (1,000 resamples). They tell how much a score depends on the choice of test "
    "images, and not how much it depends on the seed of the training.",
)
"""How the numbers of every page are made."""

TASK_NOTES = {
    "classification": (
        "AUC is the area under the ROC curve of a class against all others; the macro AUC is the "
        "plain mean over the classes, as in scikit-learn. Recall is the share of a class that is "
        "predicted to be of it, precision the share of what is predicted to be of a class that is "
        "of it. The S/N of the substructure is sqrt(sum((I - I_smooth)^2 / sigma^2)) over the "
        "pixels, against the same lens without substructure. The expected calibration error is "
        "that of Guo et al. 2017, with ten bins in the probability of the most probable class.",
    ),
    "axion-mass": (
        "Errors are of log10(m / eV), predicted less true, in dex. The Cramér-Rao bound is the "
        "least scatter that an estimate without bias can have if the angle of the vortex and the "
        "position of the source are unknown besides the mass, as in the data set; it is the "
        "median of random lenses. The best estimate over the prior is the mean of the posterior "
        "over mass and angle: it may be biased, and so may lie below the bound where the prior "
        "is narrower than the likelihood. Where the image barely shows the vortex, it lies above: "
        "the bound holds for small errors.",
    ),
}

PAIRING_NOTE = (
    "The paired bootstrap draws the same images for both runs, so that the difficulty of the "
    "images cancels in the difference. One training on each side cannot tell methods apart: for "
    "that, train each three times or more with other seeds, as `lensmodels study` does."
)

CALIBRATION_NOTE = (
    "The temperature and the prediction sets or intervals are measured on validation images: what "
    "the outputs are divided by so that the true classes are most probable (Guo et al. 2017), and "
    "split conformal prediction. Sets and intervals hold the truth for 90% of images like the "
    "training set, on average over validation images: with n of these, the share scatters by "
    "30% / sqrt(n)."
)

NOVELTY_NOTE = (
    "An image is outside what the model knows if one of its scores (noise, sky level, flux, peak, "
    "the part outside the principal components of the training images, the distances in these and "
    "in the encoder's features, the reduced chi-square of a fit) deviates more from those of the "
    "validation images than all but a quarter of a percent of them do, over all scores together. "
    "Scores of this page are over all test images."
)
