"""Levenberg-Marquardt steps of the smooth model towards one image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenssim.compilation import kernel
from lenssim.lens_fit.vector import USUAL, USUAL_PRECISION, places_of, stepped

FloatArray = NDArray[np.float64]

MIN_DAMPING, MAX_DAMPING = 1e-6, 1e6
"""Range of the damping, in units of the diagonal of the normal matrix."""


@kernel
def chi_square(image, model, variance):
    """Sum of (image - model)^2 / variance.

    Args:
        image, model: e-/s, shape (n,).
        variance: of each pixel, (e-/s)^2, shape (n,).
    """
    total = 0.0
    for i in range(image.shape[0]):
        difference = image[i] - model[i]
        total += difference * difference / variance[i]
    return total


@kernel
def normal_equations(image, model, variance, derivatives, scale, matrix, gradient):
    """J^T W J and J^T W (image - model) of a linear model.

    Args:
        image, model, variance: shape (n,).
        derivatives: shape (p, n), in the unit of the image.
        scale: factor of each row, shape (p,).
        matrix: receives the first, shape (p, p).
        gradient: receives the second, shape (p,).
    """
    count, size = derivatives.shape
    weighted = np.empty(size)
    for j in range(count):
        row = derivatives[j]
        total = 0.0
        for i in range(size):
            weighted[i] = row[i] / variance[i]
        for i in range(size):
            total += weighted[i] * (image[i] - model[i])
        gradient[j] = scale[j] * total
        for k in range(j + 1):
            other = derivatives[k]
            total = 0.0
            for i in range(size):
                total += weighted[i] * other[i]
            matrix[j, k] = scale[j] * scale[k] * total
            matrix[k, j] = matrix[j, k]


def damped_step(matrix: FloatArray, gradient: FloatArray, damping: float) -> FloatArray:
    """Solution of (A + damping diag(A)) step = gradient; zero in directions that change nothing.

    Args:
        matrix: A, the normal matrix, shape (p, p).
        gradient: of `normal_equations`, shape (p,).
        damping: of Levenberg and Marquardt; 0 is a Gauss-Newton step.

    Returns:
        shape (p,).
    """
    lengths = np.sqrt(np.diagonal(matrix))
    lengths = np.where(lengths > 0.0, lengths, math.inf)
    scaled = matrix / np.outer(lengths, lengths)
    scaled[np.diag_indices_from(scaled)] = 1.0 + damping
    try:
        return np.linalg.solve(scaled, gradient / lengths) / lengths
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(scaled, gradient / lengths)[0] / lengths


@dataclass
class Descent:
    """A point that moves towards the least chi-square.

    `chi_square` is by the variance of the pixels in the last `move`.
    """

    vector: FloatArray
    model: FloatArray
    damping: float
    chi_square: float = math.inf
    expected_decrease: float = math.inf
    """Of chi-square, by an undamped step: how far, in squared standard errors, the minimum is."""
    evaluations: int = 0

    def move(
        self,
        image: FloatArray,
        variance: FloatArray,
        derivatives: FloatArray,
        scale: FloatArray,
        render: Callable[[FloatArray], FloatArray],
        *,
        prior_weight: float = 0.0,
        tries: int = 6,
    ) -> bool:
        """One step, damped until chi-square decreases.

        Args:
            image: e-/s, shape (n,).
            variance: of the pixels, held during the step, same shape.
            derivatives: of the model by the parameters, shape (p, n).
            scale: derivative of the parameters by the coordinates of the vector, shape (p,).
            render: gives the model, shape (n,), at a vector.
            prior_weight: what the squared distance from usual galaxies counts, in chi-square.
            tries: dampings, at most.

        Returns:
            Whether chi-square has decreased.
        """
        count = len(self.vector)
        matrix, gradient = np.empty((count, count)), np.empty(count)
        normal_equations(image, self.model, variance, derivatives, scale, matrix, gradient)
        places = places_of(count)
        usual = USUAL[places]
        prior = prior_weight * USUAL_PRECISION[places]
        matrix[np.diag_indices(count)] += prior
        gradient -= prior * (self.vector - usual)
        self.chi_square = float(chi_square(image, self.model, variance))
        penalty = float(prior @ (self.vector - usual) ** 2)
        self.expected_decrease = float(gradient @ damped_step(matrix, gradient, 1e-9))
        for _ in range(tries):
            trial = stepped(self.vector, damped_step(matrix, gradient, self.damping))
            model = render(trial)
            self.evaluations += 1
            value = float(chi_square(image, model, variance))
            change = float(prior @ (trial - usual) ** 2) - penalty
            if value + change < self.chi_square:
                self.vector, self.model, self.chi_square = trial, model, value
                self.damping = max(0.1 * self.damping, MIN_DAMPING)
                return True
            self.damping = min(10.0 * max(self.damping, 1e-3), MAX_DAMPING)
        return False
