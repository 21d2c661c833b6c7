"""The axion mass: log10 of it in eV, from images with a vortex.

Its second target, the quadrupole of the vortex, is easier to learn. Outside its ends, a vortex of
length L at the angle phi deflects like a point mass with a quadrupole proportional to
L^2 exp(2 i phi), the second term of the series of its deflection in 1 / z. A short vortex changes
the image in proportion to its two components, a pattern that a first gradient step can find. The
mass depends on the length alone, so its loss sees that pattern only as a square, with no gradient
while nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from lensmodels.data import Batch
from lensmodels.errors import DataError
from lensmodels.tasks.base import Task
from lensmodels.tasks.settings import TaskName, TaskSettings

QUADRUPOLE_SIZE = 2

SATURATION_LENGTH = 1.0
"""Arcsec, of a mass of 10^-23.3 eV: a quadrupole is told from none in the images from half of this
on, and longer vortices, which are plain to see, shall not rule the loss."""

_SCALE = 4.0
"""Of the target, whose components have a mean square of 2 over the prior. With a weight of 1, its
loss is then as large as that of the mass in the end, 0.1 each."""


def vortex_quadrupole(length: Tensor, angle: Tensor) -> Tensor:
    """Components of the quadrupole of a vortex: of angle 2 phi, growing as L^2 at first.

    Args:
        length: of the vortex, arcsec, (n,).
        angle: of the vortex from the x axis, as the image shows it, radians, (n,).

    Returns:
        (n, 2), of a length between 0 and 4.
    """
    square = length**2
    strength = _SCALE * square / (square + SATURATION_LENGTH**2)
    return strength[:, None] * torch.stack([(2 * angle).cos(), (2 * angle).sin()], dim=1)


MEASURED_IMAGES = 4096
"""Masses that the target's standardisation is measured on."""

_LOG_VARIANCE_BOUND = 7.0
"""Bound on the predicted log variance, in units of the target's variance: a factor of a thousand
is more than the image can tell, and keeps one image from ruling a batch."""


class AxionMass(Task):
    """log10(m / eV), standardised for the loss, and its uncertainty where the loss predicts one.

    Huber's loss is quadratic for errors below one standard deviation of the prior, so that its
    minimum is close to the posterior mean, which has the smallest RMSE.

    Args:
        settings: which loss.
        mean, standard_deviation: of log10(m / eV) in the train images, dex.
    """

    name: TaskName = "axion-mass"

    def __init__(
        self, settings: TaskSettings, *, mean: float = -23.0, standard_deviation: float = 0.577
    ) -> None:
        super().__init__(settings)
        self.mean, self.standard_deviation = mean, standard_deviation
        self.output_size = 2 if settings.loss == "gaussian-nll" else 1
        self.auxiliary_size = QUADRUPOLE_SIZE if settings.quadrupole else 0

    @classmethod
    def measure(cls, settings: TaskSettings, batches: Iterable[Mapping[str, Tensor]]) -> Self:
        """The task standardised by the masses of the first images of a stream.

        Raises:
            DataError: if there are no masses, or only one, or the vortices that a second target
                is made of are not known.
        """
        collected, count = [], 0
        for batch in batches:
            collected.append(log_mass_of(batch))
            if settings.quadrupole and not _vortices(batch).isfinite().all():
                raise DataError(
                    "The archive does not say how long its vortices are and how they lie; leave "
                    "task.quadrupole at 0."
                )
            count += len(collected[-1])
            if count >= MEASURED_IMAGES:
                break
        masses = torch.cat(collected).double() if collected else torch.empty(0)
        if not masses.isfinite().all() or len(masses.unique()) < 2:
            raise DataError("The axion-mass task needs images of several known axion masses.")
        return cls(settings, mean=float(masses.mean()), standard_deviation=float(masses.std()))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Huber's loss, or the negative log likelihood of a normal distribution, standardised."""
        target = ((log_mass_of(batch) - self.mean) / self.standard_deviation).to(outputs.dtype)
        if self.settings.loss == "huber":
            return functional.huber_loss(outputs[:, 0], target)
        return functional.gaussian_nll_loss(outputs[:, 0], target, _log_variance(outputs).exp())

    def auxiliary_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Weighted mean squared error of the vortex's quadrupole, (n, 2)."""
        target = _vortices(batch).to(outputs.dtype)
        return self.settings.quadrupole * functional.mse_loss(outputs, target)

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """log10_mass and, with the Gaussian likelihood, log10_mass_sigma; dex, each (n,)."""
        outputs = outputs.double()
        columns = {"log10_mass": self.mean + self.standard_deviation * outputs[:, 0]}
        if self.settings.loss == "gaussian-nll":
            sigma = self.standard_deviation * (0.5 * _log_variance(outputs)).exp()
            columns["log10_mass_sigma"] = sigma
        return columns

    def score(self, outputs: Tensor, batch: Batch) -> dict[str, float]:
        """val_rmse_dex."""
        error = self.predictions(outputs)["log10_mass"] - log_mass_of(batch)
        return {"val_rmse_dex": float(error.square().mean().sqrt())}

    def to_dict(self) -> dict[str, Any]:
        """Settings and the target's standardisation."""
        constants = {"mean": self.mean, "standard_deviation": self.standard_deviation}
        return super().to_dict() | constants


def log_mass_of(batch: Mapping[str, Tensor]) -> Tensor:
    """True log10(m / eV) of the images of a batch, (n,)."""
    return batch["axion_mass"].log10()


def _vortices(batch: Mapping[str, Tensor]) -> Tensor:
    return vortex_quadrupole(batch["vortex_length"], batch["vortex_angle"])


def _log_variance(outputs: Tensor) -> Tensor:
    return _LOG_VARIANCE_BOUND * torch.tanh(outputs[:, 1] / _LOG_VARIANCE_BOUND)
