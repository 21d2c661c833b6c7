"""Input scaling: constants from the images, kept, the same for every image."""

import json

import pytest
import torch

from lensmodels.data.scaling import InputScaling, estimate_sky_noise
from lensmodels.errors import DataError, UsageError


def sky_with_lens(noise, count=64, size=64):
    """Images of a bright, smooth spot on a sloping background, with noise."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, size)
    radius = axis[:, None] ** 2 + axis**2
    light = 3 * torch.exp(-radius / 0.1) + 0.02 * axis + 0.1
    return light + noise * torch.randn(count, 1, size, size, generator=generator)


@pytest.mark.parametrize("noise", [0.003, 0.02])
def test_sky_noise_is_found_under_smooth_light(noise):
    assert estimate_sky_noise(sky_with_lens(noise)) == pytest.approx(noise, rel=0.05)


@pytest.mark.parametrize("kind", ["whitened", "asinh"])
def test_scaled_train_images_are_standardised(kind):
    images = sky_with_lens(0.02)
    scaling = InputScaling.measure([{"image": images}], kind)
    scaled = scaling(images)
    assert scaled.dtype == torch.float32
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-3)
    assert float(scaled.std()) == pytest.approx(1, abs=1e-3 if kind == "asinh" else 0.1)
    assert scaling.sky_noise == pytest.approx(0.02, rel=0.05)


def test_asinh_keeps_the_order_and_is_linear_in_the_faint_and_logarithmic_in_the_bright():
    scaling = InputScaling("asinh", softening=2.0, mean=0.5, standard_deviation=3.0)
    values = torch.tensor([-1e-3, 0.0, 1e-3, 1e4, 1e5]).reshape(1, 1, 1, -1)
    scaled = (scaling(values) * 3.0 + 0.5).flatten()
    assert scaled[2].item() == pytest.approx(5e-4, rel=1e-3)
    assert (scaled[4] - scaled[3]).item() == pytest.approx(torch.tensor(10.0).log().item())
    assert torch.all(scaled.diff() > 0)


def test_brightness_is_kept_by_asinh_and_lost_by_min_max():
    images = sky_with_lens(0.02, count=2)
    both = torch.cat([images, 2 * images])
    constant = InputScaling.measure([{"image": images}], "asinh")(both)
    assert not torch.allclose(constant[:2], constant[2:], atol=0.1)
    scaling = InputScaling.measure([{"image": images}], "min-max")
    extremes = scaling(both).flatten(1)
    assert torch.equal(extremes.amin(1), torch.zeros(4))
    assert torch.equal(extremes.amax(1), torch.ones(4))
    torch.testing.assert_close(extremes[:2], extremes[2:])


def test_a_constant_image_stays_finite():
    blank = torch.full((1, 1, 8, 8), 3.0)
    assert torch.isfinite(InputScaling("min-max")(blank)).all()


@pytest.mark.parametrize("kind", ["asinh", "min-max"])
def test_constants_survive_a_file(kind):
    images = sky_with_lens(0.02)
    scaling = InputScaling.measure([{"image": images}], kind)
    again = InputScaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    torch.testing.assert_close(again(images), scaling(images), rtol=0, atol=0)


def test_images_without_noise_are_scaled():
    for kind in ("whitened", "asinh"):
        scaled = InputScaling.measure([{"image": sky_with_lens(0.0)}], kind)(sky_with_lens(0.0))
        assert torch.isfinite(scaled).all()
        # whitened over all orientations, of which these have one
        assert float(scaled.std()) == pytest.approx(1, abs=1e-3 if kind == "asinh" else 0.5)


def test_what_cannot_be_a_scaling_is_refused():
    with pytest.raises(DataError, match="every pixel has the same value"):
        InputScaling.measure([{"image": torch.zeros(4, 1, 8, 8)}])
    with pytest.raises(DataError, match="no train images"):
        InputScaling.measure([])
    with pytest.raises(UsageError, match="choose one of whitened, asinh, min-max"):
        InputScaling("log")
    with pytest.raises(UsageError, match="softening"):
        InputScaling.from_dict({"kind": "asinh", "gain": 2})
