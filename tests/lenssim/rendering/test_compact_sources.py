"""Sources smaller than a pixel: no light falls between the samples.

The small version of `python benchmarks/compact_sources.py`, with two checks that share no code
with the engine: a brute-force integration in plain numpy, and the flux that a lens magnifies.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenssim import observation
from lenssim.population import draw_system, random_stream
from lenssim.rendering import engine
from lenssim.rendering.optics import point_spreads
from lenssim.rendering.psf_convolution import MOMENTS, convolve_moments, reach
from lenssim.simulation import render
from lenssim.spec import Sampling, load_spec

_FILE = Path(__file__).parents[3] / "benchmarks" / "brute_force.py"
_SPEC = importlib.util.spec_from_file_location("brute_force", _FILE)
brute_force = importlib.util.module_from_spec(_SPEC)
sys.modules["brute_force"] = brute_force
_SPEC.loader.exec_module(brute_force)


def draw(spec, name, index):
    return draw_system(spec, name, random_stream(0, spec.name, "train", name, index, "population"))


def true_fluxes(spec, system):
    lensed = brute_force.BruteForce(system, spec.instrument.zero_point)
    return lensed.pixel_fluxes(spec.instrument.num_pix, spec.instrument.pixel_scale, 1e-5)


def error(spec, system, truth):
    """Root-sum-square over the image, in units of the noise."""
    noise = observation.pixel_noise(spec.instrument)
    [image] = engine("fast")([system], spec, spec.sampling, noise)
    return np.linalg.norm((image - truth) / observation.noise_sigma(truth, noise))


@pytest.mark.parametrize(
    ("model", "name", "index", "r_sersic", "n_sersic", "others"),
    [
        ("B", "no_sub", 1, 0.01, 0.3, []),  # 58% of the flux fell between the samples
        ("B", "no_sub", 7, 0.01, 0.5, []),
        ("B", "no_sub", 6, 0.05, 1.0, []),
        ("B", "no_sub", 8, 0.05, 4.0, []),
        ("A", "no_sub", 11, 0.01, 8.0, []),
        ("B", "axion", 0, 0.01, 0.3, []),  # an image in the strip that the vortex line cuts off
        ("B", "axion", 1, 0.01, 4.0, []),  # a cusp at the edge of a pixel
        ("B", "cdm", 1, 0.01, 0.3, ["substructure.cdm.mass_min=3e8"]),  # images beside subhalos
        ("A", "cdm", 2, 0.25, 0.3, ["substructure.cdm.mass_min=3e8"]),
        ("B", "no_sub", 2, 0.01, 1.0, ["source.x=1.5"]),
        ("B", "no_sub", 3, 0.01, 8.0, ["instrument.pixel_scale=1.0", "instrument.num_pix=8"]),
    ],
)
def test_compact_sources_are_integrated_to_the_tolerance(
    model, name, index, r_sersic, n_sersic, others
):
    source = [f"source.r_sersic={r_sersic}", f"source.n_sersic={n_sersic}"]
    spec = load_spec(model, [*source, *others])
    system = draw(spec, name, index)
    assert error(spec, system, true_fluxes(spec, system)) < 0.25


def test_compact_source_behind_the_light_of_a_free_lens_is_integrated_to_the_tolerance():
    spec = load_spec("B", ["source.r_sersic=0.01", "source.n_sersic=0.3", "source.magnitude=22"])
    lens = {"lens_x": 0.07, "lens_y": -0.04}
    light = {"magnitude": 18.0, "r_sersic": 0.6, "n_sersic": 4.0, "e1": 0.1, "e2": -0.05}
    system = replace(
        draw(spec, "no_sub", 1), **lens, **{f"lens_light_{key}": light[key] for key in light}
    )
    # light that no lens deflects is that of a source behind a lens without mass
    unlensed = replace(
        draw(spec, "no_sub", 1),
        lens_theta_e=0.0,
        source_x=lens["lens_x"],
        source_y=lens["lens_y"],
        **{f"source_{key}": light[key] for key in light},
    )
    truth = true_fluxes(spec, system) + true_fluxes(spec, unlensed)
    assert error(spec, system, truth) < 0.25


@pytest.mark.parametrize("n_sersic", [0.3, 1.0, 4.0])
def test_flux_is_that_which_the_lens_magnifies(n_sersic):
    """An isothermal sphere magnifies a point at beta by 2 theta_E / beta within theta_E."""
    spec = load_spec("B", ["source.r_sersic=0.01", f"source.n_sersic={n_sersic}"])
    system = replace(
        draw(spec, "no_sub", 0), source_x=0.21, source_y=-0.13, source_e1=0.0, source_e2=0.0
    )
    noise = observation.pixel_noise(spec.instrument)
    [image] = engine("fast")([system], spec, spec.sampling, noise)
    # the source in rings around its own centre, of which all but 1e-5 lies within theta_E
    radius = np.geomspace(1e-6, 1.3, 3000)
    angle = 2 * np.pi * (np.arange(2000) + 0.5) / 2000
    beta = np.hypot(0.21 + radius[:, None] * np.cos(angle), -0.13 + radius[:, None] * np.sin(angle))
    magnification = (2 * system.lens_theta_e / beta).mean(axis=1)
    brightness = brute_force.BruteForce(system, spec.instrument.zero_point).brightness(radius)
    rings = 2 * np.pi * radius * brightness * magnification
    assert image.sum() == pytest.approx(np.trapezoid(rings, radius), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "index", "r_sersic", "n_sersic"),
    [("B", 1, 0.01, 0.3), ("B", 7, 0.01, 0.5), ("A", 1, 0.02, 1.0)],
)
def test_the_psf_of_a_compact_source_is_resolved(model, index, r_sersic, n_sersic):
    spec = load_spec(model, [f"source.r_sersic={r_sersic}", f"source.n_sersic={n_sersic}"])
    system = draw(spec, "no_sub", index)
    fine = render(system, spec, sampling=Sampling(subsamples=48))
    error = render(system, spec) - fine
    error /= observation.noise_sigma(fine, observation.pixel_noise(spec.instrument))
    assert np.linalg.norm(error) < 0.5


@pytest.mark.parametrize(
    ("model", "r_sersic", "n_sersic"),
    [("B", 0.05, 4.0), ("B", 0.03, 1.0), ("A", 0.1, 4.0), ("A", 0.03, 1.0)],
)
def test_the_psf_of_the_light_of_a_compact_lens_is_resolved(model, r_sersic, n_sersic):
    """It was off by 1.9, 3.2, 13 and 20 sigma."""
    spec = load_spec(model)
    spec = spec.model_copy(
        update={"instrument": spec.instrument.model_copy(update={"num_pix": 12})}
    )
    light = {"magnitude": 18.0, "r_sersic": r_sersic, "n_sersic": n_sersic, "e1": 0.1, "e2": -0.05}
    system = replace(
        draw(load_spec(model), "no_sub", 0),
        lens_x=0.03,
        lens_y=-0.04,
        source_magnitude=40.0,
        **{f"lens_light_{key}": value for key, value in light.items()},
    )
    unlensed = replace(
        system,
        lens_theta_e=0.0,
        source_x=0.03,
        source_y=-0.04,
        **{f"source_{key}": value for key, value in light.items()},
    )
    [psf] = point_spreads(spec.instrument, [system])
    num_pix, pixel_scale = 12, spec.instrument.pixel_scale
    side = num_pix + 2 * reach(psf, pixel_scale)
    lensed = brute_force.BruteForce(unlensed, spec.instrument.zero_point)

    def with_light_at_centres(fine):
        fluxes = lensed.pixel_fluxes(side * fine, pixel_scale / fine, 1e-6)
        moments = np.zeros((MOMENTS, fine, fine, side, side))
        moments[0] = fluxes.reshape(side, fine, side, fine).transpose(1, 3, 0, 2)
        return convolve_moments(moments, psf, num_pix, pixel_scale)

    # light at the centres of cells errs by the square of their size: 0.4 sigma with 32 in A
    truth = (4.0 * with_light_at_centres(32) - with_light_at_centres(16)) / 3.0
    difference = render(system, spec) - truth
    difference /= observation.noise_sigma(truth, observation.pixel_noise(spec.instrument))
    assert np.linalg.norm(difference) < 0.5
