"""Integration over pixels: equal physics at equal sampling, and adaptive accuracy."""

import numpy as np
import pytest

from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import draw_system, random_stream
from lenssim.rendering import quadrature
from lenssim.rendering.fast import ray_tracer
from lenssim.rendering.reference import lenstronomy_image
from lenssim.rendering.singularities import singular_pixels
from lenssim.simulation import render
from lenssim.spec import CLASSES, Sampling, load_spec

MODELS = ("A", "B", "A-deeplense", "B-deeplense")


def system_of(spec, name, index):
    return draw_system(spec, name, random_stream(2, spec.name, "test", name, index, "population"))


def with_sampling(spec, **sampling):
    return spec.model_copy(update={"sampling": Sampling(**sampling)})


def plain(model, *overrides):
    """Without noise, and with the PSF applied to pixel fluxes: the integral over pixels alone."""
    fixed = ["observation={noise: false}", "instrument.psf_sampling=pixel"]
    return load_spec(model, [*fixed, *overrides])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("subsamples", [1, 3])
def test_equal_sampling_gives_lenstronomys_image(model, name, subsamples):
    spec = plain(model)
    regular = with_sampling(spec, subsamples=subsamples)
    for index in range(3):
        system = system_of(spec, name, index)
        reference = lenstronomy_image(system, spec, subsamples)
        difference = np.abs(render(system, regular) - reference).max()
        assert difference <= 1e-6 * reference.max()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CLASSES)
def test_adaptive_error_is_below_the_noise(model, name):
    # the small version of benchmarks/accuracy.py
    spec = with_sampling(plain(model), tolerance=load_spec("A").sampling.tolerance)
    noise = pixel_noise(spec.instrument)
    errors = []
    for index in range(8):
        system = system_of(spec, name, index)
        converged = render(system, with_sampling(spec, subsamples=48))
        error = (render(system, spec) - converged) / noise_sigma(converged, noise)
        errors.append(np.linalg.norm(error))
    assert np.median(errors) <= 0.5
    assert max(errors) <= 2.0


@pytest.mark.parametrize(
    ("model", "name", "systems"),
    # lenstronomy has not converged at 16x16 for the subhalos of A, and takes seconds for those of B
    [("A", "axion", 3), ("A", "no_sub", 3), ("B", "axion", 3), ("B", "cdm", 2), ("B", "no_sub", 3)],
)
def test_adaptive_error_against_lenstronomy_is_below_the_noise(model, name, systems):
    spec = plain(model)
    noise = pixel_noise(spec.instrument)
    errors = []
    for index in range(systems):
        system = system_of(spec, name, index)
        reference = lenstronomy_image(system, spec, 16)
        error = (render(system, spec) - reference) / noise_sigma(reference, noise)
        errors.append(np.linalg.norm(error))
    assert np.median(errors) <= 0.5


@pytest.mark.parametrize("name", CLASSES)
def test_error_falls_with_the_tolerance(name):
    spec = plain("B")
    noise = pixel_noise(spec.instrument)
    systems = [system_of(spec, name, index) for index in range(6)]
    exact = [render(system, with_sampling(spec, tolerance=1e-4)) for system in systems]
    medians = []
    for tolerance in (0.1, 0.01, 0.001):
        errors = [
            np.linalg.norm(
                (render(system, with_sampling(spec, tolerance=tolerance)) - truth)
                / noise_sigma(truth, noise)
            )
            for system, truth in zip(systems, exact, strict=True)
        ]
        medians.append(np.median(errors))
    assert medians[0] > 3 * medians[1] > 9 * medians[2]


def test_adaptivity_saves_rays():
    spec = load_spec("B")
    noise = pixel_noise(spec.instrument)
    instrument = spec.instrument
    for name, rays_a_pixel in (("no_sub", 8), ("axion", 14), ("cdm", 20)):
        tracer = ray_tracer(system_of(spec, name, 0), spec)
        _, evaluations = quadrature.adaptive_pixel_fluxes(
            tracer, instrument.num_pix, instrument.pixel_scale, 0.01, *noise
        )
        assert evaluations < rays_a_pixel * instrument.num_pix**2


def test_rotating_the_lens_by_a_quarter_turn_rotates_the_image():
    spec = plain("B", "source.e1=0.0", "source.e2=0.0")
    system = system_of(spec, "cdm", 1)
    turned = type(system)(
        **{
            **vars(system),
            "source_x": -system.source_y,
            "source_y": system.source_x,
            "subhalo_x": -system.subhalo_y,
            "subhalo_y": system.subhalo_x,
        }
    )
    image = render(system, spec)
    sigma = noise_sigma(image, pixel_noise(spec.instrument))
    back = np.rot90(render(turned, spec), 1)  # rows rise with y, so this turns clockwise
    assert np.linalg.norm((back - image) / sigma) < 0.5


def test_a_long_vortex_far_from_the_centre_is_marked_all_along():
    # the line y = x / 2, which crosses the whole image
    angle = np.arctan(0.5)
    places = ["substructure.axion.x=10.0", "substructure.axion.y=5.0"]
    mass = ["substructure.axion.axion_mass=1e-25", f"substructure.axion.angle={angle}"]
    spec = plain("B", *places, *mass)
    num_pix, pixel_scale = spec.instrument.num_pix, spec.instrument.pixel_scale
    tracer = ray_tracer(system_of(spec, "axion", 0), spec)
    marked = singular_pixels(tracer, num_pix, pixel_scale)
    columns = np.arange(num_pix)
    rows = np.floor((columns - 0.5 * (num_pix - 1)) / 2 + 0.5 * num_pix).astype(int)
    assert marked[rows, columns].all()
    assert marked.mean() < 0.2


@pytest.mark.parametrize("num_pix", [9, 20, 33])
def test_image_sizes_that_fill_no_tile(num_pix):
    spec = plain("B", f"instrument.num_pix={num_pix}", "instrument.pixel_scale=0.3")
    system = system_of(spec, "cdm", 0)
    regular = with_sampling(spec, subsamples=2)
    reference = lenstronomy_image(system, spec, 2)
    assert np.abs(render(system, regular) - reference).max() <= 1e-6 * reference.max()
    assert np.isfinite(render(system, spec)).all()


def test_a_mass_right_on_a_pixel_centre_leaves_no_nan():
    spec = plain("B")
    system = system_of(spec, "cdm", 0)
    scale = spec.instrument.pixel_scale
    system.subhalo_x[0], system.subhalo_y[0] = 16.5 * scale, 0.5 * scale
    assert np.isfinite(render(system, spec)).all()
