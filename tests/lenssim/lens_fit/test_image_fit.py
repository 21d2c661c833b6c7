from dataclasses import replace

import numpy as np
import pytest

from lenssim.errors import UsageError
from lenssim.lens_fit.coarse_search import coarse_starts
from lenssim.lens_fit.image_fit import FitSettings, fit_image
from lenssim.lens_fit.parameters import ALL_NAMES
from lenssim.lens_fit.vector import from_system, physical, to_system
from lenssim.observation import pixel_noise
from lenssim.simulation import observe, simulate
from lenssim.spec import load_spec

SPEC = load_spec("B-wide", ["observation.refit_snr=none"])
SIMULATION = simulate(SPEC, "no_sub", 0, split="test")
TRUTH = physical(from_system(SIMULATION.system, multipoles=True))


def test_fit_from_the_image_alone_finds_lens_and_source():
    fit = fit_image(SIMULATION.image, SPEC, psf_fwhm=SIMULATION.system.psf_fwhm)
    assert fit.converged
    assert fit.names == ALL_NAMES
    pulls = (fit.values - TRUTH) / fit.errors
    assert np.abs(pulls).max() < 4.0
    assert 0.3 < pulls.std() < 2.0
    freedom = SIMULATION.image.size - len(TRUTH)
    assert abs(fit.reduced_chi_square - 1.0) < 5.0 * np.sqrt(2.0 / freedom)
    assert fit.residual.dtype == np.float32
    squared = float(np.sum(fit.residual.astype(float) ** 2))
    assert squared == pytest.approx(fit.reduced_chi_square * freedom, rel=1e-5)


def test_free_multipoles_fit_better():
    system = replace(SIMULATION.system, lens_m4_amplitude=0.04)
    [simulation] = observe([system], SPEC, [np.random.default_rng(0)])
    without, free = (
        fit_image(
            simulation.image, SPEC, psf_fwhm=system.psf_fwhm, settings=FitSettings(multipoles)
        )
        for multipoles in (False, True)
    )
    assert len(without.values) == 15
    totals = [
        fit.reduced_chi_square * (simulation.image.size - len(fit.values))
        for fit in (without, free)
    ]
    assert totals[0] - totals[1] > 25.0  # four parameters of noise would be 4 +- 3


def test_image_without_a_lens_is_kept_and_flagged():
    noise = np.sqrt(pixel_noise(SPEC.instrument).background_variance)
    fit = fit_image(np.full((64, 64), -noise), SPEC)
    assert not fit.converged
    assert np.isnan(fit.values).all()
    np.testing.assert_allclose(fit.residual, -1.0, rtol=1e-6)


def test_image_of_another_instrument_is_refused():
    with pytest.raises(UsageError, match="32"):
        fit_image(np.zeros((32, 32)), SPEC)
    with pytest.raises(UsageError, match="finite"):
        fit_image(np.full((64, 64), np.nan), SPEC)


def test_the_image_of_the_caller_is_not_changed():
    """It may be the simulation's own, or mapped from a file."""
    image = SIMULATION.image.astype(np.float64)
    image.flags.writeable = False
    mask = np.zeros(image.shape, np.int8)
    mask[20:24, 20:24] = 1
    quick = FitSettings(multipoles=False, starts=1, max_iterations=1)
    fit = fit_image(image, SPEC, psf_fwhm=SIMULATION.system.psf_fwhm, mask=mask, settings=quick)
    assert not fit.residual[20:24, 20:24].any()
    np.testing.assert_array_equal(image, SIMULATION.image)


def test_more_parameters_than_pixels_are_refused():
    mask = np.ones((64, 64), bool)
    mask[:3, :5] = False
    with pytest.raises(UsageError, match="15 pixels of the image count, and the model has 19"):
        fit_image(SIMULATION.image, SPEC, mask=mask)


def test_vector_and_system_are_inverse():
    vector = from_system(SIMULATION.system, multipoles=True)
    again = from_system(to_system(vector), multipoles=True)
    np.testing.assert_allclose(again, vector, atol=1e-12)


def test_coarse_search_finds_the_ring():
    start, *_ = coarse_starts(
        SIMULATION.image.astype(float), pixel_noise(SPEC.instrument).background_variance, 0.1, 3
    )
    assert start.theta_e == pytest.approx(SIMULATION.system.lens_theta_e, rel=0.3)
    assert start.source_x == pytest.approx(SIMULATION.system.source_x, abs=0.3)
    assert start.source_y == pytest.approx(SIMULATION.system.source_y, abs=0.3)


@pytest.fixture(scope="module")
def sigma():
    """Noise of each pixel of the image, e-/s, as an RMS map has it."""
    noise = pixel_noise(SPEC.instrument)
    clean = np.maximum(SIMULATION.noise_free, 0)
    return np.sqrt(noise.background_variance + clean / noise.exposure_time)


def test_pixels_that_do_not_count_change_nothing(sigma):
    damaged, holed = SIMULATION.image.copy(), sigma.copy()
    damaged[:6, :6] += 100.0  # a ghost that a survey has masked
    holed[:6, :6] = np.nan
    fit = fit_image(damaged, SPEC, psf_fwhm=SIMULATION.system.psf_fwhm, noise=holed)
    assert fit.converged
    assert np.abs((fit.values - TRUTH) / fit.errors).max() < 5.0
    assert fit.reduced_chi_square == pytest.approx(1.0, abs=0.15)
    assert not fit.residual[:6, :6].any()
    masked = np.zeros(damaged.shape, bool)
    masked[:6, :6] = True
    by_mask = fit_image(
        damaged, SPEC, psf_fwhm=SIMULATION.system.psf_fwhm, noise=sigma, mask=masked
    )
    np.testing.assert_array_equal(by_mask.values, fit.values)


def test_noise_of_another_width_scales_errors_and_chi_square(sigma):
    own, doubled = (
        fit_image(
            SIMULATION.image,
            SPEC,
            psf_fwhm=SIMULATION.system.psf_fwhm,
            noise=factor * sigma,
            settings=FitSettings(starts=1),
        )
        for factor in (1, 2)
    )
    assert own.reduced_chi_square == pytest.approx(4 * doubled.reduced_chi_square, rel=0.01)
    np.testing.assert_allclose(doubled.errors, 2 * own.errors, rtol=0.1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"noise": np.ones((5, 5))}, "noise has another shape"),
        ({"mask": np.ones((5, 5), bool)}, "mask has another shape"),
        ({"noise": np.zeros((64, 64))}, "not above 0"),
        ({"mask": np.ones((64, 64), bool)}, "0 pixels of the image count"),
    ],
)
def test_noise_and_mask_must_be_of_the_image(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        fit_image(SIMULATION.image, SPEC, **given)
