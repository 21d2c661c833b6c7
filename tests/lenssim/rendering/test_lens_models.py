"""The parts of a free lens: each against lenstronomy at equal sampling, and to the tolerance."""

from dataclasses import replace

import numpy as np
import pytest

from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import draw_system, random_stream
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import render, smooth_system
from lenssim.spec import Sampling, load_spec

# at equal sampling both engines apply the PSF to pixel fluxes
SPEC = load_spec("B", ["observation={noise: false}", "instrument.psf_sampling=pixel"])

LENSES = {
    "centre": {"lens_x": 0.07, "lens_y": -0.04},
    "elliptical and off centre": {"lens_x": 0.07, "lens_y": 0.02, "lens_e1": 0.1, "lens_e2": -0.2},
    "steep": {"lens_slope": 2.15},
    "shallow ellipse": {"lens_slope": 1.85, "lens_e1": -0.15, "lens_e2": 0.1, "lens_x": -0.08},
    "shear": {"lens_slope": 2.05, "lens_gamma1": 0.05, "lens_gamma2": -0.08, "lens_y": 0.05},
    "m = 3": {"lens_m3_amplitude": 0.02, "lens_m3_angle": 0.4, "lens_x": 0.03},
    "m = 4": {"lens_m4_amplitude": -0.015, "lens_m4_angle": 0.9, "lens_y": 0.03},
    "light": {"lens_light_magnitude": 19.0, "lens_light_r_sersic": 0.8, "lens_light_e1": 0.1},
}


def system_of(name="no_sub", **changes):
    stream = random_stream(2, SPEC.name, "test", name, 0, "population")
    return replace(draw_system(SPEC, name, stream), **changes)


def with_halos(**changes):
    system = system_of("cdm", **changes)
    generator = np.random.default_rng(1)
    count = len(system.subhalo_x)
    r_s = 0.2 * (system.subhalo_mass / 1e9) ** 0.4
    return replace(system, subhalo_r_s=r_s, subhalo_truncation=generator.uniform(3.0, 10.0, count))


def assert_like_lenstronomy(system):
    reference = lenstronomy_image(system, SPEC, 2)
    ours = render(system, SPEC, sampling=Sampling(subsamples=2))
    assert np.abs(ours - reference).max() <= 1e-6 * reference.max()


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES.keys())
def test_each_part_gives_lenstronomys_image(lens):
    assert_like_lenstronomy(system_of(**lens))


def test_truncated_halos_give_lenstronomys_image():
    assert_like_lenstronomy(with_halos())


def test_everything_at_once_gives_lenstronomys_image():
    changes = {key: value for lens in LENSES.values() for key, value in lens.items()}
    assert_like_lenstronomy(with_halos(**changes))


def test_vortex_in_a_free_lens_gives_lenstronomys_image():
    assert_like_lenstronomy(system_of("axion", **LENSES["shallow ellipse"]))


@pytest.mark.parametrize("lens", ["shallow ellipse", "light"])
def test_free_lens_with_halos_is_rendered_to_the_tolerance(lens):
    system = with_halos(**LENSES[lens])
    converged = render(system, SPEC, sampling=Sampling(subsamples=48))
    sigma = noise_sigma(converged, pixel_noise(SPEC.instrument))
    assert np.linalg.norm((render(system, SPEC) - converged) / sigma) < 0.5


def test_smooth_twin_of_halos_has_none():
    twin = smooth_system(with_halos())
    assert twin.subhalo_r_s.size == twin.subhalo_truncation.size == twin.subhalo_x.size == 0
