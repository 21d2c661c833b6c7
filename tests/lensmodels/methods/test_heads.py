"""Widths of heads follow the number of features, and can be set; norms of DINO's heads."""

import pytest
import torch

LARGE = {"encoder": "test_vit", "arguments": {"embed_dim": 2048, "depth": 0}}


def widths(method):
    """Outputs of the hidden layers of a method's heads."""
    match method.__class__.__name__:
        case "BYOL":
            return method.online[1].layers[0].out_features, method.prediction_head.layers[
                0
            ].out_features
        case "SimSiam":
            return method.projection_head.layers[0].out_features, method.prediction_head.layers[
                0
            ].out_features
        case "VICReg":
            return method.projection_head.layers[0].out_features, method.projection_head.layers[
                -1
            ].out_features
        case _:
            return method.student[1].layers[0].out_features, method.teacher[1].layers[
                0
            ].out_features


@pytest.mark.parametrize(
    ("name", "large", "small"),
    [
        ("byol", (4096, 4096), (1024, 1024)),
        ("simsiam", (2048, 512), (512, 128)),
        ("dino", (2048, 2048), (512, 512)),
        ("vicreg", (2048, 2048), (512, 512)),
    ],
)
def test_heads_are_as_wide_as_their_methods_say_for_2048_features(make, name, large, small):
    assert widths(make(name, **LARGE)) == large
    assert widths(make(name)) == small  # as before, for 64 features


@pytest.mark.parametrize("name", ["byol", "simsiam", "dino", "vicreg", "esvit"])
def test_the_width_can_be_set(make, views, name):
    assert widths(make(name, hidden_units=48))[0] == 48


@pytest.mark.parametrize(
    ("encoder", "settings", "are_told_apart"),
    [
        ("test_vit", {}, True),  # has no batch norms of its own
        ("cvt_tiny_64", {}, True),  # has some, and ends in a norm over the layer
        ("test_vit", {"head_norms": False}, False),
        ("test_resnet", {}, False),
        ("equivariant_tiny", {}, False),
        ("test_resnet", {"head_norms": True}, True),
    ],
)
@pytest.mark.parametrize("name", ["dino", "esvit"])
def test_heads_with_norms_tell_features_apart_that_are_nearly_the_same(
    make, name, encoder, settings, are_told_apart
):
    head = make(name, encoder, **settings).student[1]
    size = head.layers[0].in_features
    nearly_the_same = 1 + 1e-3 * torch.randn(32, size, generator=torch.manual_seed(0))
    outputs = head(nearly_the_same)
    spread = (outputs.std(0).mean() / outputs.std()).item()
    assert spread > 0.5 if are_told_apart else spread < 0.1
