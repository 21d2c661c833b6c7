"""Scores in a sentence."""

from lensmodels.reporting.sentences import score_sentence


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
