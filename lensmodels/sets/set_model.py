"""From an encoder's features of N images to the class and the parameters of their universe.

The order of the images does not matter (Zaheer et al. 2017, arXiv:1703.06114): each is mapped
alone, the results are averaged, plainly and with gated attention (Ilse et al. 2018,
arXiv:1802.04712), which may look at the few images that tell most, and one network reads both means
and log10 N. Evidence of independent images adds up, so the class's logits are multiplied by a
learned power of N.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 64

_MIN_SPREAD = 1e-6
"""Smallest standard deviation of a feature, or of a parameter in dex, that is divided by."""


class SetOutputs(NamedTuple):
    """What is said of sets.

    Attributes:
        logits: of the classes, (b, classes).
        parameters: log10 f_sub and log10 (axion mass / eV), (b, 2): they mean something for the
            classes that have them.
    """

    logits: Tensor
    parameters: Tensor


class SetModel(nn.Module):
    """Features of N images, (b, N, d), to the class and the parameters of their universe.

    Args:
        features: d.
        classes: number of them.
        width: of the hidden layers.
    """

    def __init__(self, features: int, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_spread", torch.ones(features))
        self.register_buffer("parameter_mean", torch.zeros(2))
        self.register_buffer("parameter_spread", torch.ones(2))
        self.image = nn.Sequential(
            nn.Linear(features, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.content, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        self.weight = nn.Linear(width, 1)
        self.set = nn.Sequential(
            nn.Linear(2 * width + 1, width), nn.GELU(), nn.Linear(width, classes + 2)
        )
        self.power = nn.Parameter(torch.tensor(0.5))

    def standardise(self, features: Tensor, parameters: Tensor) -> None:
        """Takes means and spreads from training images, in place.

        Args:
            features: (n, d).
            parameters: log10 f_sub and log10 (axion mass / eV), NaN of a class without it, (m, 2).
        """
        self.feature_mean = features.mean(0)
        self.feature_spread = features.std(0).clamp_min(_MIN_SPREAD)
        known = ~parameters.isnan()
        count = known.sum(0).clamp_min(1)
        self.parameter_mean = parameters.nan_to_num().sum(0) / count
        deviation = (parameters - self.parameter_mean).nan_to_num()
        self.parameter_spread = (deviation.square().sum(0) / count).sqrt().clamp_min(_MIN_SPREAD)

    def images(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What is averaged of each image, (..., width), and its attention before the softmax.

        Args:
            features: (..., d).
        """
        hidden = self.image((features - self.feature_mean) / self.feature_spread)
        gated = torch.tanh(self.content(hidden)) * torch.sigmoid(self.gate(hidden))
        return hidden, self.weight(gated).squeeze(-1)

    def forward(self, features: Tensor) -> SetOutputs:
        """Class and parameters of sets of images.

        Args:
            features: (b, N, d).
        """
        hidden, attention = self.images(features)
        weights = torch.softmax(attention, dim=1)
        return self._read(hidden.mean(1), (weights[..., None] * hidden).sum(1), features.shape[1])

    def of_places(self, hidden: Tensor, attention: Tensor, places: Tensor) -> SetOutputs:
        """The same for sets of images that `images` has looked at, which many sets share.

        Args:
            hidden, attention: of n images, (n, width) and (n,).
            places: of the images of each set, (b, N).
        """
        weights = torch.softmax(attention[places], dim=1)
        plain = functional.embedding_bag(places, hidden, mode="mean")
        weighted = functional.embedding_bag(places, hidden, mode="sum", per_sample_weights=weights)
        return self._read(plain, weighted, places.shape[1])

    def _read(self, plain: Tensor, weighted: Tensor, size: int) -> SetOutputs:
        number = torch.tensor(float(size), device=plain.device)
        column = number.log10().expand(len(plain), 1)
        outputs = self.set(torch.cat([plain, weighted, column], dim=1))
        logits = outputs[:, : self.classes] * number**self.power
        parameters = outputs[:, self.classes :] * self.parameter_spread + self.parameter_mean
        return SetOutputs(logits, parameters)
