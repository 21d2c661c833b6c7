"""Encoders: any timm model for one-channel images of 64 pixels."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import UsageError


def encoder(name, **settings):
    return Encoder(EncoderSettings(name=name, **settings), 64)


@pytest.mark.parametrize(
    "name", ["test_resnet", "resnet18", "test_vit", "test_convnext", "test_efficientnet", "vit"]
)
def test_features_have_the_length_that_the_encoder_says(name):
    made = encoder(name)
    assert made(torch.zeros(3, 1, 64, 64)).shape == (3, made.num_features)


def test_the_studys_transformer_has_12_blocks_and_4_patches():
    network = encoder("vit").network
    assert len(network.blocks) == 12
    assert network.patch_embed.patch_size == (32, 32)
    assert network.patch_embed.num_patches == 4


def test_small_patches_and_fewer_blocks_are_settings():
    made = encoder("vit_tiny_patch16_224", patch_size=8, arguments={"depth": 2})
    assert made.network.patch_embed.num_patches == 64
    assert len(made.network.blocks) == 2


def test_transformers_take_the_smaller_views_of_a_multi_crop():
    made = encoder("vit_tiny_patch16_224", patch_size=8, arguments={"depth": 1})
    assert made(torch.zeros(2, 1, 40, 40)).shape == (2, made.num_features)


SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4}

REGIONS = {
    "test_resnet": ({}, 4),
    "test_efficientnet_gn": ({}, 4),
    "test_convnext": ({}, 4),
    "swin_tiny_patch4_window7_224": (SWIN, 64),
    "vit_tiny_patch16_224": ({"embed_dim": 16, "num_heads": 1, "depth": 1}, 16),
    "deit_tiny_distilled_patch16_224": ({"embed_dim": 16, "num_heads": 1, "depth": 1}, 16),
    "vit_tiny_r_s16_p8_224": ({"embed_dim": 16, "num_heads": 1, "depth": 1}, 4),
}
"""Arguments and regions of 64 x 64 pixels: CNNs, NHWC, one and two prefix tokens, a hybrid."""


@pytest.mark.parametrize("name", REGIONS)
def test_regions_are_the_places_of_a_map_or_the_patches(name):
    arguments, count = REGIONS[name]
    made = encoder(name, arguments=arguments).eval()
    images = torch.randn(2, 1, 64, 64)
    pooled, regions = made.pooled_and_regions(images)
    assert regions.shape == (2, count, made.count_region_features())
    assert torch.equal(regions, made.regions(images))
    assert torch.allclose(pooled, made(images), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("test_convnext", {}), ("swin_tiny_patch4_window7_224", SWIN | {"window_size": 1})],
)
def test_regions_run_row_by_row(name, arguments):
    made = encoder(name, arguments=arguments).eval()
    dark, bright = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    bright[..., :32, 32:] = torch.randn(32, 32)  # the upper right quarter
    change = (made.regions(bright) - made.regions(dark)).square().sum(-1)[0]
    side = int(len(change) ** 0.5)
    strengths = change.reshape(2, side // 2, 2, side // 2).sum((1, 3)).flatten()
    assert strengths.argmax() == 1  # rows first, then columns


def test_region_features_may_be_fewer_than_those_of_the_image():
    made = encoder("mobilenetv3_small_050")
    assert (made.count_region_features(), made.num_features) == (288, 1024)


def test_an_encoder_without_regions_is_refused():
    made = Encoder(EncoderSettings(name="crossvit_9_240"), 240)
    with pytest.raises(UsageError, match="no features of single regions"):
        made.count_region_features()


@pytest.mark.parametrize("name", ["resnet18", "resnet10t", "test_resnet"])
def test_a_small_stem_keeps_the_resolution(name):
    network = encoder(name, small_stem=True).network
    image = torch.zeros(1, 1, 64, 64)
    stem = network.maxpool(network.act1(network.bn1(network.conv1(image))))
    assert stem.shape[-2:] == (64, 64)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"name": "resnet5000"}, "no encoder"),
        ({"name": "equivariant_tny"}, "did you mean equivariant_tiny"),
        (
            {"name": "crossformer_tiny_64", "patch_size": 3},
            "with patches of 3 pixels does not take .* choose another --patch-size",
        ),
        ({"name": "resnet18", "patch_size": 8}, "does not take --patch-size 8: .*patch_size"),
        ({"name": "resnet5"}, "did you mean resnet50"),
        ({"name": "test_vit", "small_stem": True}, "ResNets"),
        ({"name": "resnet18", "arguments": {"moons": 2}}, "moons"),
    ],
)
def test_what_timm_does_not_know_is_named(settings, word):
    with pytest.raises(UsageError, match=word):
        Encoder(EncoderSettings(**settings), 64)


def test_a_model_for_another_size_of_image_is_refused():
    with pytest.raises(UsageError, match="8 x 8"):
        Encoder(EncoderSettings(name="test_vit"), 8)


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("test_resnet", {"features_only": True}, "features_only"),
        ("test_resnet", {"num_classes": 3}, "num_classes"),
        ("test_resnet", {"global_pool": ""}, "one vector of features"),
        ("test_resnet", {"act_layer": "moons"}, "test_resnet"),
        ("test_resnet", {"layers": 3}, "layers"),
        ("test_vit", {"depth": "two"}, "depth"),
        ("test_vit", {"embed_dim": -1}, "embed_dim"),
    ],
)
def test_arguments_that_make_no_encoder_are_one_sentence(name, arguments, word):
    with pytest.raises(UsageError, match=word) as caught:
        encoder(name, arguments=arguments)
    assert "\n" not in str(caught.value)


@pytest.fixture
def photographs(tmp_path):
    """Weights of test_resnet for images of three colours, and the arguments that load them."""
    weights = timm.create_model("test_resnet", num_classes=1000).state_dict()
    file = tmp_path / "photographs.safetensors"
    save_file(weights, file)
    return weights, {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}


def test_pretrained_weights_are_summed_over_colours(photographs):
    weights, arguments = photographs
    own = encoder("test_resnet", arguments=arguments).network.state_dict()
    first, *others = own
    assert torch.allclose(own[first], weights[first].sum(1, keepdim=True))
    assert all(torch.equal(own[name], weights[name]) for name in others)


def test_pretrained_weights_are_not_fetched_where_others_are_loaded(photographs, tmp_path):
    settings = EncoderSettings(name="test_resnet", arguments=photographs[1])
    (tmp_path / "photographs.safetensors").unlink()
    Encoder(settings, 64, is_loaded=True)
    with pytest.raises(UsageError, match="photographs"):
        Encoder(settings, 64)
