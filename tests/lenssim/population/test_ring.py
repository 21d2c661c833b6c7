"""The ring's size does not tell the class: means over the ring of lenstronomy's deflections."""

from pathlib import Path

import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel

from lenssim.errors import SpecError
from lenssim.population import draw_system, random_stream
from lenssim.rendering.reference import lens_components
from lenssim.simulation import smooth_system
from lenssim.spec import CLASSES, load_spec

OLD = Path(__file__).parents[1] / "specifications_1_0_0"


def ring_mean(system, radius, samples=200_000):
    """Mean radial deflection over a circle about the lens, by lenstronomy at many angles."""
    models, parameters, settings = lens_components(system, None)
    angle = (np.arange(samples) + 0.5) * 2 * np.pi / samples
    x = system.lens_x + radius * np.cos(angle)
    y = system.lens_y + radius * np.sin(angle)
    model = LensModel(models, profile_kwargs_list=settings)
    alpha_x, alpha_y = model.alpha(x, y, parameters)
    return np.mean(alpha_x * np.cos(angle) + alpha_y * np.sin(angle))


def drawn(spec, name, index):
    stream = random_stream(0, spec.name, "train", name, index, "population")
    return draw_system(spec, name, stream, lambda system, spec: (10.0, 100.0))


def excess(system, samples=200_000):
    """How much larger the ring is than that of the lens without substructure, relative."""
    theta_0 = system.smooth_theta_e
    mean = ring_mean(system, theta_0, samples)
    return mean / ring_mean(smooth_system(system), theta_0, 4000) - 1


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("model", ["A", "B"])
def test_ring_of_every_class_is_that_of_the_smooth_lens(model, name):
    spec = load_spec(model)
    for index in range(2 if name == "cdm" else 4):
        system = drawn(spec, name, index)
        assert abs(excess(system)) < 1e-5
        assert system.ring_radius == system.smooth_theta_e == pytest.approx(1.6645, abs=1e-4)
        assert (system.lens_theta_e == system.smooth_theta_e) == (name == "no_sub")


@pytest.mark.parametrize("name", ["axion", "cdm"])
def test_ring_of_a_lens_that_varies_is_that_of_the_smooth_lens(name):
    spec = load_spec("B-wide", ["substructure.f_sub=0.02"])
    system = drawn(spec, name, 0)
    assert (system.lens_slope, system.lens_x, system.lens_e1) != (2.0, 0.0, 0.0)
    # truncated halos are smooth on the scale of the samples, a line is not
    assert abs(excess(system, 200_000 if name == "axion" else 20_000)) < 1e-5
    assert system.lens_theta_e < 0.999 * system.smooth_theta_e


def test_rings_of_1_0_0_were_larger_by_what_was_found():
    spec = load_spec(OLD / "B.yaml")
    for index in range(3):
        system = drawn(spec, "axion", index)
        measured = system.ring_radius / system.smooth_theta_e - 1
        assert measured == pytest.approx(excess(system), abs=1e-5)
    excesses = [
        s.ring_radius / s.smooth_theta_e - 1 for s in (drawn(spec, "axion", i) for i in range(200))
    ]
    assert np.median(excesses) == pytest.approx(0.0049, abs=0.0002)


def test_two_rules_for_the_halo_are_refused():
    with pytest.raises(SpecError, match="ring_neutral and within_einstein_mass are two rules"):
        load_spec("B", ["substructure.within_einstein_mass=true"])
