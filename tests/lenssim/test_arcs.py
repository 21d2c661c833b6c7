"""The coarse measurement that a selection decides by."""

import numpy as np
import pytest

from lenssim.arcs import brightest_pixels_snr, measure_arc
from lenssim.rendering import PixelNoise
from lenssim.simulation import render, simulate, simulate_many
from lenssim.spec import load_spec

SMALL = ["instrument.num_pix=40", "selection.theta_0=[0.6, 1.2]"]


def test_snr_is_that_of_the_best_number_of_pixels():
    generator = np.random.default_rng(0)
    arc = generator.exponential(1.0, (6, 6))
    noise = PixelNoise(0.3, 100.0)
    variance = 0.3 + arc / 100.0
    order = np.argsort(-(arc / np.sqrt(variance)), axis=None)
    expected = max(
        arc.ravel()[order[:k]].sum() / np.sqrt(variance.ravel()[order[:k]].sum())
        for k in range(1, 37)
    )
    assert brightest_pixels_snr(arc, arc, noise) == pytest.approx(expected, rel=1e-12)


def test_coarse_numbers_are_those_of_the_image():
    spec = load_spec("A-wide", SMALL)
    system = simulate(spec, "no_sub", 0).system
    image = render(system, spec)
    unlensed = 10 ** (-0.4 * (system.source_magnitude - spec.instrument.zero_point))
    magnification, snr = measure_arc(system, spec)
    assert magnification == pytest.approx(image.sum() / unlensed, rel=0.05)
    assert (magnification, snr) == (system.magnification, system.arc_snr)
    bright = measure_arc(system, load_spec("A-wide", [*SMALL, "instrument.read_noise=400"]))
    assert bright[0] == magnification
    assert bright[1] < snr


def test_images_are_the_same_in_any_order_and_number():
    spec = load_spec("B-wide", SMALL)
    together = simulate_many(spec, 0, "train", "cdm", [0, 1])
    alone = simulate(spec, "cdm", 1)
    np.testing.assert_array_equal(together[1].image, alone.image)
    assert together[1].system.tries == alone.system.tries
