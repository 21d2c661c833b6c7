"""The PSF of a telescope image: the area of its pixels is in it once."""

import numpy as np
import pytest
from scipy.special import erf

from lenssim.lens_fit.image_fit import FitSettings, fit_image
from lenssim.lens_fit.measured_psf import pixel_psf
from lenssim.rendering.point_spread import Gaussian
from lenssim.simulation import simulate
from lenssim.spec import load_spec

PIXEL_SCALE = 0.1


def over_pixels(gaussian, side=41):
    """A star in the middle of a pixel: the Gaussian integrated over each pixel."""
    edges = (np.arange(side + 1) - 0.5 * side) * PIXEL_SCALE
    along = np.diff(0.5 * erf(edges / (gaussian.sigma * np.sqrt(2))))
    return np.outer(along, along)


def test_the_pixel_is_divided_out_of_the_transfer():
    gaussian = Gaussian(0.35)
    psf = pixel_psf(over_pixels(gaussian), PIXEL_SCALE)
    k = np.linspace(-25, 25, 11)
    np.testing.assert_allclose(psf.transfer(k, k), gaussian.transfer(k, k), atol=2e-3)


def test_nothing_is_left_beyond_the_bandwidth():
    psf = pixel_psf(over_pixels(Gaussian(0.35)), PIXEL_SCALE)
    beyond = np.array([1.001, 2.0, 4.0]) * psf.bandwidth
    assert not psf.transfer(beyond, np.zeros(1)).any()
    assert np.isfinite(psf.transfer(beyond, beyond)).all()


@pytest.mark.parametrize("psf", [None, np.full((5, 5), np.nan)])
def test_an_unknown_psf_is_none(psf):
    assert pixel_psf(psf, PIXEL_SCALE) is None


def test_a_fit_by_the_psf_of_stars_is_that_by_the_optical_one():
    spec = load_spec("B-wide", ["observation.refit_snr=none"])
    simulation = simulate(spec, "no_sub", 0, split="test")
    width = simulation.system.psf_fwhm
    assert width < 2 * PIXEL_SCALE  # undersampled, as in Euclid's VIS
    optical, measured = (
        fit_image(simulation.image, spec, settings=FitSettings(multipoles=False), **psf)
        for psf in (
            {"psf_fwhm": width},
            {"psf": pixel_psf(over_pixels(Gaussian(width), side=21), PIXEL_SCALE)},
        )
    )
    assert optical.converged and measured.converged
    assert np.abs((measured.values - optical.values) / optical.errors).max() < 0.2
    assert measured.reduced_chi_square == pytest.approx(optical.reduced_chi_square, abs=0.002)
