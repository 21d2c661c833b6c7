"""A CNN that is equivariant under the eight symmetries of the square, exactly.

Cohen & Welling 2016, arXiv:1602.07576. The lifting convolution applies every filter in its eight
orientations; the group convolutions after it also shift their filters over the orientations
(equations 10 and 11 there). A turned or mirrored image gives the same features in other places and
orientations, and the same pooled features: the class and the mass do not depend on parity and
rotation, so that a plain CNN has to learn eight times what this one knows.

No convolution has a stride: a stride of 2 on an even side samples places whose mirror images it
leaves out. Maps are shrunk by means over 2 x 2 where their side is even, and over 3 x 3 with stride
2 around every other pixel where it is odd.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from lensmodels.encoders.timm_model import TimmModel, build, without_weights

default_cfgs = without_weights("equivariant", "equivariant_tiny")

ORDER = 8
"""Elements of the group: four rotations, and their mirror images."""


def transformed(images: Tensor, element: int) -> Tensor:
    """Images, (..., size, size), under one symmetry of the square.

    Args:
        images: of any shape that ends in two equal sides.
        element: k % 4 quarter turns as in torch.rot90, after a transpose if k >= 4; the convention
            of the views.
    """
    images = images.transpose(-1, -2) if element >= 4 else images
    return torch.rot90(images, element % 4, (-2, -1))


def quotients() -> Tensor:
    """The element that g^-1 h is, by g and h, (8, 8)."""
    # applied to an image without any symmetry, to see which is which
    probe = torch.arange(9.0).reshape(3, 3)
    images = torch.stack([transformed(probe, element) for element in range(ORDER)])
    table = torch.zeros(ORDER, ORDER, dtype=torch.long)
    for first in range(ORDER):
        for second in range(ORDER):
            product = transformed(images[second], first)
            same = int((images == product).flatten(1).all(1).nonzero())
            table[first, same] = second
    return table


class GroupConvolution(nn.Module):
    """A convolution over places and orientations: (n, in * 8, h, w) to (n, out * 8, h, w).

    Args:
        channels: of the input, each with eight orientations; 0 for the lifting convolution of an
            image.
        width: of the output, each with eight orientations.
        kernel: side of the filters, odd.
        in_chans: channels of the image, for the lifting convolution.
    """

    table: Tensor

    def __init__(self, channels: int, width: int, kernel: int, in_chans: int = 1) -> None:
        super().__init__()
        orientations = ORDER if channels else 1
        filters = torch.empty(width, channels or in_chans, orientations, kernel, kernel)
        nn.init.kaiming_normal_(filters.flatten(1, 2), mode="fan_in", nonlinearity="relu")
        self.filters = nn.Parameter(filters)
        # a lifting convolution sees one orientation of the image
        table = quotients() if channels else torch.zeros(ORDER, 1, dtype=torch.long)
        self.register_buffer("table", table, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, in * 8, h, w), or an image, (n, in_chans, h, w), to (n, out * 8, h, w)."""
        turned = [
            transformed(self.filters[:, :, self.table[element]], element)
            for element in range(ORDER)
        ]
        filters = torch.stack(turned, 1).flatten(2, 3).flatten(0, 1)
        return functional.conv2d(maps, filters, padding="same")


class OrientationNorm(nn.Module):
    """Batch norm with one mean and spread for the eight orientations of a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(width)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, width * 8, h, w) to the same shape."""
        return self.norm(maps.unflatten(1, (-1, ORDER))).flatten(1, 2)


def shrink(maps: Tensor) -> Tensor:
    """Means over neighbours, (n, c, h, w) to half of each side, rounded up, symmetrically."""
    for axis in (2, 3):
        kernel = 2 if maps.shape[axis] % 2 == 0 else 3
        kernels, strides, padding = [1, 1], [1, 1], [0, 0]
        kernels[axis - 2], strides[axis - 2], padding[axis - 2] = kernel, 2, (kernel - 1) // 2
        maps = functional.avg_pool2d(maps, kernels, strides, padding, count_include_pad=False)
    return maps


class Block(nn.Module):
    """A residual block of two group convolutions."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            GroupConvolution(channels, width, 3),
            OrientationNorm(width),
            nn.ReLU(),
            GroupConvolution(width, width, 3),
            OrientationNorm(width),
        )
        self.shortcut = nn.Identity() if channels == width else GroupConvolution(channels, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels * 8, h, w) to (n, width * 8, h, w)."""
        return functional.relu(self.body(maps) + self.shortcut(maps))


class Equivariant(TimmModel):
    """Square images, (n, in_chans, size, size), to a map that turns with them, (n, c, h, w).

    Args:
        widths: channels of each stage; each has eight orientations.
        blocks: in each stage.
        in_chans: channels of the images.
        num_classes: of the classifier; 0 for features.
        global_pool: "avg".
        img_size: of the images, pixels; any is taken, whatever is given here.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        blocks: int = 1,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        img_size: int | tuple[int, int] = 224,
    ) -> None:
        super().__init__(widths[-1], num_classes, global_pool)
        self.lifting = nn.Sequential(
            GroupConvolution(0, widths[0], 5, in_chans), OrientationNorm(widths[0]), nn.ReLU()
        )
        self.stages = nn.ModuleList()
        for channels, width in zip((widths[0], *widths[:-1]), widths, strict=True):
            sizes = [(channels, width), *((width, width) for _ in range(blocks - 1))]
            self.stages.append(nn.Sequential(*(Block(*size) for size in sizes)))

    def forward_fields(self, images: Tensor) -> Tensor:
        """Features by orientation, (n, num_features, 8, h, w).

        Those of an image under the symmetry g are the features of the image, under g in their
        places, and at h where those of the image are at g^-1 h.
        """
        maps = self.lifting(images)
        for stage in self.stages:
            maps = stage(shrink(maps))
        return maps.unflatten(1, (-1, ORDER))

    def forward_features(self, images: Tensor) -> Tensor:
        """The mean over orientations, (n, num_features, h, w): it turns with the image."""
        return self.forward_fields(images).mean(2)


@register_model
def equivariant(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """As wide as a ResNet18 counting orientations: 64, 128, 256 and 512 channels."""
    return build(Equivariant, "equivariant", pretrained, {"widths": (8, 16, 32, 64)}, arguments)


@register_model
def equivariant_tiny(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """A small one for a laptop: 32, 64, 128 and 256 channels counting orientations."""
    sizes = {"widths": (4, 8, 16, 32)}
    return build(Equivariant, "equivariant_tiny", pretrained, sizes, arguments)
