"""MAE: what is hidden, what is compared, and in which units."""

import pytest
import torch
from lightly.models.utils import patchify

from lensmodels.data import InputScaling
from lensmodels.errors import UsageError
from lensmodels.methods.mae import in_noise_units

TINY = {"embed_dim": 16, "num_heads": 1, "depth": 1}


@pytest.fixture
def mae(make):
    def mae(**settings):
        return make("mae", "vit_tiny_patch16_224", arguments=TINY, patch_size=8, **settings)

    return mae


def test_only_masked_patches_count(mae, views):
    method = mae()
    target = patchify(views[1], 8)

    def paint(image, seen):
        wrong = torch.full_like(target, 1e6).take_along_dim(seen[..., None], 1)
        return target.scatter(1, seen[..., None].expand(-1, -1, target.shape[-1]), wrong)

    method.paint = paint
    assert method.loss(views).item() == 0
    method.paint = lambda image, seen: target + 2
    assert method.loss(views).item() == pytest.approx(4, rel=1e-5)


def test_masked_patches_are_not_seen(mae, views):
    method = mae().eval()
    seen = torch.tensor([[0, 9, 63]]).expand(6, -1)
    changed = torch.full_like(views[0], 7.0)
    for row, column in ((0, 0), (1, 1), (7, 7)):
        window = (..., slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
        changed[window] = views[0][window]
    others = torch.tensor([[1, 9, 63]]).expand(6, -1)
    with torch.no_grad():
        painted, same = (method.paint(image, seen) for image in (views[0], changed))
        different = method.paint(changed, others)
    assert torch.allclose(painted, same, atol=1e-5)
    assert not torch.allclose(painted, different, atol=1e-5)


def test_every_image_has_a_mask_of_its_own_in_every_step(mae, views):
    method = mae()
    given = []
    method.paint = lambda image, seen: given.append(seen) or patchify(image, 8)
    for _ in range(2):
        method.loss(views)
    masks = {tuple(sorted(row.tolist())) for seen in given for row in seen}
    assert len(masks) == 2 * len(views[0])


def test_what_is_seen_goes_back_to_its_own_place(mae, views):
    method = mae().eval()
    method.positions.zero_()  # the decoder tells places apart by what stands in them alone
    order = torch.tensor([[5, 12, 40]]).expand(6, -1)
    with torch.no_grad():
        painted = method.paint(views[0], order)
    hidden = [place for place in range(64) if place not in (5, 12, 40)]
    assert torch.allclose(painted[:, hidden], painted[:, hidden[:1]], atol=1e-4)
    for place in (5, 12, 40):
        assert not torch.allclose(painted[:, place], painted[:, 0], atol=1e-4)


@pytest.mark.parametrize(("share", "count"), [(0.75, 16), (0.5, 32), (0.999, 1)])
def test_the_masked_share_is_a_setting(mae, views, share, count):
    method = mae(masked_share=share)
    given = []
    method.paint = lambda image, seen: given.append(seen) or patchify(image, 8)
    method.loss(views)
    assert given[0].shape == (6, count)
    assert all(len(row.unique()) == count for row in given[0])


def test_the_target_has_unit_noise(mae):
    scaling = InputScaling(sky_noise=0.02, softening=1.0)
    target, _ = in_noise_units(scaling)
    noise = 0.02 * torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert target(noise).std().item() == pytest.approx(1, rel=0.02)
    bright = target(noise + 50 * 0.02) - target(torch.full((1, 1, 1, 1), 50 * 0.02))
    # where photon noise is as strong as the sky's, the stretch weighs it as half of the variance
    assert bright.std().item() == pytest.approx(0.5**0.5, rel=0.02)


def test_the_target_is_the_view_itself(mae):
    method = mae()  # its input is stretched at 50 times the noise, as the target is
    images = torch.randn(6, 1, 64, 64)
    view, target = method.draw_views({"image": images}, seed=3)
    assert torch.allclose(target, 50 * view, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(view, method.scaling(images))  # turned or mirrored


@pytest.mark.parametrize(
    "encoder", ["test_resnet", "test_vit", "swin_tiny_patch4_window7_224", "vit_tiny_r_s16_p8_224"]
)
def test_other_encoders_are_refused_in_a_sentence(make, encoder):
    with pytest.raises(UsageError, match="patches of 8 pixels or less") as caught:
        make("mae", encoder)
    assert "\n" not in str(caught.value)
