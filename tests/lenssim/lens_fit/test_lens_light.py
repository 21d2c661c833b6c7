"""The light of the lens galaxy in the smooth fit."""

import math

import numpy as np
import pytest

from lenssim.lens_fit.first_light import first_light
from lenssim.lens_fit.image_fit import FitSettings, fit_image
from lenssim.lens_fit.parameters import FIT_NAMES, LIGHT_NAMES, PARAMETER_NAMES
from lenssim.lens_fit.vector import dark, from_system, names_of, physical, to_light, to_system
from lenssim.observation import pixel_noise
from lenssim.simulation import simulate
from lenssim.spec import load_spec

LIGHT = {"magnitude": 19.0, "r_sersic": 0.8, "n_sersic": 3.0, "e1": 0.1, "e2": -0.05}
SPEC = load_spec("B-wide", ["observation.refit_snr=none", f"lens.light={LIGHT}"])
SIMULATION = simulate(SPEC, "no_sub", 0, split="test")


def lit(multipoles):
    """The vector of the simulated lens, with its light."""
    system = SIMULATION.system
    light = [system.lens_x, system.lens_y, LIGHT["magnitude"]]
    light += [math.log(LIGHT["r_sersic"]), math.log(LIGHT["n_sersic"]), LIGHT["e1"], LIGHT["e2"]]
    return np.concatenate([from_system(system, multipoles=multipoles), light])


def test_lens_source_and_light_are_found_from_the_image_alone():
    fit = fit_image(SIMULATION.image, SPEC, psf_fwhm=SIMULATION.system.psf_fwhm)
    assert fit.converged
    assert fit.names == FIT_NAMES
    pulls = (fit.values - physical(lit(multipoles=True))) / fit.errors
    assert np.abs(pulls).max() < 4.0
    assert 0.3 < pulls.std() < 2.0
    freedom = SIMULATION.image.size - len(FIT_NAMES)
    assert abs(fit.reduced_chi_square - 1.0) < 5.0 * np.sqrt(2.0 / freedom)


def test_a_dark_lens_does_not_fit_an_image_with_its_light():
    fit = fit_image(
        SIMULATION.image,
        SPEC,
        psf_fwhm=SIMULATION.system.psf_fwhm,
        settings=FitSettings(lens_light=False, starts=1),
    )
    assert fit.names[-1] == "lens_m4_sin"
    assert fit.reduced_chi_square > 2.0


@pytest.mark.parametrize("multipoles", [True, False])
def test_vectors_with_light_are_taken_apart(multipoles):
    vector = lit(multipoles)
    assert names_of(len(vector))[-7:] == LIGHT_NAMES
    assert names_of(len(vector))[:15] == PARAMETER_NAMES
    np.testing.assert_array_equal(
        dark(vector), from_system(SIMULATION.system, multipoles=multipoles)
    )
    again = from_system(to_system(vector), multipoles=multipoles)
    np.testing.assert_allclose(again, dark(vector), atol=1e-12)
    light = to_light(vector)
    assert light.lens_theta_e == 0.0
    assert light.source_magnitude == LIGHT["magnitude"]
    assert light.source_r_sersic == pytest.approx(LIGHT["r_sersic"])
    assert to_light(dark(vector)) is None


def test_telescope_images_have_light_unless_something_else_is_said():
    plain = load_spec("B")
    assert not FitSettings().of(plain).lens_light
    assert FitSettings().of(SPEC).lens_light
    assert FitSettings().of(plain, is_telescope=True).lens_light
    assert not FitSettings(lens_light=False).of(SPEC, is_telescope=True).lens_light


def test_an_image_whose_middle_is_masked_is_kept_and_flagged():
    mask = np.ones((64, 64), bool)
    mask[:8, :8] = False
    fit = fit_image(SIMULATION.image, SPEC, mask=mask, settings=FitSettings(starts=1))
    assert fit.names == FIT_NAMES
    assert not fit.converged


def test_the_first_light_is_that_of_a_galaxy_behind_an_arc():
    """A round exponential galaxy of known flux, with an arc over a quarter of a ring."""
    scale, zero_point, flux = 0.1, 25.0, 500.0
    offset = (np.arange(64) - 31.5) * scale
    x, y = np.meshgrid(offset, offset)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)

    def galaxy(vector):
        size = math.exp(vector[3])
        around = np.hypot(x - vector[0], y - vector[1])
        shape = np.exp(-((around / size) ** math.exp(-vector[4])))
        return 10 ** (-0.4 * (vector[2] - zero_point)) * shape / shape.sum()

    truth = np.array([0.0, 0.0, zero_point - 2.5 * math.log10(flux), math.log(0.4), 0.0, 0.0, 0.0])
    arc = 3.0 * ((np.abs(radius - 1.2) < 0.15) & (np.abs(angle) < math.pi / 4))
    image = galaxy(truth) + arc
    variance = pixel_noise(SPEC.instrument).background_variance
    vector, rest = first_light(
        image, np.ones(image.shape, bool), variance, scale, zero_point, 0, galaxy
    )
    assert vector[2] == pytest.approx(truth[2], abs=0.1)
    assert vector[3] == pytest.approx(truth[3])
    assert np.hypot(vector[0], vector[1]) < scale
    assert np.corrcoef(rest.ravel(), arc.ravel())[0, 1] > 0.95
