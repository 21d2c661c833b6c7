"""What every encoder that is written here has to do: sizes, gradients, timm's interface."""

import pytest
import timm
import torch

from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import UsageError

SMALL = ("cvt_tiny_64", "crossformer_tiny_64", "equivariant_tiny")

PUBLISHED = {
    "cvt_13": 20.0, "cvt_21": 31.5, "cvt_w24": 277,
    "crossformer_t": 27.8, "crossformer_s": 30.7, "crossformer_b": 52.0, "crossformer_l": 92.0,
}  # fmt: skip
"""Million weights with the head of 1,000 classes: tables 2 and 3 of Wu et al. 2021, and table 2 of
Wang et al. 2021."""

SMALL_SWIN = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}


def encoder(name, num_pix=64, **settings):
    return Encoder(EncoderSettings(name=name, **settings), num_pix)


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_have_as_many_weights_as_published(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    count = sum(weights.numel() for weights in model.parameters())
    assert count / 1e6 == pytest.approx(PUBLISHED[name], rel=0.01)


@pytest.mark.parametrize(
    ("name", "num_pix"),
    [*((name, num_pix) for name in SMALL for num_pix in (64, 36, 33)), ("swin", 64), ("swin", 36)],
)
def test_images_of_any_size_give_features_and_regions(name, num_pix):
    made = encoder(name, 64, **({"arguments": SMALL_SWIN} if name == "swin" else {})).eval()
    images = torch.randn(2, 1, num_pix, num_pix)
    pooled, regions = made.pooled_and_regions(images)
    assert pooled.shape == (2, made.num_features)
    assert regions.shape[::2] == (2, made.num_features)
    assert torch.isfinite(pooled).all() and torch.isfinite(regions).all()
    assert torch.allclose(pooled, made(images), atol=1e-5)
    # an image does not depend on the others of its batch
    assert torch.allclose(made(images[:1]), pooled[:1], atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_images_too_small_are_refused(name):
    with pytest.raises(UsageError, match="does not take images of 4 x 4 pixels"):
        encoder(name, 4)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_weight(name):
    network = encoder(name).network
    features = network.forward_features(torch.randn(4, 1, 64, 64))
    (features * torch.randn_like(features)).sum().backward()
    for key, weights in network.named_parameters():
        assert weights.grad is not None and weights.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", SMALL)
def test_timm_makes_it_with_channels_classes_and_size(name):
    model = timm.create_model(name, in_chans=1, num_classes=0, img_size=64)
    images = torch.randn(2, 1, 64, 64)
    assert model(images).shape == (2, model.num_features)
    model.reset_classifier(3)
    assert model(images).shape == (2, 3)
    assert model.forward_head(model.forward_features(images), pre_logits=True).shape == (
        2,
        model.num_features,
    )


@pytest.mark.parametrize("name", SMALL)
def test_weights_that_nobody_has_are_refused(name):
    with pytest.raises(UsageError, match=f"{name} does not take.*[Nn]o pretrained"):
        encoder(name, arguments={"pretrained": True})


def test_a_pooling_that_a_network_lacks_is_refused():
    with pytest.raises(UsageError, match="can be avg, not 'token'"):
        encoder("equivariant_tiny", arguments={"global_pool": "token"})
    with pytest.raises(UsageError, match="can be avg or token, not 'max'"):
        encoder("cvt_tiny_64", arguments={"global_pool": "max"})


def test_swin_has_patches_of_2_and_windows_of_4_that_are_settings():
    made = encoder("swin", arguments=SMALL_SWIN)
    assert made.network.patch_embed.patch_size == (2, 2)
    assert [stage.blocks[0].window_size for stage in made.network.layers] == [(4, 4)] * 4
    wider = encoder("swin", patch_size=4, arguments={**SMALL_SWIN, "window_size": 8}).network
    assert wider.patch_embed.patch_size == (4, 4)
    assert wider.layers[0].blocks[0].window_size == (8, 8)
