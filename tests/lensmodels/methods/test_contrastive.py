"""The pretext of noise, on images that have none of their own."""

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.errors import UsageError
from lensmodels.methods import PRETRAINING
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.views import default_recipe

PEAK = 19.0


def noise_free():
    """Images of one bright spot each, without noise."""
    images = torch.zeros(8, 1, 64, 64)
    images[:, :, 30:34, 30:34] = PEAK
    return images


def method(name, scaling):
    return PRETRAINING[name](
        Encoder(EncoderSettings(name="test_vit"), 64),
        default_recipe(name),
        scaling,
        PRETRAINING_DEFAULTS[name],
        batch_size=8,
        total_steps=10,
        seed=0,
    )


@pytest.mark.parametrize("kind", ["min-max", "asinh"])
def test_images_without_noise_are_refused_in_a_sentence(kind):
    scaling = InputScaling.measure([{"image": noise_free()}], kind)
    with pytest.raises(UsageError, match="noise_unit"):
        method("contrastive-noise", scaling)
    method("contrastive-rotation", scaling)  # its views differ all the same


def test_the_unit_of_noise_is_a_share_of_the_peak():
    images = noise_free()
    scaling = InputScaling.measure([{"image": images}], "asinh", noise_unit=0.01)
    assert scaling.noise_unit == pytest.approx(0.01 * PEAK)
    pretraining = method("contrastive-noise", scaling)
    first, second = pretraining.draw_views({"image": images}, seed=0)
    # both have 2 to 4 units, and the sky is where the stretch is nearly linear
    spread = (first - second)[..., :16, :].std() * scaling.standard_deviation
    assert torch.sinh(spread) * scaling.softening / scaling.noise_unit > 2 * 2**0.5
    assert not torch.equal(first, second)
    restored = InputScaling.from_dict(scaling.to_dict())
    assert restored.noise_unit == scaling.noise_unit
