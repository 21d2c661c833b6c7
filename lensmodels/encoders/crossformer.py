"""CrossFormer: patches of several sizes in every token, and attention over near and far tokens.

Wang et al. 2021, arXiv:2108.00154. A cross-scale embedding (section 3.1) samples patches of several
sizes around the same centres; blocks attend in turn over neighbours and over tokens at equal
distances (3.2.1), with a position bias that a small network computes from their offset (3.2.2).

Departures from the paper: the side of a group is a setting, and the interval follows from it, so
that any size is taken; maps that groups do not divide are padded, and padding is not attended to.
Where the paper says nothing of norms, one follows each embedding.
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

default_cfgs = without_weights(
    "crossformer_t", "crossformer_s", "crossformer_b", "crossformer_l", "crossformer_tiny_64"
)

MIN_GROUP = 4
"""Tokens along a side of a group at least, if it is not given."""


class CrossScaleEmbedding(nn.Module):
    """Patches of several sizes around the same centres: (n, channels, h, w) to (n, h', w', width).

    Args:
        channels: of the input.
        width: of a token.
        stride: between centres, and the side of the smallest patches; each next is twice as large.
        scales: number of sizes.
    """

    def __init__(self, channels: int, width: int, stride: int, scales: int) -> None:
        super().__init__()
        self.stride = stride
        # half of the features to the smallest, half of the rest to the next: the large are costly
        shares = [width // 2 ** min(scale + 1, scales - 1) for scale in range(scales)]
        kernels = [stride * 2**scale for scale in range(scales)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, share, kernel, stride, padding=(kernel - stride) // 2)
            for kernel, share in zip(kernels, shares, strict=True)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, h', w', width)."""
        images = _padded(images, (self.stride, self.stride))
        patches = [convolution(images) for convolution in self.convolutions]
        return self.norm(torch.cat(patches, 1).permute(0, 2, 3, 1))


class DynamicPositionBias(nn.Module):
    """Bias of an attention from the offset of two tokens: equation 2.

    Args:
        width: of a token.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        hidden = width // 4
        self.layers = nn.Sequential(
            nn.Linear(2, hidden), nn.LayerNorm(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU(),
            nn.Linear(hidden, heads),
        )  # fmt: skip

    def forward(self, sides: tuple[int, int]) -> Tensor:
        """Biases of the tokens of a group, row by row: (heads, tokens, tokens)."""
        device = next(self.parameters()).device
        steps = [torch.arange(1 - side, side, device=device) for side in sides]
        offsets = torch.cartesian_prod(*steps).float()
        biases = self.layers(offsets)[relative_index(sides).to(device)]
        return biases.permute(2, 0, 1)


def relative_index(sides: tuple[int, int]) -> Tensor:
    """Which offset lies between two tokens of a group, (tokens, tokens).

    Args:
        sides: rows and columns of the group.

    Returns:
        Places in the list of offsets (row, column) from (1 - rows, 1 - columns) to
        (rows - 1, columns - 1), columns running first; first token less second.
    """
    rows, columns = sides
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    offsets = places[:, None] - places[None, :] + torch.tensor([rows - 1, columns - 1])
    return offsets[..., 0] * (2 * columns - 1) + offsets[..., 1]


def group(tokens: Tensor, sides: tuple[int, int], is_long: bool) -> Tensor:
    """Tokens in the groups that attend to each other.

    Args:
        tokens: (n, height, width, c), multiples of the sides of a group.
        sides: rows and columns of a group.
        is_long: whether a group holds tokens at equal distances, over the whole map, and not
            neighbours.

    Returns:
        (n, groups, rows * columns, c).
    """
    counts = (tokens.shape[1] // sides[0], tokens.shape[2] // sides[1])
    if is_long:  # the place of a token is member * interval + group
        split = tokens.unflatten(2, (sides[1], counts[1])).unflatten(1, (sides[0], counts[0]))
        grouped = split.permute(0, 2, 4, 1, 3, 5)
    else:  # group * side + member
        split = tokens.unflatten(2, (counts[1], sides[1])).unflatten(1, (counts[0], sides[0]))
        grouped = split.permute(0, 1, 3, 2, 4, 5)
    return grouped.flatten(3, 4).flatten(1, 2)


def ungroup(
    groups: Tensor, sides: tuple[int, int], counts: tuple[int, int], is_long: bool
) -> Tensor:
    """The inverse of `group`.

    Args:
        groups: (n, groups, rows * columns, c).
        sides: rows and columns of a group.
        counts: groups along the height and the width.
        is_long: as in `group`.

    Returns:
        (n, height, width, c).
    """
    split = groups.unflatten(1, counts).unflatten(3, sides)
    split = split.permute(0, 3, 1, 4, 2, 5) if is_long else split.permute(0, 1, 3, 2, 4, 5)
    return split.flatten(3, 4).flatten(1, 2)


class GroupAttention(nn.Module):
    """Attention within groups: short-distance (SDA) or long-distance (LDA).

    Args:
        width: of a token.
        heads: of the attention.
        group_size: tokens along a side of a group.
        is_long: whether it is long-distance.
    """

    def __init__(self, width: int, heads: int, group_size: int, is_long: bool) -> None:
        super().__init__()
        self.heads, self.group_size, self.is_long = heads, group_size, is_long
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = DynamicPositionBias(width, heads)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, height, width, c) to the same shape."""
        n, height, width, _ = tokens.shape
        sides = (min(self.group_size, height), min(self.group_size, width))
        padded = _padded(tokens.permute(0, 3, 1, 2), sides).permute(0, 2, 3, 1)
        counts = (padded.shape[1] // sides[0], padded.shape[2] // sides[1])
        projected = self.qkv(group(padded, sides, self.is_long)).flatten(0, 1)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias(sides)[None]
        if padded.shape != tokens.shape:
            inside = torch.ones(1, height, width, 1, device=tokens.device).permute(0, 3, 1, 2)
            inside = group(_padded(inside, sides).permute(0, 2, 3, 1), sides, self.is_long)
            # finite, as a group of padding alone has nothing else to attend to
            bias = (bias - 1e4 * (1 - inside[0, :, None, None, :, 0])).repeat(n, 1, 1, 1)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype)
        )
        groups = self.out(mixed.transpose(1, 2).flatten(2)).unflatten(0, (n, -1))
        return ungroup(groups, sides, counts, self.is_long)[:, :height, :width]


class Block(nn.Module):
    """Attention and an MLP of four times the width, each after a norm and beside a shortcut."""

    def __init__(
        self, width: int, heads: int, group_size: int, is_long: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = GroupAttention(width, heads, group_size, is_long)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, height, width, c) to the same shape."""
        tokens = tokens + self.drop_path(self.attention(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class CrossFormer(TimmModel):
    """Images, (n, in_chans, height, width), to a map of places, (n, height, width, num_features).

    Args:
        depths: blocks of each stage, short- and long-distance in turn.
        width: of the first stage; each next has twice as much.
        heads: of the first stage; likewise.
        patch_size: stride of the first embedding, pixels; the others have 2.
        group_size: tokens along a side of a group; if None, an eighth of those of the first map,
            as the paper's 7 of 56, but at least `MIN_GROUP`.
        in_chans: channels of the images.
        num_classes: of the classifier; 0 for features.
        global_pool: "avg".
        drop_path_rate: of the last block.
        img_size: of the images that the group's size is chosen for, pixels; any is taken.
    """

    output_fmt = "NHWC"

    def __init__(
        self,
        depths: tuple[int, ...],
        width: int,
        heads: int,
        patch_size: int = 4,
        group_size: int | None = None,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        drop_path_rate: float = 0.0,
        img_size: int | tuple[int, int] = 224,
    ) -> None:
        super().__init__(width * 2 ** (len(depths) - 1), num_classes, global_pool)
        if group_size is None:
            pixels = img_size if isinstance(img_size, int) else min(img_size)
            group_size = max(MIN_GROUP, pixels // patch_size // 8)
        self.group_size = group_size
        self.embeddings, self.stages = nn.ModuleList(), nn.ModuleList()
        channels = in_chans
        for stage, rates in enumerate(drop_path_rates(depths, drop_path_rate)):
            stride, scales = (2, 2) if stage else (patch_size, 4)
            of_stage = width * 2**stage
            self.embeddings.append(CrossScaleEmbedding(channels, of_stage, stride, scales))
            self.stages.append(
                nn.Sequential(
                    *(
                        Block(of_stage, heads * 2**stage, group_size, bool(number % 2), rate)
                        for number, rate in enumerate(rates)
                    )
                )
            )
            channels = of_stage
        self.norm = nn.LayerNorm(self.num_features)
        self.apply(initialise)

    def forward_features(self, images: Tensor) -> Tensor:
        """A map of places, (n, height, width, num_features)."""
        tokens = images.permute(0, 2, 3, 1)
        for embedding, stage in zip(self.embeddings, self.stages, strict=True):
            tokens = stage(embedding(tokens.permute(0, 3, 1, 2)))
        return self.norm(tokens)


def _padded(images: Tensor, multiples: tuple[int, int]) -> Tensor:
    """Images, (n, c, height, width), with zeros below and right of them up to multiples."""
    below, right = (-images.shape[-2] % multiples[0], -images.shape[-1] % multiples[1])
    return functional.pad(images, (0, right, 0, below)) if below or right else images


@register_model
def crossformer_t(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CrossFormer-T of table 1, 27.8 million weights."""
    sizes = {"depths": (1, 1, 8, 6), "width": 64, "heads": 2}
    return build(CrossFormer, "crossformer_t", pretrained, sizes, arguments)


@register_model
def crossformer_s(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CrossFormer-S of table 1, 30.7 million weights."""
    sizes = {"depths": (2, 2, 6, 2), "width": 96, "heads": 3}
    return build(CrossFormer, "crossformer_s", pretrained, sizes, arguments)


@register_model
def crossformer_b(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CrossFormer-B of table 1, 52.0 million weights."""
    sizes = {"depths": (2, 2, 18, 2), "width": 96, "heads": 3}
    return build(CrossFormer, "crossformer_b", pretrained, sizes, arguments)


@register_model
def crossformer_l(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """CrossFormer-L of table 1, 92.0 million weights."""
    sizes = {"depths": (2, 2, 18, 2), "width": 128, "heads": 4}
    return build(CrossFormer, "crossformer_l", pretrained, sizes, arguments)


@register_model
def crossformer_tiny_64(pretrained: bool = False, **arguments: Any) -> nn.Module:
    """A small CrossFormer for 64 pixels on a laptop: 16, 8 and 4 tokens a side."""
    sizes = {"depths": (1, 2, 2), "width": 32, "heads": 1}
    return build(CrossFormer, "crossformer_tiny_64", pretrained, sizes, arguments)
