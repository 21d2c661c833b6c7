"""Scores in a sentence."""

import numpy as np
import pandas as pd

from lensmodels.reporting.sentences import (
    calibration_sentences,
    novelty_sentences,
    posterior_sentences,
    score_sentence,
    sentences,
    warning_sentences,
)


def test_score_with_its_interval():
    metrics = {"task": "classification", "macro_auc": 0.99312, "n_test": 600}
    metrics["ci95"] = {"macro_auc": [0.98987, 0.99641]}
    assert score_sentence(metrics) == "macro AUC 0.993 (0.990 to 0.996) on 600 test images"


def test_score_of_a_mass_has_its_unit():
    metrics = {"task": "axion-mass", "rmse_dex": 0.2461, "n_test": 1200}
    metrics["ci95"] = {"rmse_dex": [0.24, 0.2523]}
    assert score_sentence(metrics) == "RMSE 0.246 dex (0.240 to 0.252) on 1,200 test images"


def test_score_that_is_undefined():
    metrics = {"task": "classification", "macro_auc": None, "n_test": 12}
    metrics["ci95"] = {"macro_auc": None}
    assert score_sentence(metrics) == "macro AUC undefined on 12 test images"


def mass_metrics(*bias):
    """Metrics of masses with a bias, dex, in each of the bins from 1e-24 eV on."""
    rows = [
        {"low": -24 + 0.25 * k, "high": -23.75 + 0.25 * k, "bias_dex": value}
        for k, value in enumerate(bias)
    ]
    mean = float(np.mean(bias))
    return {
        "task": "axion-mass",
        "rmse_dex": 0.3,
        "bias_dex": mean,
        "r2": 0.8,
        "by_mass": rows,
        "ci95": {"rmse_dex": [0.29, 0.31], "bias_dex": [mean - 0.01, mean + 0.01]},
        "data": {"spec_sha256": "unknown"},
    }


def test_a_bias_that_cancels_on_average_is_given_by_mass():
    [bias] = [one.text for one in sentences(mass_metrics(1.0, 0.0, -1.0), None)][2:]
    assert "+0.000 dex on average" in bias
    low, high = (
        "\N{MINUS SIGN}23.50 to \N{MINUS SIGN}23.25",
        "\N{MINUS SIGN}24.00 to \N{MINUS SIGN}23.75",
    )
    assert f"between \N{MINUS SIGN}1.00 dex ({low}) and +1.00 dex ({high})" in bias
    [small] = [one.text for one in sentences(mass_metrics(0.01, -0.01), None)][2:]
    assert "at most 0.05 dex off in every bin" in small


def test_the_page_of_a_run_has_three_sentences_besides_warnings():
    assert len(sentences(mass_metrics(0.1, 0.2), None)) == 3


def test_images_unlike_the_training_set_are_counted_with_the_most_frequent_reason():
    table = pd.DataFrame({"warnings": [np.nan, "too bright; blank", "too bright", "too faint", ""]})
    [warning] = warning_sentences(table)
    assert warning.is_warning
    assert warning.text.startswith("3 of 5 test images are unlike the training set")
    assert warning_sentences(pd.DataFrame({"warnings": [np.nan, np.nan]})) == []
    assert warning_sentences(pd.DataFrame({"label": [0]})) == []


def posterior_of(rank_p_value, tarp_p_value):
    """Metrics of posteriors as wide as their errors."""
    found = {"sigma_rms": 0.31, "rank_p_value": rank_p_value, "tarp_p_value": tarp_p_value}
    return {"task": "axion-mass", "rmse_dex": 0.312, "posterior": found}


def test_posterior_that_is_right_is_said_to_be():
    (sentence,) = posterior_sentences(posterior_of(0.4, 0.7))
    assert "0.310 dex" in sentence.text and "0.312 dex" in sentence.text
    assert sentence.text.endswith("even within the noise.") and not sentence.is_warning


def test_posterior_that_is_not_right_is_a_warning_that_names_the_test():
    _, warning = posterior_sentences(posterior_of(1e-5, 0.7))
    assert warning.is_warning
    assert "simulation-based calibration (p" in warning.text and "TARP" not in warning.text
    assert posterior_sentences({"posterior": None}) == []


def test_calibration_of_classes_in_a_sentence():
    metrics = {"task": "classification", "n_test": 200, "expected_calibration_error": 0.006}
    metrics["calibration"] = {
        "validation_images": 450,
        "temperature": 0.64,
        "expected_calibration_error_before": 0.058,
        "coverage": 0.905,
        "set_sizes": {"0": 10, "1": 150, "2": 40, "3": 0},
    }
    (sentence,) = calibration_sentences(metrics)
    for text in ("temperature of 0.64", "from 0.058 to 0.006", "90.5% of the test", "75% of them"):
        assert text in sentence.text


def test_many_images_outside_at_home_are_a_warning():
    metrics = {"n_test": 1000, "in_distribution": {"outside": 3, "share_outside": 0.003}}
    (sentence,) = novelty_sentences(metrics)
    assert sentence.text.startswith("3 of 1,000 test images (0.3%) are outside")
    assert not sentence.is_warning
    metrics["in_distribution"] = {"outside": 30, "share_outside": 0.03}
    assert novelty_sentences(metrics)[0].is_warning
    assert novelty_sentences({"in_distribution": None}) == []
