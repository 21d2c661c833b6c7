"""CvT: a vision transformer whose tokens and projections come from convolutions.

Wu et al. 2021, arXiv:2103.15808. Each stage embeds the image that its tokens form by an overlapping
convolution (section 3.1); queries, keys and values are depthwise convolutions, those of keys and
values with stride 2 (section 3.2). There are no position embeddings, so that any size is taken. The
first stride is a setting here: the paper's 4 leaves 16 x 16 tokens of 64 pixels, 2 leaves 32 x 32.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import DropPath, Mlp
from timm.models import register_model
from torch import Tensor, nn
from torch.nn import functional

from lensmodels.encoders.timm_model import (
    TimmModel,
    build,
    drop_path_rates,
    initialise,
    without_weights,
)

default_cfgs = without_weights("cvt_13", "cvt_21", "cvt_w24", "cvt_tiny_64")


class ConvolutionalAttention(nn.Module):
    """Attention over projections of equations 2 and 3: a depthwise convolution, then a linear map.

    Args:
        width: of a token.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False),
                nn.BatchNorm2d(width),
            )
            for stride in (1, 2, 2)
        )
        self.projections = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(n, class tokens + height * width, width) to the same shape."""
        prefix, places = tokens.split([tokens.shape[1] - size[0] * size[1], size[0] * size[1]], 1)
        image = places.transpose(1, 2).unflatten(2, size)
        heads = []
        for convolution, projection in zip(self.convolutions, self.projections, strict=True):
            seen = torch.cat([prefix, convolution(image).flatten(2).transpose(1, 2)], 1)
            heads.append(projection(seen).unflatten(2, (self.heads, -1)).transpose(1, 2))
        mixed = functional.scaled_dot_product_attention(*heads)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and an MLP of four times the width, each after a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = ConvolutionalAttention(width, heads)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """(n, class tokens + height * width, width) to the same shape."""
        tokens = tokens + self.drop_path(self.attention(self.norm1(tokens), size))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class Stage(nn.Module):
    """A convolutional token embedding, equation 1, and blocks."""

    def __init__(
        self, channels: int, width: int, heads: int, stride: int, rates: list[float]
    ) -> None:
        super().__init__()
        kernel = 2 * stride - 1  # 7 for stride 4 and 3 for stride 2, as in table 2
        self.embedding = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, heads, rate) for rate in rates)

    def forward(self, image: Tensor, class_token: Tensor | None) -> tuple[Tensor, tuple[int, int]]:
        """(n, channels, h, w) to (n, class tokens + places, width), and the size in places."""
        image = self.embedding(image)
        size = (image.shape[-2], image.shape[-1])
        tokens = self.norm(image.flatten(2).transpose(1, 2))
        if class_token is not None:
            tokens = torch.cat([class_token.expand(len(tokens), -1, -1), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens, size)
        return tokens, size


class CvT(TimmModel):
    """Images, (n, in_chans, height, width), to tokens: the class, and an image of places.

    Args:
        depths, widths, heads: of each stage.
        patch_size: stride of the first embedding, pixels; the others have 2.
        in_chans: channels of the images.
        num_classes: of the classifier; 0 for features.
        global_pool: "token", the paper's class token of the last stage, or "avg".
        drop_path_rate: of the last block.
        img_size: of the images, in pixels; any is taken, whatever is given here.
    """

    num_prefix_tokens = 1

    def __init__(
        self,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        heads: tuple[int, ...],
        patch_size: int = 4,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "token",
        drop_path_rate: float = 0.0,
        img_size: int | tuple[int, int] = 224,
    ) -> None:
        super().__init__(widths[-1], num_classes, global_pool)
        strides = (patch_size, *(2 for _ in widths[1:]))
        rates = drop_path_rates(depths, drop_path_rate)
        sizes = zip((in_chans, *widths[:-1]), widths, heads, strides, rates, strict=True)
        self.stages = nn.ModuleList(Stage(*size) for size in sizes)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, widths[-1]))
        self.norm = nn.LayerNorm(widths[-1])
        self.apply(initialise)

    def no_weight_decay(self) -> set[str]:
        """Names of the weights that timm keeps from weight decay."""
        return {"cls_token"}

    def forward_features(self, images: Tensor) -> Tensor:
        """Tokens, (n, 1 + places, num_features): the class token, and places row by row."""
        *earlier, last = self.stages
        for stage in earlier:
            tokens, size = stage(images, None)
            images = tokens.transpose(1, 2).unflatten(2, size)
        return self.norm(last(images, self.cls_token)[0])


@register_model
def cvt_13(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CvT-13 of table 2, 20.0 million weights."""
    sizes = {"depths": (1, 2, 10), "widths": (64, 192, 384), "heads": (1, 3, 6)}
    return build(CvT, "cvt_13", pretrained, sizes, arguments)


@register_model
def cvt_21(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CvT-21 of table 2, 31.5 million weights."""
    sizes = {"depths": (1, 4, 16), "widths": (64, 192, 384), "heads": (1, 3, 6)}
    return build(CvT, "cvt_21", pretrained, sizes, arguments)


@register_model
def cvt_w24(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CvT-W24 of table 2, 277 million weights."""
    sizes = {"depths": (2, 2, 20), "widths": (192, 768, 1024), "heads": (3, 12, 16)}
    return build(CvT, "cvt_w24", pretrained, sizes, arguments)


@register_model
def cvt_tiny_64(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """A small CvT for 64 pixels on a laptop: 16, 8 and 4 tokens a side, 0.7 million weights."""
    sizes = {"depths": (1, 1, 2), "widths": (32, 64, 128), "heads": (1, 2, 4)}
    return build(CvT, "cvt_tiny_64", pretrained, sizes, arguments)
