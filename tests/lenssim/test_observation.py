"""PSF and noise against scipy and lenstronomy."""

import numpy as np
import pytest
from lenstronomy.SimulationAPI.data_api import DataAPI
from scipy import ndimage

from lenssim.observation import (
    add_noise,
    convolve,
    noise_sigma,
    pixel_noise,
    psf_kernel,
    substructure_snr,
)
from lenssim.rendering.reference import lenstronomy_image, single_band
from lenssim.simulation import render, simulate
from lenssim.spec import load_spec


def lenstronomy_data(instrument):
    return DataAPI(num_pix=instrument.num_pix, **single_band(instrument))


@pytest.mark.parametrize("model", ["A", "B"])
def test_background_is_lenstronomys(model):
    instrument = load_spec(model).instrument
    background = pixel_noise(instrument).background_variance ** 0.5
    assert background == pytest.approx(lenstronomy_data(instrument).background_noise, rel=1e-12)


@pytest.mark.parametrize("model", ["A", "B"])
def test_sigma_is_lenstronomys(model):
    instrument = load_spec(model).instrument
    image = np.random.default_rng(0).uniform(-0.1, 20, (64, 64))
    theirs = lenstronomy_data(instrument).estimate_noise(image)
    np.testing.assert_allclose(noise_sigma(image, pixel_noise(instrument)), theirs, rtol=1e-12)


@pytest.mark.parametrize("model", ["A", "B"])
@pytest.mark.parametrize("shape", [(64, 64), (5, 9)])
def test_convolution_is_scipys(model, shape):
    instrument = load_spec(model).instrument
    fluxes = np.random.default_rng(0).random((3, *shape))
    sigma = instrument.psf_fwhm / np.sqrt(8 * np.log(2)) / instrument.pixel_scale
    theirs = ndimage.gaussian_filter(
        fluxes, sigma, mode="nearest", truncate=instrument.psf_truncation, axes=(1, 2)
    )
    np.testing.assert_allclose(convolve(fluxes, psf_kernel(instrument)), theirs, rtol=1e-12)


def test_lenstronomys_own_convolution_gives_the_same_image():
    spec = load_spec("B")
    system = simulate(spec, "cdm", 0).system
    whole = lenstronomy_image(system, spec, 2)
    bare = lenstronomy_image(system, spec, 2, convolved=False)
    [ours] = convolve(bare[None], psf_kernel(spec.instrument))
    np.testing.assert_allclose(ours, whole, rtol=1e-12)


def test_noise_has_lenstronomys_mean_and_variance():
    spec = load_spec("B")
    noise = pixel_noise(spec.instrument)
    image = simulate(spec, "no_sub", 0).noise_free[24:40, 24:40]
    expected = lenstronomy_data(spec.instrument).estimate_noise(image)
    generator = np.random.default_rng(5)
    draws = 20_000
    first, second = np.zeros_like(image), np.zeros_like(image)
    for _ in range(draws):
        [noisy] = add_noise(image[None], noise, [generator])
        deviation = (noisy - image) / expected
        first += deviation
        second += deviation**2
    mean, variance = first / draws, second / draws
    # 1% is 1.4 standard errors of a mean and one of a variance over 20,000 draws, a pixel; over
    # the pixels together it is far outside
    assert abs(mean.mean()) < 0.01
    assert abs(variance.mean() - 1) < 0.01
    assert np.abs(mean).max() < 5 / np.sqrt(draws)
    assert np.abs(variance - 1).max() < 5 * np.sqrt(2 / draws)


def test_snr_of_one_pixel():
    noise = pixel_noise(load_spec("B").instrument)
    images = np.zeros((2, 4, 4))
    smooth = images.copy()
    smooth[1, 1, 2] = 3 * noise.background_variance**0.5
    assert substructure_snr(images, smooth, noise) == pytest.approx([0.0, 3.0])


@pytest.mark.parametrize(("model", "low", "high"), [("A", 31, 327), ("B", 14, 151)])
def test_snr_of_subhalos_is_that_of_the_physics(model, low, high):
    # the published percentiles are after refitting source and lens, which can only lower it
    spec = load_spec(model)
    values = [simulate(spec, "cdm", index).substructure_snr for index in range(60)]
    assert np.quantile(values, 0.05) > low
    assert np.quantile(values, 0.95) < 2 * high


def test_flux_factor_multiplies_the_image():
    spec = load_spec("B-deeplense")
    system = simulate(spec, "no_sub", 0).system
    single = lenstronomy_image(system, spec, 1)
    np.testing.assert_allclose(render(system, spec), 2 * single, rtol=1e-8)
