"""What timm asks of a model, for the encoders that are written here.

To add one: subclass `TimmModel` and write `forward_features`; see `cvt.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from timm.layers import trunc_normal_
from timm.models import build_model_with_cfg, generate_default_cfgs
from torch import Tensor, nn

_LAYER = re.compile(r"(?:lifting|(?:embeddings|stages)\.(\d+))\.(?:blocks\.)?(\d+)?")
"""Stage and block of a weight, in its name."""

MIN_PIXELS = 8
"""Smallest side of an image: less is a single token after the strides of any encoder here."""


class TimmModel(nn.Module):
    """A network with features of places, which are pooled, and a classifier where one is wanted.

    Attributes:
        num_features: length of the pooled features.
        num_prefix_tokens: tokens of `forward_features` that stand for no place.
        output_fmt: layout of a map that `forward_features` returns, "NCHW" or "NHWC".

    Args:
        num_features: length of the pooled features.
        num_classes: of the classifier; 0 for pooled features.
        global_pool: "avg", the mean over places, or "token", the first token.
    """

    num_prefix_tokens = 0
    output_fmt = "NCHW"

    def __init__(self, num_features: int, num_classes: int, global_pool: str = "avg") -> None:
        super().__init__()
        if global_pool not in ("avg", "token") or (
            global_pool == "token" and not self.num_prefix_tokens
        ):
            tokens = " or token" if self.num_prefix_tokens else ""
            raise ValueError(f"global_pool can be avg{tokens}, not {global_pool!r}")
        self.num_features = self.head_hidden_size = num_features
        self.global_pool = global_pool
        self.reset_classifier(num_classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """Features of places: (n, c, h, w), (n, h, w, c) or (n, prefix tokens + places, c).

        Args:
            images: (n, channels, height, width).

        Raises:
            NotImplementedError: if a subclass does not define it.
        """
        raise NotImplementedError

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Pooled features, (n, num_features), or what the classifier makes of them."""
        if self.global_pool == "token":
            pooled = features[:, 0]
        elif features.ndim == 3:
            pooled = features[:, self.num_prefix_tokens :].mean(1)
        else:
            pooled = features.mean((1, 2) if self.output_fmt == "NHWC" else (2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features or classes of images, (n, channels, height, width).

        Raises:
            ValueError: if the images are smaller than `MIN_PIXELS`.
        """
        if min(images.shape[-2:]) < MIN_PIXELS:
            raise ValueError(f"images need {MIN_PIXELS} pixels a side or more")
        return self.forward_head(self.forward_features(images))

    def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
        """Number of the layer of a weight, by its name, for a learning rate that decays by layer.

        A stage begins with its embedding, and each of its blocks is a layer; what belongs to no
        stage, such as the last norm or a class token, is of the last layer.

        Args:
            coarse: whether a stage is one layer.
        """
        places = {_place(name, coarse) for name, _ in self.named_parameters()}
        order = sorted(place for place in places if place is not None)
        last = len(order) - 1

        def layer(name: str) -> int:
            place = _place(name, coarse)
            return last if place is None else order.index(place)

        return layer

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replaces the last layer, and the pooling if it is given."""
        self.global_pool = global_pool or self.global_pool
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


def _place(name: str, coarse: bool) -> tuple[int, int] | None:
    """Stage and block of a weight; the stage's embedding is before its first block."""
    found = _LAYER.match(name)
    if found is None:
        return None
    if found[1] is None:  # before the stages
        return (-1, -1)
    return (int(found[1]), -1 if coarse or found[2] is None else int(found[2]))


def initialise(layer: nn.Module) -> None:
    """Normal weights of 0.02, cut at two, as transformers begin with; for `Module.apply`."""
    if isinstance(layer, nn.Linear):
        trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def drop_path_rates(depths: tuple[int, ...], last: float) -> list[list[float]]:
    """Rates of stochastic depth by stage and block, rising linearly from 0 to the last."""
    rates = np.linspace(0, last, sum(depths))
    return [part.tolist() for part in np.split(rates, np.cumsum(depths)[:-1])]


def without_weights(*names: str) -> Mapping[str, Any]:
    """Settings in timm's registry of models that have no pretrained weights."""
    return generate_default_cfgs({name: {"input_size": (3, 224, 224)} for name in names})


def build(
    network: type[TimmModel],
    name: str,
    pretrained: bool,
    sizes: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> nn.Module:
    """A model of a name, as timm builds it.

    Args:
        network: its class.
        name: in timm's registry.
        pretrained: refused by timm, as there are no weights.
        sizes: arguments that the name stands for.
        arguments: of the caller, which go over those.
    """
    return build_model_with_cfg(network, name, pretrained, **{**sizes, **arguments})
