"""Encoders: an image to a vector of features. Any timm model, with one channel.

Weights are random, if not asked for by encoder.arguments = {pretrained: true}: what a network
learned from photographs says little about arcs, and the comparison of methods starts every one of
them from the same random weights. Of pretrained weights, timm sums those of the first layer over
the three colours, so that a grey image gives the same features, and resamples position embeddings
to the size of the images.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

import lensmodels.encoders.crossformer
import lensmodels.encoders.cvt
import lensmodels.encoders.equivariant  # noqa: F401  each registers its models with timm
from lensmodels.encoders.settings import EncoderSettings
from lensmodels.errors import UsageError

NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_base_patch32_224", {}),
    "swin": ("swin_tiny_patch4_window7_224", {"patch_size": 2, "window_size": 4}),
}
"""The timm model and arguments of names of ours.

vit     the study's: 12 blocks and patches of 32 pixels, as in Deshmukh et al. 2023
swin    Swin-T (Liu et al. 2021, arXiv:2103.14030) for 64 pixels: 32 to 4 tokens a side, which the
        windows divide
"""

ANY_SIZE = "an encoder that takes several sizes, such as a ResNet, ConvNeXt, ViT, swin or cvt_13"
"""What to choose where an encoder does not take a size."""

RESERVED_ARGUMENTS = {
    "checkpoint_path",
    "features_only",
    "img_size",
    "in_chans",
    "num_classes",
    "pretrained_cfg",
}
"""Arguments of timm that are set here, or that change what an encoder is."""


class Encoder(nn.Module):
    """A timm model that gives features, (n, channels, height, width) -> (n, num_features).

    Args:
        settings: which model.
        num_pix: side of the images in pixels; transformers need to know it.
        channels: of the images.
        is_loaded: whether weights are loaded into it, so that pretrained ones are not fetched.

    Attributes:
        timm_arguments: of `timm.create_model`, by name, that make the same network.

    Raises:
        UsageError: if timm has no such model, or it does not take the settings or the size.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        num_pix: int,
        *,
        channels: int = 1,
        is_loaded: bool = False,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.num_pix = num_pix
        self.channels = channels
        self.network, self.timm_arguments = _timm_model(
            settings, num_pix, channels, is_loaded=is_loaded
        )
        if settings.small_stem:
            _replace_stem(self.network, settings.name)
        if isinstance(self.network, ResNet):
            # convolutions with batch norm run 1.3 to 1.5 times faster like this, on CPU and GPU
            self.network.to(memory_format=torch.channels_last)
        self.num_features = self._count_features(num_pix)

    @property
    def is_plain_timm(self) -> bool:
        """Whether timm makes the network without this package, which replaces or registers none."""
        entry = timm.models.model_entrypoint(self.timm_arguments["model_name"])
        return entry.__module__.startswith("timm.") and not self.settings.small_stem

    def forward(self, images: Tensor) -> Tensor:
        """Features, (n, num_features), of scaled images, (n, 1, height, width)."""
        return self.network(images)

    def regions(self, images: Tensor) -> Tensor:
        """Features of each region of scaled images, (n, regions, region features).

        A region is a place of a CNN's last map or a patch of a transformer, row by row; tokens that
        stand for no place (class, registers) are left out. Their features are those before
        pooling: of some CNNs fewer than `num_features`.

        Args:
            images: (n, 1, height, width).

        Raises:
            UsageError: if the model gives no such features.
        """
        return self.pooled_and_regions(images)[1]

    def pooled_and_regions(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` and `regions` give, from one pass through the model.

        Args:
            images: scaled, (n, 1, height, width).

        Returns:
            Pooled features, (n, num_features), and features of regions.

        Raises:
            UsageError: if the model gives no features of single regions.
        """
        network: Any = self.network  # timm's models have no common type
        find = getattr(network, "forward_features", None)
        features = None if find is None else find(images)
        if not isinstance(features, Tensor) or features.ndim not in (3, 4):
            raise UsageError(
                f"Encoder {self.settings.name} gives no features of single regions; choose one "
                "with a map or tokens, such as a ResNet, ConvNeXt, Swin or ViT."
            )
        return network.forward_head(features), _as_regions(features, network)

    def count_region_features(self) -> int:
        """Length of the feature vector of a region.

        Raises:
            UsageError: if the model gives no features of regions.
        """
        return self.region_shape()[1]

    def region_shape(self) -> tuple[int, int]:
        """Number of regions of an image, and length of the feature vector of one.

        Raises:
            UsageError: if the model gives no features of regions.
        """
        blank = torch.zeros(1, self.channels, self.num_pix, self.num_pix)
        _, count, features = self._without_gradient(self.regions, blank).shape
        return int(count), int(features)

    def refusal(self, size: int) -> Exception | None:
        """What the network raises for images of a size, (1, 1, size, size); None if it takes them.

        `explain` makes a clause of it.
        """
        try:
            self._features_of_blank(size)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # third-party networks raise what they like
            return error
        return None

    def _count_features(self, num_pix: int) -> int:
        """Length of the feature vector; timm's attribute leaves out the last layer of some."""
        refusal = self.refusal(num_pix)
        if refusal is not None:
            patches = self.settings.patch_size
            with_patches = f" with patches of {patches} pixels" if patches else ""
            other = "another --patch-size" if patches else ANY_SIZE
            raise UsageError(
                f"Encoder {self.settings.name}{with_patches} does not take images of "
                f"{num_pix} x {num_pix} pixels, whatever the method{explain(refusal)}; choose "
                f"{other}."
            ) from refusal
        features = self._features_of_blank(num_pix)
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise UsageError(
                f"Encoder {self.settings.name} with encoder.arguments = "
                f"{self.settings.arguments} does not give one vector of features an image; leave "
                "out the arguments that change its output."
            )
        return features.shape[-1]

    def _features_of_blank(self, size: int) -> Any:
        return self._without_gradient(self.network, torch.zeros(1, self.channels, size, size))

    def _without_gradient(self, function: Callable[[Tensor], Any], images: Tensor) -> Any:
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():
            features = function(images)
        self.network.train(was_training)
        return features


def _as_regions(features: Tensor, network: nn.Module) -> Tensor:
    """Features before pooling, (n, c, h, w), (n, h, w, c) or (n, tokens, c), as (n, regions, c)."""
    if features.ndim == 3:
        return features[:, getattr(network, "num_prefix_tokens", 0) :]
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)
    return features.flatten(2).transpose(1, 2)


def _timm_model(
    settings: EncoderSettings, num_pix: int, channels: int, *, is_loaded: bool
) -> tuple[nn.Module, dict[str, Any]]:
    """A network, and the arguments of `timm.create_model` that make it with random weights."""
    name, named = NAMED.get(settings.name, (settings.name, {}))
    if not timm.is_model(name):
        known = [*NAMED, *timm.list_models()]
        similar = get_close_matches(name, known, 5) or timm.list_models(f"*{name}*")[:5]
        hint = f"did you mean {', '.join(similar)}?" if similar else "see timm.list_models()."
        raise UsageError(f"There is no encoder {name!r}; {hint}")
    arguments: dict[str, Any] = {**named, **settings.arguments}
    reserved = sorted(RESERVED_ARGUMENTS & arguments.keys())
    if reserved:
        raise UsageError(
            f"encoder.arguments.{reserved[0]} cannot be set: an encoder here has the channels "
            "of its input and one vector of features an image; leave it out."
        )
    pretrained = bool(arguments.pop("pretrained", False)) and not is_loaded
    if settings.patch_size is not None:
        arguments["patch_size"] = settings.patch_size
    refusal: Exception | None = None
    # models that do not care for the image's size refuse to be told it; those that do may also
    # take the smaller crops of a multi-crop method
    sizes: tuple[dict[str, Any], ...] = (
        {"img_size": num_pix, "dynamic_img_size": True},
        {"img_size": num_pix},
        {},
    )
    for size in sizes:
        made = {"model_name": name, "num_classes": 0, "in_chans": channels, **size, **arguments}
        try:
            return timm.create_model(pretrained=pretrained, **made), made
        except MemoryError:
            raise
        except Exception as error:  # timm and its models raise what they like
            refusal = error
    assert refusal is not None
    given = []
    if settings.patch_size is not None:
        given.append(f"--patch-size {arguments.pop('patch_size')}")
    if arguments:
        given.append(f"{arguments}")
    what = " and ".join(given) or "these images"
    raise UsageError(f"Encoder {name} does not take {what}: {_one_line(refusal)}.")


def explain(refusal: Exception) -> str:
    """A network's own reason in brackets, where its author checked the size; else nothing.

    Other errors are of tensors inside it, and tell its user nothing.
    """
    checked = isinstance(refusal, (AssertionError, ValueError)) and str(refusal)
    return f" ({_one_line(refusal)})" if checked else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _replace_stem(network: nn.Module, name: str) -> None:
    if not isinstance(network, ResNet):
        raise UsageError(f"--small-stem is for ResNets; {name} is none.")
    channels: Any = network.bn1.num_features
    stem = nn.Conv2d(1, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    setattr(network, "conv1", stem)  # noqa: B010  timm types it as another kind of layer
    setattr(network, "maxpool", nn.Identity())  # noqa: B010
