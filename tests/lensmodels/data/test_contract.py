"""The physical contract: measured on the train split, met by its own images, broken by others.

Input scaling has constants from the images, which are kept and the same for every image.
"""

import json

import pytest
import torch

import lenssim
from lensmodels.data import DataSettings, ImageContract, InstrumentFacts, LensDataModule
from lensmodels.data.scaling import InputScaling, estimate_sky_noise, image_statistics
from lensmodels.errors import DataError, UsageError


def opened(url):
    module = LensDataModule(DataSettings(url=str(url), workers=0, cache="none"))
    module.setup()
    return module


def images_of(module):
    return torch.cat([batch["image"] for batch in module.stream("test", shuffle=False)])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    out = tmp_path_factory.mktemp("contract") / "B"
    lenssim.generate("B", out=out, train=60, test=100)
    return opened(out)


def statistics_that_depart(contract, images):
    """Statistics outside their limits in at least 9 of 10 images."""
    found = contract.departures(images)
    named = [{departure.statistic for departure in departures} for departures in found]
    return {
        name
        for name in contract.ranges
        if sum(name in names for names in named) >= 0.9 * len(images)
    }


def test_statistics_of_a_known_image():
    generator = torch.Generator().manual_seed(0)
    images = 0.2 + 0.05 * torch.randn(50, 1, 64, 64, generator=generator)
    images[:, :, 30:34, 30:34] += 3.0
    found = image_statistics(images)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(
        ("noise", "sky", "flux", "peak"), (50,)
    )
    assert found["noise"].mean() == pytest.approx(0.05, rel=0.01)
    assert found["sky"].mean() == pytest.approx(0.2, abs=0.002)
    assert found["flux"].mean() == pytest.approx(16 * 3.0, rel=0.05)
    assert found["peak"].mean() == pytest.approx(3.09, rel=0.02)


def test_the_contract_of_a_simulated_archive(home):
    contract = home.contract
    assert contract.unit == "e-/s"
    assert (contract.pixel_scale, contract.zero_point, contract.psf_fwhm) == (0.101, 25.72, 0.16)
    # sky 22.3 mag/arcsec^2 and four reads of 4.2 electrons in 2264 s give 0.0108 e-/s
    assert contract.sky_noise == pytest.approx(0.0108, rel=0.08)
    low, high = contract.ranges["noise"]
    assert low < contract.sky_noise < high


def test_at_most_one_in_a_hundred_home_images_departs(home):
    found = home.contract.departures(images_of(home))
    assert sum(map(bool, found)) <= 0.01 * len(found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda images: images / 3.1, {"noise", "peak"}),  # ADU/s
        (lambda images: images * 2264, {"noise", "sky", "flux", "peak"}),  # electrons
        (lambda images: images + 0.0113, {"sky"}),  # a pedestal of the noise of one pixel
        (lambda images: images + 10.0, {"sky"}),
        (torch.zeros_like, {"noise", "flux", "peak"}),
        (lambda images: 0.0113 * torch.randn(images.shape), {"flux", "peak"}),  # empty sky
        (lambda images: images.flip(0) * 0 + 1.0, {"noise", "sky", "flux", "peak"}),
    ],
)
def test_other_units_a_pedestal_and_blank_images_depart(home, change, expected):
    torch.manual_seed(0)
    assert statistics_that_depart(home.contract, change(images_of(home)[::5])) == expected


def test_images_of_another_instrument_depart(home, tmp_path):
    lenssim.generate("A", ["cdm"], out=tmp_path / "A", train=0, test=10)
    module = LensDataModule(
        DataSettings(url=str(tmp_path / "A"), workers=0, cache="none", classes=("cdm",))
    )
    module.setup()
    found = home.contract.departures(images_of(module))
    assert all(found)
    assert "sky level" in str(found[0][0])


def test_noise_free_training_images_make_a_contract_too():
    axis = torch.linspace(-1, 1, 32)
    spot = torch.exp(-(axis[:, None] ** 2 + axis**2) / 0.1)
    images = torch.linspace(1, 2, 40)[:, None, None, None] * spot
    contract = ImageContract.measure(InstrumentFacts(), [{"image": images}])
    assert not any(contract.departures(images))
    assert all(contract.departures(images + 0.01 * torch.randn(images.shape)))


def test_instruments_differ_by_more_than_rounding():
    euclid = InstrumentFacts(unit="e-/s", pixel_scale=0.101, zero_point=25.72, psf_fwhm=0.16)
    assert not euclid.differences(euclid.model_copy(update={"pixel_scale": 0.1}))
    assert not euclid.differences(InstrumentFacts())
    hubble = InstrumentFacts(unit="e-/s", pixel_scale=0.08, zero_point=25.96, psf_fwhm=0.08)
    assert euclid.differences(hubble) == [
        "pixel scale 0.08 instead of 0.101 arcsec",
        "zero point 25.96 instead of 25.72 mag",
        "PSF FWHM 0.08 instead of 0.16 arcsec",
    ]


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
