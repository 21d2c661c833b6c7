"""Probabilities, sets and intervals that are as often right as they say."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from lensmodels.api import predict_images
from lensmodels.evaluation import predict
from lensmodels.evaluation.calibration import (
    INTERVAL_COLUMNS,
    LEVEL,
    Calibration,
    ClassCalibration,
    MassCalibration,
    fit_temperature,
    load_calibration,
)
from lensmodels.evaluation.metrics import reliability
from lensmodels.evaluation.testing import score
from lensmodels.runs import CALIBRATION, MODEL, load_model
from lensmodels.tasks import AxionMass, Classification, TaskSettings
from lenssim.archive import open_archive

TEMPERATURE = 2.5


def drawn(generator, count):
    """Outputs, (n, 3), `TEMPERATURE` times too large, and classes drawn by the true ones, (n,)."""
    outputs = generator.normal(size=(count, 3)) * 2
    cumulative = softmax(outputs, axis=1).cumsum(axis=1)
    columns = (generator.random((count, 1)) > cumulative).sum(axis=1).clip(max=2)
    return TEMPERATURE * outputs, columns


def test_temperature_is_that_by_which_outputs_are_too_large():
    outputs, columns = drawn(np.random.default_rng(1), 20_000)
    assert fit_temperature(outputs, columns) == pytest.approx(TEMPERATURE, rel=0.05)


def test_classes_without_a_mistake_tell_no_temperature():
    outputs = np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(outputs, np.array([0, 1, 2, 0])) == 1.0


def table_of(columns, truth):
    names = np.array(["axion", "cdm", "no_sub"])
    return pd.DataFrame({**columns, "label": truth, "class": names[truth]})


def test_sets_hold_the_true_class_as_often_as_stated_and_probabilities_are_calibrated():
    generator = np.random.default_rng(2)
    task = Classification(TaskSettings())
    coverages = []
    for _ in range(12):
        calibration = ClassCalibration(*drawn(generator, 500))
        outputs, columns = drawn(generator, 1000)
        predicted = calibration.predictions(task, torch.from_numpy(outputs))
        found = calibration.measure(table_of(predicted, columns))
        coverages.append(found["coverage"])
    assert np.mean(coverages) == pytest.approx(LEVEL, abs=0.02)
    assert sum(found["set_sizes"].values()) == 1000
    assert found["expected_calibration_error_before"] > 0.1
    probabilities = np.stack([predicted[f"p_{name}"] for name in task.classes], axis=1)
    right = probabilities.argmax(axis=1) == columns
    assert probabilities.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.03)


def test_error_before_is_that_of_the_outputs_as_they_are():
    calibration = ClassCalibration(*drawn(np.random.default_rng(3), 500))
    outputs, columns = drawn(np.random.default_rng(4), 1000)
    task = Classification(TaskSettings())
    plain = softmax(outputs, axis=1)
    predicted = calibration.predictions(task, torch.from_numpy(outputs))
    found = calibration.measure(table_of(predicted, columns))
    expected = reliability(columns, plain).expected_calibration_error
    assert found["expected_calibration_error_before"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("loss", ["huber", "gaussian-nll"])
def test_intervals_hold_the_true_mass_as_often_as_stated(loss):
    generator = np.random.default_rng(5)
    task = AxionMass(TaskSettings(name="axion-mass", loss=loss))

    def draw(count):
        outputs = generator.normal(size=(count, 2))  # the second is a log variance, too small
        sigma = np.exp(0.5 * outputs[:, 1]) if loss == "gaussian-nll" else 1.0
        predicted = Calibration().predictions(task, torch.from_numpy(outputs))
        error = generator.normal(size=count) * sigma * 2 * task.standard_deviation
        return outputs, predicted, predicted["log10_mass"] + error

    _, known, truth = draw(4000)
    calibration = MassCalibration(known["log10_mass"], truth, known.get("log10_mass_sigma"))
    outputs, _, truth = draw(4000)
    predicted = calibration.predictions(task, torch.from_numpy(outputs))
    found = calibration.measure(pd.DataFrame({**predicted, "axion_mass": 10**truth}))
    assert found["coverage"] == pytest.approx(LEVEL, abs=0.02)
    low, high = (predicted[name] for name in INTERVAL_COLUMNS)
    np.testing.assert_allclose((low + high) / 2, predicted["log10_mass"])
    assert (np.ptp(high - low) > 0.1) == (loss == "gaussian-nll")


def test_predictions_of_a_run_are_calibrated_and_have_sets(held_out, lenses, tmp_path):
    run, found = held_out("classification")
    model = load_model(run)
    calibration = load_calibration(run, model.task)
    assert found["calibration"]["validation_images"] == 108
    assert found["calibration"]["temperature"] == pytest.approx(calibration.temperature)
    assert json.loads((run / "metrics.json").read_text())["calibration"] == found["calibration"]
    images = open_archive(lenses).dataset("test", "cdm")["image"].values
    np.save(tmp_path / "images.npy", images)
    table = predict(run, [tmp_path / "images.npy"], tmp_path / "out.csv", force=True)
    with torch.inference_mode():
        outputs = model(torch.from_numpy(images)[:, None]) / calibration.temperature
    expected = torch.softmax(outputs, 1).numpy()
    in_memory = predict_images(model, images)
    np.testing.assert_allclose(in_memory["p_cdm"], expected[:, 1], atol=1e-5)
    assert list(in_memory["set_90"]) == list(table["set_90"])
    names = ["p_axion", "p_cdm", "p_no_sub"]
    np.testing.assert_allclose(table[names], expected, atol=1e-5)
    held = calibration.prediction_sets(expected)
    assert [text.split() for text in table["set_90"]] == [
        list(np.array(model.task.classes)[row]) for row in held
    ]
    page = (run / "report.html").read_text()
    assert "90% prediction sets" in page and "temperature" in page


def test_masses_of_a_run_have_intervals(held_out):
    run, found = held_out("axion-mass")
    assert found["calibration"]["validation_images"] == 36
    table = pd.read_csv(run / "predictions.csv")
    true = np.log10(table["axion_mass"])
    inside = (table["log10_mass_low_90"] <= true) & (true <= table["log10_mass_high_90"])
    assert found["calibration"]["coverage"] == inside.mean()
    assert "90% intervals" in (run / "report.html").read_text()


def test_calibration_belongs_to_its_model(held_out, make_run):
    run, _ = held_out("classification")
    other = make_run(name="other-weights", seed=1)
    (other / CALIBRATION).write_bytes((run / CALIBRATION).read_bytes())
    assert (other / MODEL).read_bytes() != (run / MODEL).read_bytes()
    assert type(load_calibration(other, load_model(other).task)) is Calibration


def test_a_run_whose_archive_is_gone_is_tested_on_another_one(make_run, lenses, tmp_path):
    run = make_run(name="moved", data=str(tmp_path / "gone"))
    _, found = score(run, str(lenses), out=tmp_path)
    assert (found["calibration"], found["in_distribution"]) == (None, None)
