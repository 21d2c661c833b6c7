"""Figures in words: what metrics.json means, for a reader who did not make the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lensmodels.evaluation.information import InformationLimit
from lensmodels.reporting.style import CLASS_NAMES
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
"""Share of the variance below which a regression has found the mean, and no more."""

_LEAK = 0.95
"""Share of the information limit below which an error is not believed: the limit is the mean of a
dozen lenses, from a grid of masses and angles."""

SCORES = {"classification": ("macro_auc", "macro AUC"), "axion-mass": ("rmse_dex", "RMSE")}
"""Key and name of the figure by which runs of a task are compared."""


SCORE_DIGITS = 3
"""Digits of a score in a sentence."""

DIFFERENCE_DIGITS = {"classification": 5, "axion-mass": 4}
"""Digits of a difference of scores: one more than the scores have."""


def span(ends: Sequence[float] | None, digits: int = 4) -> str:
    """An interval as text; empty where there is none."""
    return " to ".join(_with_minus(f"{end:.{digits}f}") for end in ends) if ends else ""


def signed(value: float, digits: int) -> str:
    """A difference as text, always with its sign."""
    return _with_minus(f"{value:+.{digits}f}")


def power(exponent: float) -> str:
    """A power of ten as text."""
    return f"10{f'{exponent:g}'.translate(_SUPERSCRIPTS)}"


_SUPERSCRIPTS = str.maketrans(
    "-.0123456789", "\u207b\u00b7\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def _with_minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def figure(value: float | None, digits: int = 4) -> str:
    """A figure as text; "undefined" where it is None."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def score_sentence(metrics: Metrics) -> str:
    """The score of a test with its interval, as in "macro AUC 0.993 (0.990 to 0.996) on ..."."""
    key, name = SCORES[metrics["task"]]
    unit = " dex" if metrics["task"] == "axion-mass" else ""
    interval = span(metrics["ci95"][key], SCORE_DIGITS)
    score = f"{name} {figure(metrics[key], SCORE_DIGITS)}{unit if interval else ''}"
    inside = f" ({interval})" if interval else ""
    return f"{score}{inside} on {metrics['n_test']:,} test images"


def sentences(metrics: Metrics, limit: InformationLimit | None) -> list[Sentence]:
    """What the figures of a run say.

    Args:
        metrics: content of metrics.json.
        limit: what the images tell of the axion mass at best, where it is known.
    """
    if metrics["task"] == "classification":
        return _classification(metrics)
    return _axion_mass(metrics, limit)


def _classification(metrics: Metrics) -> list[Sentence]:
    found = []
    missing = [CLASS_NAMES[name] for name, area in metrics["auc"].items() if area is None]
    if metrics["macro_auc"] is None:
        found.append(
            Sentence(
                f"The AUC of {' and '.join(missing)} is undefined, and so is their mean, the "
                "macro AUC: the test images are not of all classes.",
                is_warning=True,
            )
        )
    else:
        found.append(
            Sentence(
                f"Macro AUC {metrics['macro_auc']:.4f} (95% interval "
                f"{span(metrics['ci95']['macro_auc'])}): that is the probability that an image of "
                "a class is ranked above one of another class, averaged over the classes. 0.5 is "
                "chance, 1 is perfect."
            )
        )
        if metrics["ci95"]["macro_auc"][0] <= _CHANCE:
            found.append(Sentence("It is no better than chance.", is_warning=True))
    defined = {name: area for name, area in metrics["auc"].items() if area is not None}
    if len(defined) > 1 and len(metrics["auc"]) > 2:  # of two classes, both areas are the same
        best, worst = max(defined, key=defined.__getitem__), min(defined, key=defined.__getitem__)
        found.append(
            Sentence(
                f"The class that stands out best is {CLASS_NAMES[best]} (AUC "
                f"{defined[best]:.4f}), the hardest is {CLASS_NAMES[worst]} "
                f"({defined[worst]:.4f})."
            )
        )
    found.append(Sentence(_most_frequent_confusion(metrics)))
    together = [row for row in metrics["auc_by_snr"] if row["class"] == "all"]
    if len(together) > 1:
        faint, clear = together[0], together[-1]
        found.append(
            Sentence(
                f"The faintest substructure (S/N {faint['low']:.0f} to {faint['high']:.0f}) is "
                f"told from none with an AUC of {faint['auc']:.4f} ({span(faint['ci95'])}), the "
                f"clearest (S/N above {clear['low']:.0f}) with {clear['auc']:.4f}."
            )
        )
    reliability = metrics["reliability"]
    stated = np.average(reliability["confidence"], weights=reliability["count"])
    excess = float(stated) - metrics["accuracy"]
    error = metrics["expected_calibration_error"]
    direction = (
        "neither too sure nor too doubtful on average"
        if abs(excess) < 0.01
        else f"{'too sure' if excess > 0 else 'too doubtful'} by {abs(excess):.1%} on average"
    )
    found.append(
        Sentence(
            f"Its probabilities are {direction}; the expected calibration error is {error:.3f}."
        )
    )
    return found


def unknown_sentences(metrics: Metrics) -> list[Sentence]:
    """What a report leaves out because the archive does not know it."""
    return [Sentence(_LEFT_OUT[name]) for name in metrics.get("unknown", ())]


_LEFT_OUT = {
    "substructure_snr": "The archive does not state the S/N of the substructure: scores and "
    "mistakes are shown without it.",
    "axion_mass": "The archive does not state the axion masses: nothing is shown by mass.",
}


def _most_frequent_confusion(metrics: Metrics) -> str:
    counts = np.array(metrics["confusion"])
    text = (
        f"The most probable class is the true one for {metrics['accuracy']:.1%} of "
        f"{metrics['n_test']:,} test images"
    )
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return f"{text}: there is no mistake."
    true, said = np.unravel_index(wrong.argmax(), wrong.shape)
    names = [CLASS_NAMES[name] for name in metrics["auc"]]
    return (
        f"{text}; the most frequent mistake is {names[true]} taken for {names[said]} "
        f"({wrong[true, said]:,} images, "
        f"{wrong[true, said] / counts[true].sum():.1%} of that class)."
    )


def _axion_mass(metrics: Metrics, limit: InformationLimit | None) -> list[Sentence]:
    rmse, ends = metrics["rmse_dex"], metrics["ci95"]["rmse_dex"]
    found = [
        Sentence(
            f"RMSE {rmse:.3f} dex over all test images (95% interval {span(ends, 3)}), a typical "
            f"factor of {10**rmse:.2f} in mass."
        )
    ]
    if limit is None:
        found.append(
            Sentence(
                "What the images can tell at best is not known for this specification; "
                "experiments/information.py computes it."
                if metrics["data"]["spec_sha256"]
                else "What the images can tell at best is not known, as they were imported."
            )
        )
    elif ends[1] < _LEAK * limit.limit:
        found.append(
            Sentence(
                f"That is below the {limit.limit:.3f} dex that the best estimator can reach on "
                "images like these: something other than the image gives the mass away. Check "
                "that no test image was trained on.",
                is_warning=True,
            )
        )
    else:
        found.append(
            Sentence(
                f"The best estimator can reach {limit.limit:.3f} dex on images like these: this "
                f"one is at {rmse / limit.limit:.2f} times that. A vortex shorter than its own "
                "Einstein radius looks like a point, so that above about "
                f"{power(-22.7)} eV the mass is not in the image."
            )
        )
    resolved = metrics["resolved"]
    if resolved is not None:
        sentence = (
            f"Where the vortex is long enough to be seen, below {power(resolved['below'])} eV, "
            f"the RMSE is {resolved['rmse_dex']:.3f} dex ({resolved['count']:,} images)"
        )
        if limit is not None:
            best = limit.rms_limit(limit.log10_mass[0], resolved["below"])
            sentence += f"; that of the best estimator is {best:.3f}"
        found.append(Sentence(f"{sentence}."))
    bias, ends = metrics["bias_dex"], metrics["ci95"]["bias_dex"]
    numbers = f"{signed(bias, 3)} dex (95% interval {span(ends, 3)})"
    if Interval(*ends).excludes_zero:
        side = "heavy" if bias > 0 else "light"
        found.append(Sentence(f"Masses come out too {side} on average, by {numbers}."))
    else:
        found.append(Sentence(f"No bias is seen: the mean error is {numbers}."))
    if metrics["r2"] is not None:
        found.append(
            Sentence(
                f"R\N{SUPERSCRIPT TWO} is {span([metrics['r2']], 3)}: the share of the "
                "variance of log mass that is predicted; the mean of all masses would get 0."
            )
        )
        if metrics["r2"] < _MIN_R2:
            found.append(
                Sentence("It has learned little more than the mean of all masses.", is_warning=True)
            )
    if metrics["coverage"] is not None:
        pull = metrics["coverage"]["pull"]
        inside = dict(
            zip(metrics["coverage"]["nominal"], metrics["coverage"]["observed"], strict=True)
        )
        verdict = "about right" if 0.9 < pull < 1.1 else "too small" if pull >= 1.1 else "too large"
        found.append(
            Sentence(
                f"The predicted uncertainty is {verdict}: the true mass is within one sigma for "
                f"{inside[0.6827]:.0%} of images (68% expected) and within two for "
                f"{inside[0.9545]:.0%} (95%)."
            )
        )
    return found


def difference_sentence(
    task: str, name: str, reference: str, difference: float, interval: Interval
) -> Sentence:
    """Which of two trainings scores better, in words.

    Args:
        task: of both.
        name, reference: of the run, and of the one that it is compared with.
        difference: of the score, run less reference.
        interval: of the difference.
    """
    _, score = SCORES[task]
    digits = DIFFERENCE_DIGITS[task]
    gain = difference if task == "classification" else -difference
    numbers = (
        f"{difference:+.{digits}f} in {score}, 95% interval {span(interval.as_list(), digits)}"
    )
    if not interval.excludes_zero:
        text = f"{name} and {reference} cannot be told apart on these images ({numbers})."
    else:
        word = "better" if gain > 0 else "worse"
        text = f"This training of {name} scores {word} than this one of {reference} ({numbers})."
    return Sentence(text)


METHOD_NOTES = (
    "Intervals are 95% percentile intervals of a bootstrap over the test images, resampled within "
    "each class (1,000 resamples). They say how far a figure would move with other test images of "
    "the same kind; how far it would move had the model been trained again with another seed, they "
    "do not say.",
)
"""How figures are made, for every page."""

TASK_NOTES = {
    "classification": (
        "AUC is the area under the ROC curve of a class against all others; the macro AUC is the "
        "plain mean over the classes, as scikit-learn has it. The S/N of the substructure is "
        "sqrt(sum((I - I_smooth)^2 / sigma^2)) over the pixels, against the smooth lens of the "
        "same total mass. The expected calibration error is that of Guo et al. 2017, with ten bins "
        "in the probability of the most probable class.",
    ),
    "axion-mass": (
        "Errors are of log10(m / eV), predicted less true, in dex. The Cramér-Rao bound is the "
        "least scatter that an estimate without bias can have, where the angle of the vortex and "
        "the position of the source are unknown besides the mass, as in the data set; it is the "
        "median of random lenses. The best estimate over the prior is the mean of the posterior "
        "over mass and angle: it may be biased, and so may lie below the bound where the prior "
        "says more than the image. Where the image barely shows the vortex, it lies above: "
        "the bound is of small errors.",
    ),
}

PAIRING_NOTE = (
    "The paired bootstrap draws the same images for both runs, so that what is easy or hard for "
    "both drops out of the difference. One training on each side cannot tell methods apart: for "
    "that, train each three times or more with other seeds, as `lensmodels study` does."
)
