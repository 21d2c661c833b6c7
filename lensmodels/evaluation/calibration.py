"""Probabilities and uncertainties that are as often right as they say, by the validation images.

Temperature scaling divides the outputs of a classification by the one number that makes the true
classes of the validation images most probable (Guo et al. 2017, ICML). Prediction sets and
intervals are split conformal: over images like the training set, they hold the truth with the
stated probability, whatever the model is worth (Vovk, Gammerman and Shafer 2005; by crepes). The
same images set the temperature, a single number, which changes the coverage by about one part in
their number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from crepes import ConformalClassifier, ConformalRegressor
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from torch import Tensor

from lensmodels.data import CLASSES
from lensmodels.evaluation import metrics
from lensmodels.evaluation.kept_tensors import load_of_model, save_of_model
from lensmodels.evaluation.summary import (
    classes_of,
    probabilities_of,
    true_columns,
    true_log_mass,
)
from lensmodels.runs import CALIBRATION
from lensmodels.tasks import Task

LEVEL = 0.9
"""Probability that a prediction set or interval holds the truth."""

SET_COLUMN = "set_90"
INTERVAL_COLUMNS = ("log10_mass_low_90", "log10_mass_high_90")

SEPARATOR = " "
"""Between the classes of a set."""

_MAX_LOG_TEMPERATURE = 4.0
"""Where all validation images are classified rightly, the lower the temperature the better: no
probability is made surer than this allows."""

FloatArray = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]


def fit_temperature(logits: FloatArray, columns: NDArray[np.int64]) -> float:
    """The temperature at which the true classes are most probable (Guo et al. 2017, sec. 4.2).

    Args:
        logits: outputs of a classification, (n, classes).
        columns: of the true classes, (n,).

    Returns:
        What the outputs are divided by; not below 1 where no image is classified wrongly, as the
        images then tell nothing of how sure to be.
    """
    if (logits.argmax(axis=1) == columns).all():
        return 1.0

    def surprise(log_temperature: float) -> float:
        probable = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(probable[np.arange(len(columns)), columns].mean())

    bounds = (-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE)
    return float(np.exp(minimize_scalar(surprise, bounds=bounds, method="bounded").x))


class Calibration:
    """Predictions as the head gives them: of a run without enough validation images."""

    images = 0

    def predictions(self, task: Task, outputs: Tensor) -> Columns:
        """Columns of predictions, each (n,), of the outputs of a model, (n, output_size)."""
        return {name: values.cpu().numpy() for name, values in task.predictions(outputs).items()}

    def measure(self, table: pd.DataFrame) -> dict[str, Any] | None:
        """What metrics.json says of the calibration, by the predictions of the test images."""
        return None


class ClassCalibration(Calibration):
    """Temperature and prediction sets of a classification.

    Args:
        logits: outputs for the validation images, (n, classes).
        columns: of their true classes, (n,).
    """

    def __init__(self, logits: FloatArray, columns: NDArray[np.int64]) -> None:
        self.images = len(logits)
        self.temperature = fit_temperature(logits, columns)
        probabilities = softmax(logits / self.temperature, axis=1)
        self._sets = ConformalClassifier()
        self._sets.fit(1 - probabilities[np.arange(len(columns)), columns])

    def predictions(self, task: Task, outputs: Tensor) -> Columns:
        """Calibrated probabilities, as in p_cdm, and `set_90`, each (n,)."""
        predicted = super().predictions(task, outputs / self.temperature)
        probabilities = np.stack([predicted[f"p_{name}"] for name in task.classes], axis=1)
        sets = self.prediction_sets(probabilities)
        names = np.array(task.classes)
        text = [SEPARATOR.join(names[held]) for held in sets]
        return predicted | {SET_COLUMN: np.array(text, object)}

    def prediction_sets(self, probabilities: FloatArray) -> NDArray[np.bool_]:
        """The classes that hold the true one with the probability `LEVEL`.

        Args:
            probabilities: calibrated, (n, classes).

        Returns:
            Whether a class is in the set, (n, classes). A set is empty where no class is as
            probable as the true ones of all but a tenth of the validation images.
        """
        strangeness = 1 - np.asarray(probabilities, np.float64)
        chosen = self._sets.predict_set(strangeness, confidence=LEVEL, smoothing=False)
        return np.asarray(chosen).astype(bool)

    def measure(self, table: pd.DataFrame) -> dict[str, Any]:
        """Calibration error before, and coverage and size of the prediction sets."""
        probabilities, columns = probabilities_of(table), true_columns(table)
        before = softmax(self.temperature * np.log(np.maximum(probabilities, 1e-300)), axis=1)
        names = classes_of(table)
        sets = [set(str(text).split(SEPARATOR)) for text in table[SET_COLUMN]]
        covered = [names[column] in held for column, held in zip(columns, sets, strict=True)]
        sizes = [sum(name in held for name in CLASSES) for held in sets]
        return {
            "validation_images": self.images,
            "temperature": self.temperature,
            "expected_calibration_error_before": metrics.reliability(
                columns, before
            ).expected_calibration_error,
            "level": LEVEL,
            "coverage": float(np.mean(covered)),
            "set_sizes": {str(size): sizes.count(size) for size in range(len(names) + 1)},
        }


class MassCalibration(Calibration):
    """Prediction intervals of the axion mass.

    Args:
        predicted, true: log10(m / eV) of the validation images, (n,).
        sigma: predicted standard deviation, dex, (n,), if the model predicts one: intervals are
            then as wide as it says, times one factor.
    """

    def __init__(self, predicted: FloatArray, true: FloatArray, sigma: FloatArray | None) -> None:
        self.images = len(predicted)
        self._intervals = ConformalRegressor()
        self._intervals.fit(true - predicted, sigmas=sigma)

    def predictions(self, task: Task, outputs: Tensor) -> Columns:
        """Predictions of the task, and the ends of the interval, dex, each (n,)."""
        predicted = super().predictions(task, outputs)
        ends = self._intervals.predict_int(
            predicted["log10_mass"], sigmas=predicted.get("log10_mass_sigma"), confidence=LEVEL
        )
        return predicted | dict(zip(INTERVAL_COLUMNS, ends.T, strict=True))

    def measure(self, table: pd.DataFrame) -> dict[str, Any]:
        """Coverage and mean width of the intervals."""
        low, high = (table[name].to_numpy(np.float64) for name in INTERVAL_COLUMNS)
        true = true_log_mass(table)
        return {
            "validation_images": self.images,
            "level": LEVEL,
            "coverage": float(np.mean((low <= true) & (true <= high))),
            "mean_width_dex": float(np.mean(high - low)),
        }


def save_calibration(run: Path, outputs: Tensor, truth: Tensor) -> None:
    """Writes RUN/calibration.safetensors, which belongs to the model that the run holds.

    Args:
        run: folder of the run.
        outputs: of the model for the validation images, (n, output_size).
        truth: their labels, or log10(m / eV), (n,).
    """
    tensors = {"outputs": outputs.float().cpu(), "truth": truth.double().cpu()}
    save_of_model(run, CALIBRATION, tensors, {})


def load_calibration(run: Path, task: Task) -> Calibration:
    """The calibration of a run's predictions; one that changes nothing if the run keeps none.

    Args:
        run: folder of the run.
        task: of its model.
    """
    kept = load_of_model(run, CALIBRATION)
    if kept is None:
        return Calibration()
    outputs, truth = kept[0]["outputs"], kept[0]["truth"].numpy()
    if task.name == "classification":
        own = [CLASSES.index(name) for name in task.classes]
        columns = np.searchsorted(own, truth.astype(np.int64))
        return ClassCalibration(outputs.double().numpy(), columns)
    with torch.inference_mode():
        predicted = Calibration().predictions(task, outputs)
    return MassCalibration(predicted["log10_mass"], truth, predicted.get("log10_mass_sigma"))
