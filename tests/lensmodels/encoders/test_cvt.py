"""CvT: convolutions make its tokens and projections, and its class token sees all of them."""

import pytest
import timm
import torch

from lensmodels.encoders.cvt import ConvolutionalAttention, CvT


def test_stages_have_the_sizes_of_the_paper():
    """Table 2: 56, 28 and 14 tokens a side of 224 pixels."""
    with torch.device("meta"):
        model = timm.create_model("cvt_13", num_classes=0)
        sizes, image = [], torch.zeros(1, 3, 224, 224)
        for stage in model.stages:
            tokens, size = stage(image, None)
            sizes.append(size)
            image = tokens.transpose(1, 2).unflatten(2, size)
    assert sizes == [(56, 56), (28, 28), (14, 14)]


@pytest.mark.parametrize(("patch_size", "side"), [(2, 8), (4, 4)])
def test_the_first_stride_is_a_setting(patch_size, side):
    model = CvT((1, 1, 1), (8, 8, 8), (1, 1, 1), patch_size, in_chans=1, num_classes=0)
    assert model.forward_features(torch.zeros(1, 1, 64, 64)).shape == (1, 1 + side**2, 8)


def test_keys_and_values_are_a_quarter_of_the_queries():
    attention = ConvolutionalAttention(8, 2)
    image = torch.zeros(1, 8, 6, 6)
    shapes = [convolution(image).shape[-2:] for convolution in attention.convolutions]
    assert shapes == [(6, 6), (3, 3), (3, 3)]


def test_an_attention_without_preference_is_the_mean_over_values():
    """With queries of zero, every token gets the mean of the values, by hand."""
    attention = ConvolutionalAttention(4, 2).eval()
    torch.nn.init.zeros_(attention.projections[0].weight)
    torch.nn.init.zeros_(attention.projections[0].bias)
    tokens = torch.randn(1, 1 + 16, 4)
    image = tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    seen = torch.cat([tokens[:, :1], attention.convolutions[2](image).flatten(2).mT], 1)
    expected = attention.out(attention.projections[2](seen).mean(1, keepdim=True))
    found = attention(tokens, (4, 4))
    assert torch.allclose(found, expected.expand_as(found), atol=1e-6)


def test_the_class_token_is_pooled_and_sees_every_pixel():
    model = timm.create_model("cvt_tiny_64", in_chans=1, num_classes=0).eval()
    images = torch.randn(1, 1, 64, 64, requires_grad=True)
    features = model(images)
    assert torch.equal(features, model.forward_features(images)[:, 0])
    features.square().sum().backward()
    assert (images.grad != 0).float().mean() > 0.99


def test_the_class_token_is_kept_from_weight_decay():
    model = timm.create_model("cvt_tiny_64", in_chans=1, num_classes=0)
    assert model.no_weight_decay() <= set(dict(model.named_parameters()))
