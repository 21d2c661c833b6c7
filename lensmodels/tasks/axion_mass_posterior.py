"""The posterior of the axion mass: a mixture of normal distributions of log10(m / eV).

Trained with the negative log density of the true mass, a mixture density network (Bishop 1994)
tends to the posterior of the mass given the image, with the masses of the train images as the
prior.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from lensmodels.data import Batch
from lensmodels.tasks.axion_mass import AxionMass, log_mass_of
from lensmodels.tasks.settings import TaskSettings

QUANTILES: dict[str, float] = {
    "log10_mass_q05": 0.05,
    "log10_mass_q16": 0.16,
    "log10_mass_q50": 0.50,
    "log10_mass_q84": 0.84,
    "log10_mass_q95": 0.95,
}
"""Columns of predictions that are quantiles of the posterior."""

RANK, CLOSER = "log10_mass_rank", "log10_mass_closer"
"""Columns of a test: posterior probability below the true mass, and closer to a reference."""

_LOG_SIGMA_BOUND = 3.5
"""Bound on the log of a component's width, in units of the prior's: a factor of thirty."""

_SPREAD = 1.5
"""The components begin between these deviations from the mean of the prior."""

_BISECTIONS = 40

_GOLDEN = 0.6180339887498949


class AxionMassPosterior(AxionMass):
    """The posterior of log10(m / eV), standardised for the loss.

    Args:
        settings: with the number of components.
        mean, standard_deviation: of log10(m / eV) in the train images, dex.
    """

    def __init__(
        self, settings: TaskSettings, *, mean: float = -23.0, standard_deviation: float = 0.577
    ) -> None:
        super().__init__(settings, mean=mean, standard_deviation=standard_deviation)
        self.output_size = 3 * settings.components

    def posterior(self, outputs: Tensor) -> MixtureSameFamily:
        """The standardised posterior of each image, of outputs, (n, output_size)."""
        weights, places, widths = outputs.chunk(3, dim=1)
        begin = torch.linspace(-_SPREAD, _SPREAD, places.shape[1]).to(places)
        sigma = (_LOG_SIGMA_BOUND * torch.tanh(widths / _LOG_SIGMA_BOUND)).exp()
        return MixtureSameFamily(Categorical(logits=weights), Normal(places + begin, sigma))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean negative log density of the true mass, standardised."""
        target = self._standardised(log_mass_of(batch)).to(outputs.dtype)
        return -self.posterior(outputs).log_prob(target).mean()

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """Mean log10_mass, standard deviation log10_mass_sigma and `QUANTILES`; dex, each (n,)."""
        posterior = self.posterior(outputs.double())
        columns = {
            "log10_mass": self.mean + self.standard_deviation * posterior.mean,
            "log10_mass_sigma": self.standard_deviation * posterior.variance.sqrt(),
        }
        for name, probability in QUANTILES.items():
            place = quantile(posterior, probability)
            columns[name] = self.mean + self.standard_deviation * place
        return columns

    def diagnostics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Where the true masses lie in the posteriors, each (n,).

        log10_mass_rank is the posterior probability of a lower mass than the true one, the rank of
        simulation-based calibration (Talts et al. 2018). log10_mass_closer is that of a mass closer
        to a reference than the true one (TARP: Lemos et al. 2023), where references are spread
        over two standard deviations of the prior on either side, one for each number of an image.
        Over images of the prior, both are uniform where the posterior is right.
        """
        posterior = self.posterior(outputs.double())
        target = self._standardised(log_mass_of(batch)).to(outputs.device).double()
        number = batch["sample"].to(outputs.device).double() + 1
        reference = 4 * torch.frac(_GOLDEN * number) - 2
        distance = (target - reference).abs()
        closer = posterior.cdf(reference + distance) - posterior.cdf(reference - distance)
        return {RANK: posterior.cdf(target), CLOSER: closer.clamp(0, 1)}

    def _standardised(self, log_mass: Tensor) -> Tensor:
        return (log_mass - self.mean) / self.standard_deviation


def quantile(posterior: MixtureSameFamily, probability: float) -> Tensor:
    """A quantile of mixtures of normal distributions, by bisection.

    Args:
        posterior: of each image.
        probability: below the quantile, between 0 and 1.

    Returns:
        (n,).
    """
    parts = posterior.component_distribution
    low = (parts.mean - 8 * parts.stddev).amin(1)
    high = (parts.mean + 8 * parts.stddev).amax(1)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = posterior.cdf(middle) < probability
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
