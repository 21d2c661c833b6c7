"""The pretext of noise, on images that have none of their own."""

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.errors import UsageError

PEAK = 19.0


def noise_free():
    """Images of one bright spot each, without noise."""
    images = torch.zeros(8, 1, 64, 64)
    images[:, :, 30:34, 30:34] = PEAK
    return images


@pytest.mark.parametrize("kind", ["min-max", "asinh"])
def test_images_without_noise_are_refused_in_a_sentence(make, kind):
    scaling = InputScaling.measure([{"image": noise_free()}], kind)
    with pytest.raises(UsageError, match="noise_unit"):
        make("contrastive-noise", scaling=scaling)
    make("contrastive-rotation", scaling=scaling)  # its views differ all the same


def test_the_unit_of_noise_is_a_share_of_the_peak(make):
    images = noise_free()
    scaling = InputScaling.measure([{"image": images}], "asinh", noise_unit=0.01)
    assert scaling.noise_unit == pytest.approx(0.01 * PEAK)
    pretraining = make("contrastive-noise", scaling=scaling)
    first, second = pretraining.draw_views({"image": images}, seed=0)
    # both have 2 to 4 units, and the sky is where the stretch is nearly linear
    spread = (first - second)[..., :16, :].std() * scaling.standard_deviation
    assert torch.sinh(spread) * scaling.softening / scaling.noise_unit > 2 * 2**0.5
    assert not torch.equal(first, second)
    restored = InputScaling.from_dict(scaling.to_dict())
    assert restored.noise_unit == scaling.noise_unit
