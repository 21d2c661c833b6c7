"""Features turn with the image, exactly, under all eight symmetries of the square."""

import pytest
import timm
import torch

from lensmodels.encoders.equivariant import ORDER, quotients, shrink, transformed
from lensmodels.views import apply_dihedral


@pytest.fixture(params=[True, False], ids=["training", "evaluation"])
def model(request):
    torch.manual_seed(1)
    return timm.create_model("equivariant_tiny", in_chans=1, num_classes=0).train(request.param)


def test_symmetries_are_those_of_the_views():
    images = torch.randn(ORDER, 1, 5, 5)
    each = torch.stack([transformed(image, element) for element, image in enumerate(images)])
    assert torch.equal(each, apply_dihedral(images, torch.arange(ORDER)))


@pytest.mark.parametrize("size", [64, 36, 33])
@pytest.mark.parametrize("element", range(ORDER))
def test_fields_permute_and_pooled_features_stay(model, size, element):
    images = torch.randn(2, 1, size, size)
    turned = transformed(images, element)
    fields, pooled = model.forward_fields(images), model(images)
    expected = transformed(fields[:, :, quotients()[element]], element)
    scale = fields.abs().max().item()
    assert torch.allclose(model.forward_fields(turned), expected, atol=1e-5 * scale)
    assert torch.allclose(model(turned), pooled, atol=1e-5)
    features = model.forward_features(images)
    assert torch.allclose(
        model.forward_features(turned), transformed(features, element), atol=1e-5 * scale
    )


def test_features_of_other_images_differ(model):
    """An invariance that holds because nothing is told apart would be none."""
    assert model(torch.randn(8, 1, 64, 64)).std(0).median() > 1e-3


def test_quotients_are_a_group():
    table = quotients()
    assert table[0].tolist() == list(range(ORDER))
    assert (table.diagonal() == 0).all()
    for rows in (table, table.T):
        assert all(sorted(row.tolist()) == list(range(ORDER)) for row in rows)
    # (g^-1 h) = (k^-1 g)^-1 (k^-1 h)
    for third in range(ORDER):
        assert torch.equal(table[table[third]][:, table[third]], table)


@pytest.mark.parametrize("side", [7, 8, 9])
def test_shrinking_is_symmetric_where_a_stride_is_not(side):
    maps = torch.randn(1, 1, side, side)
    assert torch.allclose(shrink(maps.flip(-1)), shrink(maps).flip(-1), atol=1e-6)
    assert torch.allclose(shrink(maps).mT, shrink(maps.mT), atol=1e-6)


def test_a_stride_on_an_even_side_is_not_symmetric():
    """Why no convolution here has one."""
    maps = torch.randn(1, 1, 8, 8)
    even = torch.nn.functional.conv2d(maps, torch.ones(1, 1, 3, 3), stride=2, padding=1)
    mirrored = torch.nn.functional.conv2d(
        maps.flip(-1), torch.ones(1, 1, 3, 3), stride=2, padding=1
    )
    assert not torch.allclose(mirrored.flip(-1), even, atol=1e-2)
