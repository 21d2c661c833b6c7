"""Batch norms with statistics by domain: of each archive that a batch has images of.

Images of two instruments that are normalised by the mean and variance of both together differ in
every channel by which instrument they are of. With statistics of their own (Li et al. 2016,
arXiv:1603.04779; Chang et al. 2019, arXiv:1906.03950), what follows a norm sees both alike. Scale
and offset are shared, a departure from the latter, so that one encoder is left in the end.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lensmodels.encoders.timm_encoder import Encoder
from lensmodels.errors import UsageError


class DomainNorm(nn.Module):
    """A batch norm that takes its statistics of each part of a batch by itself.

    In evaluation all images are normalised by the running statistics of the first domain.

    Args:
        norm: of the first domain, whose scale and offset the others share.
        parts: images of each domain in a batch, in their order.
    """

    def __init__(self, norm: _BatchNorm, parts: Sequence[int]) -> None:
        super().__init__()
        self.parts = list(parts)
        others = [copy.deepcopy(norm) for _ in self.parts[1:]]
        for other in others:
            other.weight, other.bias = norm.weight, norm.bias
        self.norms = nn.ModuleList([norm, *others])

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features, of the same shape, (n, channels, ...)."""
        if not self.training:
            return self.norms[0](features)
        split = features.split(self.parts)
        return torch.cat([norm(part) for norm, part in zip(self.norms, split, strict=True)])


def with_domain_norms(encoder: Encoder, parts: Sequence[int]) -> None:
    """Replace the batch norms of an encoder by `DomainNorm`, in place.

    Args:
        encoder: to be trained on batches of several domains.
        parts: images of each domain in a batch of a process, in their order.

    Raises:
        UsageError: if the encoder has no batch norms, or a domain too few images for statistics.
    """
    if min(parts) < 2:
        raise UsageError(
            f"domain_norms needs two images or more of every archive in a batch, and one has "
            f"{min(parts)}: choose a larger --batch-size or weight."
        )
    if not _replace(encoder.network, _BatchNorm, lambda norm: DomainNorm(norm, parts)):
        raise UsageError(
            f"Encoder {encoder.settings.name} has no batch norms, of which domain_norms takes the "
            "statistics: leave it out, or choose an encoder with them, such as a ResNet."
        )


def without_domain_norms(encoder: Encoder) -> None:
    """Replace every `DomainNorm` of an encoder by the batch norm of its first domain, in place."""
    _replace(encoder.network, DomainNorm, lambda norm: norm.norms[0])


def _replace(module: nn.Module, kind: type[nn.Module], make: Any) -> int:
    """Replaces all modules of a kind below a module; returns how many there are."""
    count = 0
    for name, child in list(module.named_children()):
        if isinstance(child, kind):
            setattr(module, name, make(child))
            count += 1
        else:
            count += _replace(child, kind, make)
    return count
