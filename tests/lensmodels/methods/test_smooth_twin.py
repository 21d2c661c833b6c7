"""Smooth twin: what is painted, in which units, and turned as the image is."""

import pytest
import torch
from torch import nn

from lensmodels.encoders import Encoder
from lensmodels.errors import UsageError

SKY_NOISE = 0.1  # of the fixture's scaling


def pair(difference, brightness=0.0):
    """A batch of two images, and twins that lack a difference at one pixel; e-/s."""
    twin = torch.zeros(2, 1, 64, 64)
    twin[:, :, 10, 20] = brightness
    image = twin.clone()
    image[:, :, 10, 20] += difference
    return {"image": image, "second_image": twin}


def test_the_residual_is_in_units_of_the_noise_and_a_bright_arc_weighs_no_more(make):
    method = make("smooth-twin")
    _, faint = method.draw_views(pair(3 * SKY_NOISE), seed=0)
    assert faint.amax().item() == pytest.approx(3, rel=1e-2)
    assert faint.count_nonzero() == 2
    # photon noise of 10 sky sigmas there: the same difference is a tenth as significant
    _, bright = method.draw_views(pair(3 * SKY_NOISE, brightness=500 * SKY_NOISE), seed=0)
    assert bright.amax().item() == pytest.approx(0.3, rel=2e-2)


def test_image_and_residual_are_turned_alike(make):
    method = make("smooth-twin")
    batch = pair(5.0)
    places = set()
    for seed in range(6):
        image, residual = method.draw_views(batch, seed=seed)
        where = image.flatten(1).argmax(1)
        assert torch.equal(where, residual.flatten(1).argmax(1))
        places |= set(where.tolist())
    assert len(places) > 2


def test_loss_by_hand(make, views):
    method = make("smooth-twin").eval()
    nn.init.zeros_(method.join.weight)
    nn.init.constant_(method.join.bias, 2.0)
    residual = torch.full_like(views[0], 5.0)
    assert method.loss([views[0], residual]).item() == pytest.approx(9.0)


def test_every_region_paints_its_own_patch(make):
    """A change of the features of one region changes the pixels of its patch, and their edge."""
    method = make("smooth-twin", "test_resnet").eval()
    count, features = method.encoder.region_shape()
    side, patch = method.side, 64 // method.side
    assert count == side**2
    regions = torch.zeros(1, count, features)
    method.encoder.pooled_and_regions = lambda image: (
        torch.zeros(1, method.encoder.num_features),
        regions,
    )
    before = method.paint(torch.zeros(1, 1, 64, 64))
    regions[0, side + 1] = 1.0  # in the second row, the second
    changed = (method.paint(torch.zeros(1, 1, 64, 64)) != before)[0, 0].nonzero()
    first, last = changed.amin(0), changed.amax(0)
    assert first.tolist() == [patch - 1] * 2
    assert last.tolist() == [min(63, 2 * patch)] * 2


@pytest.mark.parametrize("count", [12, 25])
def test_an_encoder_whose_regions_are_no_squares_of_pixels_is_refused(make, count, monkeypatch):
    monkeypatch.setattr(Encoder, "region_shape", lambda self: (count, 8))
    with pytest.raises(UsageError, match=f"{count} regions"):
        make("smooth-twin")
