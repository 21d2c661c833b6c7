"""The evidence of substructure in a residual, by templates around a lens."""

import math

import numpy as np
import pytest

from lenssim import load_spec, random_stream
from lenssim.lens_fit.vector import from_system, physical
from lenssim.population.draw import draw_lens, populated
from lenssim.simulation import measure_arc, smooth_system


@pytest.fixture(scope="module")
def ratio(load):
    return load("evidence_ratio")


@pytest.fixture(scope="module")
def of_fits(load, ratio):
    return load("evidence_of_fits")


def test_evidence_of_one_template_is_the_likelihood_ratio(ratio):
    signal = np.array([[2.0, 0.0, 1.0]])
    data = np.array([[1.0, 5.0, 0.5], [0.0, 0.0, 0.0]])
    found = ratio.Templates(signal).log_evidence(data)
    # along the signal, whose length is sqrt(5), lies (d s) / |s|
    along = (data @ signal[0]) ** 2 / 5.0
    alike = np.exp(data @ signal[0] - 2.5)
    normal = np.exp(0.5 * along * 5.0 / 6.0) / math.sqrt(6.0)
    assert found == pytest.approx(np.log(0.5 * (alike + normal)))


def test_evidence_is_one_on_average_where_there_is_noise_alone(ratio):
    generator = np.random.default_rng(3)
    templates = ratio.Templates(0.3 * generator.standard_normal((5, 8)))
    evidence = np.exp(templates.log_evidence(generator.standard_normal((200_000, 8))))
    error = evidence.std() / math.sqrt(len(evidence))
    assert abs(evidence.mean() - 1.0) < 4 * error < 0.02


def test_the_lens_of_a_perfect_fit_is_the_one_that_was_drawn(of_fits):
    spec = load_spec("B-wide")
    stream = random_stream(0, spec.name, "test", "no_sub", 0, "population")
    lens, f_sub = draw_lens(spec, stream, measure_arc, "test")
    system = smooth_system(populated(spec, lens, f_sub, "no_sub", stream))
    row = {name: getattr(system, name) for name in of_fits.KNOWN}
    values = physical(from_system(system, multipoles=True))
    fitted = of_fits.fitted_lens(values, row, spec)
    assert fitted.total_mass == pytest.approx(lens.total_mass, rel=1e-9)
    assert fitted.theta_0 == pytest.approx(lens.theta_0, rel=1e-9)
    # the angle of a multipole repeats, so that components are compared
    assert physical(from_system(fitted.system(), multipoles=True)) == pytest.approx(values)
    for name in of_fits.KNOWN:
        assert fitted.fields[name] == lens.fields[name]


def test_a_residual_with_a_template_in_it_is_told_from_noise(of_fits, ratio):
    spec = load_spec("B-wide")
    stream = random_stream(0, spec.name, "test", "no_sub", 1, "population")
    lens, f_sub = draw_lens(spec, stream, measure_arc, "test")
    system = smooth_system(populated(spec, lens, f_sub, "no_sub", stream))
    around = ratio.SmoothImage(lens.system(), spec)
    strong = load_spec("B-wide", ["substructure.f_sub=0.03"])
    generator = np.random.default_rng(5)
    signal = ratio.draw_signals(lens, strong, "cdm", 1, generator, around)[0]
    noise = generator.standard_normal(signal.size)
    row = {name: getattr(system, name) for name in of_fits.KNOWN}
    values = physical(from_system(system, multipoles=True))
    found = [
        of_fits.log_evidences(
            of_fits.Observed((1, 2), residual, values, row),
            spec=strong,
            templates=[4, 8],
            signals=["cdm"],
        )
        for residual in (noise, noise + 3.0 * signal)
    ]
    assert found[1][8][0] > found[0][8][0] + 10.0
    assert found[0][8][0] < 1.0
