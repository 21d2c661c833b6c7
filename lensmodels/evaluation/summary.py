"""From a table of predictions to metrics.json: every metric, with its interval."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lensmodels.data import CLASSES, ClassName
from lensmodels.evaluation import metrics
from lensmodels.evaluation.detection_bound import bounding_snr, detection_bound
from lensmodels.evaluation.posterior import central_coverage, has_posterior, posterior_metrics
from lensmodels.statistics import bootstrap
from lensmodels.statistics.auc import macro_mean, one_vs_rest_auc
from lensmodels.tasks import TaskName
from lenssim.spec import Specification

FloatArray = NDArray[np.float64]

_TINY = float(np.finfo(float).tiny)

RESOLVED = -23.0
"""log10(m / eV) below which a vortex is longer than its Einstein radius, so that its length, and
with it the mass, can be seen."""


def labels_of(table: pd.DataFrame) -> NDArray[np.int64]:
    """True labels, (n,)."""
    return table["label"].to_numpy(np.int64)


def classes_of(table: pd.DataFrame | pd.Series) -> tuple[ClassName, ...]:
    """Classes whose probabilities a table or a row of it has, in the order of their labels."""
    return tuple(name for name in CLASSES if f"p_{name}" in table)


def probabilities_of(table: pd.DataFrame) -> FloatArray:
    """Predicted probabilities, (n, classes)."""
    return table[[f"p_{name}" for name in classes_of(table)]].to_numpy(np.float64)


def true_columns(table: pd.DataFrame) -> NDArray[np.int64]:
    """Column of `probabilities_of` that is of the true class of each image, (n,)."""
    own = [CLASSES.index(name) for name in classes_of(table)]
    return np.searchsorted(own, labels_of(table))


def unknown_columns(table: pd.DataFrame) -> list[str]:
    """What is not known of any test image that has it: "substructure_snr", "axion_mass"."""
    having = {
        "substructure_snr": table["class"] != "no_sub",
        "axion_mass": table["class"] == "axion",
    }
    return [
        name
        for name, chosen in having.items()
        if chosen.any() and not table.loc[chosen, name].notna().any()
    ]


def flagged(table: pd.DataFrame) -> dict[str, Any] | None:
    """How many test images are outside what the model knows; None where that is not known."""
    if "in_distribution" not in table:
        return None
    outside = ~table["in_distribution"].to_numpy(bool)
    return {"outside": int(outside.sum()), "share_outside": float(outside.mean())}


def true_log_mass(table: pd.DataFrame) -> FloatArray:
    """True log10(m / eV), (n,)."""
    return np.log10(table["axion_mass"].to_numpy(np.float64))


def log_mass_error(table: pd.DataFrame) -> FloatArray:
    """Predicted less true log10(m / eV), dex, (n,)."""
    return table["log10_mass"].to_numpy(np.float64) - true_log_mass(table)


def summarise(
    task: TaskName,
    table: pd.DataFrame,
    spec: Specification | None = None,
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Every metric of a table of predictions, as metrics.json has it.

    Args:
        task: "classification" or "axion-mass".
        table: columns of predictions.csv.
        spec: specification of the images, which decides what bounds the scores.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        JSON-able; None if a metric is undefined.
    """
    if task == "classification":
        return _classification(table, spec, seed, resamples)
    return _axion_mass(table, seed, resamples)


def _classification(
    table: pd.DataFrame, spec: Specification | None, seed: int, resamples: int
) -> dict[str, Any]:
    classes = classes_of(table)
    labels, probabilities = true_columns(table), probabilities_of(table)
    areas = one_vs_rest_auc(labels, probabilities)
    macro = macro_mean(areas)
    right = (probabilities.argmax(axis=1) == labels).astype(float)
    statistics = {"accuracy": bootstrap.weighted_mean(right)}
    for label, (name, area) in enumerate(zip(classes, areas, strict=True)):
        if area is not None:
            statistics[name] = bootstrap.weighted_auc(labels == label, probabilities[:, label])
    if macro is not None:
        statistics["macro_auc"] = bootstrap.weighted_macro_auc(labels, probabilities)
    intervals = dict(
        zip(
            statistics,
            bootstrap.intervals(list(statistics.values()), labels, seed=seed, count=resamples),
            strict=True,
        )
    )
    reliability = metrics.reliability(labels, probabilities)
    return {
        "macro_auc": macro,
        "auc": dict(zip(classes, areas, strict=True)),
        "accuracy": metrics.accuracy(labels, probabilities),
        "ci95": {
            "macro_auc": intervals["macro_auc"].as_list() if macro is not None else None,
            "accuracy": intervals["accuracy"].as_list(),
            "auc": {
                name: intervals[name].as_list() if name in intervals else None for name in classes
            },
        },
        "confusion": metrics.confusion_matrix(labels, probabilities).tolist(),
        "expected_calibration_error": reliability.expected_calibration_error,
        "reliability": {key: value.tolist() for key, value in asdict(reliability).items()},
        "snr": known_snr(table)[0],
        "auc_by_snr": auc_by_snr(table, seed=seed, resamples=resamples),
        "auc_above_snr": auc_above_snr(table, seed=seed, resamples=resamples),
        "auc_bound": auc_bound(table, spec),
        "auc_long_vortices": auc_long_vortices(table, seed=seed, resamples=resamples),
    }


SNRKind = Literal["refit", "raw"]


def known_snr(table: pd.DataFrame) -> tuple[SNRKind, FloatArray]:
    """S/N of the substructure by which scores are ordered, (n,), and which of the two it is.

    "refit", what is left of it after a refit of the smooth lens and the source, where that is known
    of any image; else "raw".
    """
    refit = table.get("substructure_snr_refit")
    if refit is not None and refit[table["class"] != "no_sub"].notna().any():
        return "refit", refit.to_numpy(np.float64)
    return "raw", table["substructure_snr"].to_numpy(np.float64)


def auc_bound(table: pd.DataFrame, spec: Specification | None) -> list[dict[str, Any]]:
    """What the scores of `auc_above_snr` can be at most, by `detection_bound`.

    Args:
        table: predictions, one row an image.
        spec: specification of the images.

    Returns:
        Entries with above, class and auc; none where the refit S/N is not known of every image
        with substructure, there are no images without, or no specification.
    """
    if spec is None:
        return []
    kind, snr = known_snr(table)
    names = [name for name in classes_of(table) if name != "no_sub"]
    by_class: dict[str, FloatArray] = {
        name: snr[(table["class"] == name).to_numpy()] for name in names
    }
    if kind == "raw" or "p_no_sub" not in table or not all(len(each) for each in by_class.values()):
        return []
    if not all(np.isfinite(each).all() for each in by_class.values()):
        return []
    bounding = table[bounding_snr(spec)].to_numpy(np.float64)
    return detection_bound(
        by_class, {name: bounding[(table["class"] == name).to_numpy()] for name in names}
    )


def auc_above_snr(
    table: pd.DataFrame, *, seed: int = 0, resamples: int = bootstrap.RESAMPLES
) -> list[dict[str, Any]]:
    """AUC of the images whose substructure exceeds an S/N, and of all without substructure.

    Args:
        table: predictions, one row an image, with its label and S/N.
        seed: of the bootstrap.
        resamples: of the test images, for the intervals.

    Returns:
        For each of `metrics.SNR_LIMITS` and each class with substructure, ranked against no_sub by
        p / (p + p_no_sub); and for "all", the macro AUC where there is more than one such class.
        One entry: above (S/N), class, count (of the class, or with substructure), auc, ci95.
        Groups of fewer than `metrics.MIN_IN_BIN` images have no entry.
    """
    names = [name for name in classes_of(table) if name != "no_sub"]
    labels, probabilities = true_columns(table), probabilities_of(table)
    if "p_no_sub" not in table or not names:
        return []
    is_empty = labels == len(names)  # no_sub is the last class
    snr = known_snr(table)[1]
    rows = []
    for limit in metrics.SNR_LIMITS:
        is_above = ~is_empty & np.isfinite(snr) & (snr > limit)
        for column, name in enumerate([*names, "all"]):
            members = is_above if name == "all" else is_above & (labels == column)
            chosen = members | is_empty
            counts = np.bincount(labels[chosen], minlength=len(names) + 1)
            wanted = counts if name == "all" else counts[[column, -1]]
            if wanted.min() < metrics.MIN_IN_BIN or (name == "all" and len(names) < 2):
                continue
            if name == "all":
                area = bootstrap.weighted_macro_auc(labels[chosen], probabilities[chosen])
            else:
                area = _against_none(members[chosen], probabilities[chosen], column)
            [interval] = bootstrap.intervals([area], labels[chosen], seed=seed, count=resamples)
            rows.append(
                {
                    "above": limit,
                    "class": name,
                    "count": int(members.sum()),
                    "auc": float(area(np.ones((1, int(chosen.sum()))))[0]),
                    "ci95": interval.as_list(),
                }
            )
    return rows


def auc_long_vortices(
    table: pd.DataFrame, *, seed: int = 0, resamples: int = bootstrap.RESAMPLES
) -> dict[str, Any] | None:
    """AUC of vortices of axions lighter than `RESOLVED` against images without substructure.

    Args:
        table: predictions, one row an image.
        seed: of the bootstrap.
        resamples: of the test images, for the interval.

    Returns:
        below (log10(m / eV)), count, auc, ci95, and above_snr: above (S/N), count and auc of those
        whose substructure exceeds each of `metrics.SNR_LIMITS`, where it is known of enough. None
        where there are fewer than `metrics.MIN_IN_BIN` such images, or none without substructure.
    """
    names = classes_of(table)
    if not {"axion", "no_sub"} <= set(names) or "axion_mass" not in table:
        return None
    labels, probabilities = true_columns(table), probabilities_of(table)
    column = names.index("axion")
    mass = table["axion_mass"].to_numpy(np.float64)
    members = (labels == column) & (mass < 10.0**RESOLVED)
    is_empty = labels == names.index("no_sub")
    if min(members.sum(), is_empty.sum()) < metrics.MIN_IN_BIN:
        return None

    def area_of(some: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], bootstrap.Statistic]:
        chosen = some | is_empty
        return chosen, _against_none(some[chosen], probabilities[chosen], column)

    def auc_of(some: NDArray[np.bool_]) -> float:
        chosen, area = area_of(some)
        return float(area(np.ones((1, int(chosen.sum()))))[0])

    chosen, area = area_of(members)
    [interval] = bootstrap.intervals([area], labels[chosen], seed=seed, count=resamples)
    snr = known_snr(table)[1]
    by_limit = {limit: members & np.isfinite(snr) & (snr > limit) for limit in metrics.SNR_LIMITS}
    return {
        "below": RESOLVED,
        "count": int(members.sum()),
        "auc": auc_of(members),
        "ci95": interval.as_list(),
        "above_snr": [
            {"above": limit, "count": int(above.sum()), "auc": auc_of(above)}
            for limit, above in by_limit.items()
            if above.sum() >= metrics.MIN_IN_BIN
        ],
    }


def _against_none(
    members: NDArray[np.bool_], probabilities: FloatArray, column: int
) -> bootstrap.Statistic:
    """AUC of a class against no_sub, the last class, ranked by p / (p + p_no_sub).

    Args:
        members: whether an image is of the class, (n,).
        probabilities: of all classes, (n, classes).
        column: of the class.
    """
    pair = probabilities[:, [column, -1]]
    return bootstrap.weighted_auc(members, pair[:, 0] / np.maximum(pair.sum(1), _TINY))


def auc_by_snr(
    table: pd.DataFrame, *, seed: int = 0, resamples: int = bootstrap.RESAMPLES
) -> list[dict[str, Any]]:
    """How well substructure is told from none, in bins of its S/N, of `known_snr`.

    In each bin, the images with substructure against all without, ranked by 1 - p_no_sub: all
    classes together ("all"), and each of several by itself if the bin has enough of it. Images of
    unknown S/N are left out.

    Args:
        table: predictions, one row an image, with its label and S/N.
        seed: of the bootstrap.
        resamples: of the test images, for the intervals.

    Returns:
        One entry a bin and class: low, high (S/N), class, count, auc, ci95; none if no image is
        without substructure, or no S/N is known.
    """
    names = [name for name in classes_of(table) if name != "no_sub"]
    labels = labels_of(table)
    has_substructure = labels != CLASSES.index("no_sub")
    empty = np.flatnonzero(~has_substructure)
    if "p_no_sub" not in table or not len(empty):
        return []
    evidence = 1 - table["p_no_sub"].to_numpy(np.float64)
    snr = known_snr(table)[1]
    rows = []
    for part in metrics.snr_bins(snr, has_substructure & np.isfinite(snr)):
        for name in ("all", *(names if len(names) > 1 else ())):
            members = part.members
            if name != "all":
                members = members[labels[members] == CLASSES.index(name)]
                if len(members) < metrics.MIN_IN_BIN:
                    continue
            chosen = np.concatenate([members, empty])
            positive = np.arange(len(chosen)) < len(members)
            area = bootstrap.weighted_auc(positive, evidence[chosen])
            [interval] = bootstrap.intervals(
                [area], positive.astype(int), seed=seed, count=resamples
            )
            rows.append(
                {
                    "low": part.low,
                    "high": part.high,
                    "class": name,
                    "count": len(members),
                    "auc": float(area(np.ones((1, len(chosen))))[0]),
                    "ci95": interval.as_list(),
                }
            )
    return rows


def _axion_mass(table: pd.DataFrame, seed: int, resamples: int) -> dict[str, Any]:
    true, error = true_log_mass(table), log_mass_error(table)
    resolved = table[true < RESOLVED]
    covered = None
    if "log10_mass_sigma" in table:
        sigma = table["log10_mass_sigma"].to_numpy(np.float64)
        coverage = metrics.coverage(true, true + error, sigma)
        covered = {
            "nominal": coverage.nominal.tolist(),
            "observed": coverage.observed.tolist(),
            "pull": coverage.pull,
        }
    posterior = posterior_metrics(table) if has_posterior(table) else None
    if covered is not None and posterior is not None:
        covered["observed"] = central_coverage(table).tolist()
    names = ("rmse_dex", "mae_dex", "bias_dex")
    overall = _errors(true, error)
    del overall["count"]  # is n_test
    return {
        **overall,
        "ci95": dict(zip(names, _error_intervals(error, seed, resamples), strict=True)),
        "resolved": None
        if resolved.empty
        else {
            "below": RESOLVED,
            **_errors(true_log_mass(resolved), log_mass_error(resolved)),
        },
        "by_mass": [
            {
                "low": part.low,
                "high": part.high,
                **_errors(true[part.members], error[part.members], r2=False),
                "ci95": dict(
                    zip(names, _error_intervals(error[part.members], seed, resamples), strict=True)
                ),
            }
            for part in metrics.mass_bins(true)
        ],
        "coverage": covered,
        "posterior": posterior,
    }


def _errors(true: FloatArray, error: FloatArray, *, r2: bool = True) -> dict[str, Any]:
    errors = asdict(metrics.regression_metrics(true, true + error))
    if not r2:
        del errors["r2"]  # means nothing within a narrow bin
    return errors


def _error_intervals(error: FloatArray, seed: int, resamples: int) -> list[list[float]]:
    """95% intervals of RMSE, mean absolute error and bias."""
    statistics = [
        bootstrap.weighted_rms(error),
        bootstrap.weighted_mean(np.abs(error)),
        bootstrap.weighted_mean(error),
    ]
    strata = np.zeros(len(error), np.int64)
    intervals = bootstrap.intervals(statistics, strata, seed=seed, count=resamples)
    return [interval.as_list() for interval in intervals]
