"""Sources smaller than a pixel: no light falls between the samples.

The small version of `python benchmarks/compact_sources.py`, with the same two checks that share no
code with the engine: a brute-force integration in plain numpy, and the flux that a lens magnifies.
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
from lenssim.spec import load_spec

_FILE = Path(__file__).parents[3] / "benchmarks" / "brute_force.py"
_SPEC = importlib.util.spec_from_file_location("brute_force", _FILE)
brute_force = importlib.util.module_from_spec(_SPEC)
sys.modules["brute_force"] = brute_force
_SPEC.loader.exec_module(brute_force)


def systems(name, spec, count):
    return [
        draw_system(spec, name, random_stream(0, spec.name, "train", name, index, "population"))
        for index in range(count)
    ]


@pytest.mark.parametrize(("r_sersic", "n_sersic"), [(0.01, 0.3), (0.01, 4.0), (0.05, 1.0)])
def test_a_compact_source_is_integrated_to_the_tolerance(r_sersic, n_sersic):
    sets = [f"source.r_sersic={r_sersic}", f"source.n_sersic={n_sersic}"]
    spec = load_spec("B", sets)
    noise = observation.pixel_noise(spec.instrument)
    drawn = systems("no_sub", spec, 3)
    images = engine("fast")(drawn, spec, spec.sampling, noise)
    for system, image in zip(drawn, images, strict=True):
        truth = brute_force.BruteForce(system, spec.instrument.zero_point).pixel_fluxes(
            spec.instrument.num_pix, spec.instrument.pixel_scale, 1e-5
        )
        sigma = np.sqrt(noise.background_variance + truth / noise.exposure_time)
        assert np.linalg.norm((image - truth) / sigma) < 0.5


@pytest.mark.parametrize("n_sersic", [0.3, 1.0, 4.0])
def test_flux_is_that_which_the_lens_magnifies(n_sersic):
    """An isothermal sphere magnifies a point at beta by 2 theta_E / beta within theta_E."""
    spec = load_spec("B", ["source.r_sersic=0.01", f"source.n_sersic={n_sersic}"])
    system = replace(
        systems("no_sub", spec, 1)[0], source_x=0.21, source_y=-0.13, source_e1=0.0, source_e2=0.0
    )
    noise = observation.pixel_noise(spec.instrument)
    [image] = engine("fast")([system], spec, spec.sampling, noise)
    # the source in rings around its own centre, which is 25 times its size from the lens
    radius = np.geomspace(1e-5, 0.2, 4000)
    angle = 2 * np.pi * (np.arange(256) + 0.5) / 256
    beta = np.hypot(0.21 + radius[:, None] * np.cos(angle), -0.13 + radius[:, None] * np.sin(angle))
    magnification = (2 * system.lens_theta_e / beta).mean(axis=1)
    lensed = brute_force.BruteForce(system, spec.instrument.zero_point)
    profile = lensed.brightness(radius) * radius
    expected = 10 ** (0.4 * (spec.instrument.zero_point - system.source_magnitude)) * np.trapezoid(
        profile * magnification, radius
    )
    assert image.sum() == pytest.approx(expected / np.trapezoid(profile, radius), rel=3e-3)
