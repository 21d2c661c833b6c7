"""CrossFormer: who attends to whom, from which offset, and through which patches."""

import pytest
import timm
import torch

from lensmodels.encoders.crossformer import (
    CrossScaleEmbedding,
    DynamicPositionBias,
    GroupAttention,
    group,
    relative_index,
    ungroup,
)

NUMBERS = torch.arange(16.0).reshape(1, 4, 4, 1)


def test_short_distance_groups_are_neighbours_by_hand():
    groups = group(NUMBERS, (2, 2), is_long=False)[0, :, :, 0]
    assert groups.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_long_distance_groups_are_at_equal_distances_by_hand():
    groups = group(NUMBERS, (2, 2), is_long=True)[0, :, :, 0]
    assert groups.tolist() == [[0, 2, 8, 10], [1, 3, 9, 11], [4, 6, 12, 14], [5, 7, 13, 15]]


@pytest.mark.parametrize("is_long", [False, True])
def test_ungroup_is_the_inverse_of_group(is_long):
    tokens = torch.randn(2, 6, 8, 3)
    groups = group(tokens, (3, 2), is_long)
    assert groups.shape == (2, 8, 6, 3)
    assert torch.equal(ungroup(groups, (3, 2), (2, 4), is_long), tokens)


@pytest.mark.parametrize("is_long", [False, True])
def test_tokens_attend_within_their_group_only(is_long):
    attention = GroupAttention(8, 2, 2, is_long)
    tokens = torch.randn(1, 4, 4, 8, requires_grad=True)
    attention(tokens)[0, 0, 0].square().sum().backward()
    seen = tokens.grad[0].abs().sum(-1).flatten().nonzero().flatten().tolist()
    assert seen == ([0, 2, 8, 10] if is_long else [0, 1, 4, 5])


@pytest.mark.parametrize("is_long", [False, True])
def test_padding_is_not_attended_to(is_long):
    """A map of 5 x 5 in groups of 4 x 4 gives finite features that no padding enters."""
    attention = GroupAttention(8, 2, 4, is_long).eval()
    torch.nn.init.constant_(attention.qkv.bias, 3.0)  # so that padding would have values
    torch.nn.init.zeros_(attention.qkv.weight[:16])  # and no token is preferred
    for layer in attention.bias.layers:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.weight)
    tokens = torch.randn(2, 5, 5, 8)
    found = attention(tokens)
    # of a corner that is alone in its group of neighbours: itself; at long distance the interval
    # is 2, and it has rows and columns 0, 2 and 4 beside it
    members = tokens[:, ::2, ::2].flatten(1, 2) if is_long else tokens[:, 4:, 4:].flatten(1, 2)
    expected = attention.out(attention.qkv(members)[..., 16:].mean(1))
    assert torch.allclose(found[:, 4, 4], expected, atol=1e-5)
    assert torch.isfinite(found).all()


def test_relative_index_by_hand():
    """Two rows and columns: offsets run (-1, -1), (-1, 0), (-1, 1), (0, -1), ..., (1, 1)."""
    assert relative_index((2, 2)).tolist() == [
        [4, 3, 1, 0],
        [5, 4, 2, 1],
        [7, 6, 4, 3],
        [8, 7, 5, 4],
    ]


@pytest.mark.parametrize("sides", [(3, 3), (2, 4)])
def test_position_bias_is_that_of_the_offset(sides):
    bias = DynamicPositionBias(16, 2)
    found = bias(sides)
    rows, columns = sides
    for first in range(rows * columns):
        for second in range(rows * columns):
            offset = [
                first // columns - second // columns,
                first % columns - second % columns,
            ]
            expected = bias.layers(torch.tensor(offset).float())
            assert torch.allclose(found[:, first, second], expected, atol=1e-6)


def test_intervals_are_those_of_the_paper():
    """Table 1: groups of 7 at intervals 8, 4, 2 and 1 of 224 pixels; here the same from 64 by 2."""
    with torch.device("meta"):
        of_paper = timm.create_model("crossformer_t")
        of_lenses = timm.create_model("crossformer_t", img_size=64, patch_size=2)
    assert (of_paper.group_size, of_lenses.group_size) == (7, 4)
    assert [224 // 4 // 2**stage // 7 for stage in range(4)] == [
        64 // 2 // 2**stage // 4 for stage in range(4)
    ]


def test_blocks_attend_near_and_far_in_turn():
    model = timm.create_model("crossformer_tiny_64")
    turns = [[block.attention.is_long for block in stage] for stage in model.stages]
    assert turns == [[False], [False, True], [False, True]]


def test_patches_of_several_sizes_share_their_centres():
    """Section 3.1: kernels of 4, 8, 16 and 32 give 1/2, 1/4, 1/8 and 1/8 of the features."""
    embedding = CrossScaleEmbedding(1, 64, 4, 4)
    assert [layer.kernel_size[0] for layer in embedding.convolutions] == [4, 8, 16, 32]
    assert [layer.out_channels for layer in embedding.convolutions] == [32, 16, 8, 8]
    for layer in embedding.convolutions:
        images = torch.zeros(1, 1, 64, 64, requires_grad=True)
        layer(images)[0, :, 8, 8].sum().backward()
        rows = images.grad[0, 0].abs().sum(1).nonzero().flatten()
        assert rows.float().mean() == 33.5  # of pixels 32 to 35, whatever the size
