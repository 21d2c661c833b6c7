from dataclasses import replace

import numpy as np
import pytest

from lenssim import observation
from lenssim.lens_fit import (
    FLUX_PER_MAGNITUDE,
    PARAMETER_NAMES,
    PARAMETERS,
    refit_snr,
    smooth_derivatives,
)
from lenssim.lens_fit.vector import from_system, to_system
from lenssim.rendering.point_spread import Gaussian, Moffat
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import estimated_refit_snr, render, simulate, smooth_system
from lenssim.spec import Sampling, load_spec

SPEC = load_spec("B", ["instrument.num_pix=32"])
ROUND = replace(smooth_system(simulate(SPEC, "no_sub", 0).system), source_x=0.1, source_y=0.07)
WIDE = replace(
    ROUND,
    lens_theta_e=1.1,
    lens_e1=0.12,
    lens_e2=-0.08,
    lens_gamma1=0.04,
    lens_gamma2=-0.03,
    lens_x=0.043,
    lens_y=-0.057,
    lens_slope=2.08,
    lens_m3_amplitude=0.01,
    lens_m3_angle=0.4,
    lens_m4_amplitude=-0.01,
    lens_m4_angle=0.2,
    source_r_sersic=0.2,
    source_n_sersic=1.3,
    source_e2=0.2,
)


def differences_of_lenstronomy(system, psf, subsamples):
    def image(parameter, change):
        moved = replace(system, **{parameter.name: getattr(system, parameter.name) + change})
        return lenstronomy_image(moved, SPEC, subsamples, psf=psf, convolved=psf is not None)

    return np.stack(
        [
            (image(each, each.step) - image(each, -each.step)) / (2 * each.step)
            for each in PARAMETERS
        ]
    )


def relative_errors(derivatives, expected):
    norms = np.linalg.norm(expected, axis=(1, 2))
    return np.linalg.norm(derivatives - expected, axis=(1, 2)) / norms


@pytest.mark.parametrize(
    ("system", "subsamples", "most"),
    [
        pytest.param(WIDE, 5, 0.015, id="wide"),
        pytest.param(WIDE, 16, 0.004, id="wide, fine", marks=pytest.mark.slow),
        pytest.param(ROUND, 16, 0.002, id="round, fine", marks=pytest.mark.slow),
    ],
)
def test_derivatives_are_differences_of_lenstronomy_images(system, subsamples, most):
    psf = Gaussian(0.17)
    expected = differences_of_lenstronomy(system, psf, subsamples)
    derivatives = smooth_derivatives(system, SPEC, psf=psf, cells=8)
    # as much as lenstronomy's own grid leaves out
    assert relative_errors(derivatives, expected).max() < most


@pytest.mark.parametrize("psf", [Gaussian(0.17), Moffat(0.17, 3.0), None])
def test_derivatives_converge_with_the_grid(psf):
    finest = smooth_derivatives(WIDE, SPEC, psf=psf, cells=16)
    coarse, default, fine = (
        relative_errors(smooth_derivatives(WIDE, SPEC, psf=psf, cells=cells), finest).max()
        for cells in (2, None, 6)
    )
    assert fine < 0.6 * coarse
    assert default < 0.015
    assert fine < 0.002


@pytest.mark.parametrize(
    ("r_sersic", "n_sersic", "most"), [(0.05, 4.0, 0.03), (0.1, 4.0, 0.015), (0.03, 1.0, 0.01)]
)
def test_derivatives_by_positions_of_a_compact_source_are_differences_of_images(
    r_sersic, n_sersic, most
):
    """The rays missed the cusp: those by theta_E were off by 1.8, 0.9 and 0.04 of their norm."""
    psf = Gaussian(0.17)
    system = replace(
        WIDE, source_x=0.1, source_y=0.07, source_r_sersic=r_sersic, source_n_sersic=n_sersic
    )
    derivatives = smooth_derivatives(system, SPEC, psf=psf)
    for name in ("lens_theta_e", "lens_gamma2", "source_x"):
        row = PARAMETER_NAMES.index(name)
        step = PARAMETERS[row].step
        more, less = render(
            [replace(system, **{name: getattr(system, name) + sign * step}) for sign in (1, -1)],
            SPEC,
            sampling=Sampling(tolerance=5e-4),
            psf=psf,
        )
        expected = (more - less) / (2 * step)
        error = np.linalg.norm(derivatives[row] - expected) / np.linalg.norm(expected)
        assert error < most, name


def test_derivative_by_magnitude_is_the_image():
    psf = Gaussian(0.17)
    derivatives = smooth_derivatives(WIDE, SPEC, psf=psf)
    image = derivatives[PARAMETER_NAMES.index("source_magnitude")] / FLUX_PER_MAGNITUDE
    expected = render(WIDE, SPEC, psf=psf)
    assert np.linalg.norm(image - expected) < 5e-3 * np.linalg.norm(expected)


def test_flux_factor_scales_derivatives():
    twice = load_spec("B", ["instrument.num_pix=32", "observation.flux_factor=2"])
    once = smooth_derivatives(WIDE, SPEC)
    np.testing.assert_allclose(smooth_derivatives(WIDE, twice), 2.0 * once, rtol=1e-12)


def test_system_with_substructure_is_refused():
    with pytest.raises(ValueError, match="substructure"):
        smooth_derivatives(simulate(SPEC, "cdm", 0).system, SPEC)


@pytest.mark.parametrize("system", [ROUND, WIDE], ids=["round", "wide"])
def test_refit_takes_out_small_changes_of_all_parameters(system):
    """A change that parameters can imitate leaves what is of second order."""
    generator = np.random.default_rng(1)
    psf = Gaussian(0.17)
    moved = replace(
        system,
        **{
            each.name: getattr(system, each.name) + 0.2 * each.step * generator.normal()
            for each in PARAMETERS
        },
    )
    image, smooth = render([moved, system], SPEC, psf=psf)
    sigma = observation.noise_sigma(image, observation.pixel_noise(SPEC.instrument))
    residual = (image - smooth) / sigma
    left = refit_snr(residual, smooth_derivatives(system, SPEC, psf=psf) / sigma)
    assert left < 0.05 * np.linalg.norm(residual)


@pytest.mark.parametrize("name", ["A", "B"])
@pytest.mark.parametrize("substructure_class", ["axion", "cdm"])
def test_the_estimate_of_the_refit_snr_is_that_of_accurate_derivatives(name, substructure_class):
    spec = load_spec(name, ["instrument.num_pix=48"])
    system = simulate(spec, substructure_class, 1).system
    twin = smooth_system(system)
    image, smooth = render([system, twin], spec)
    sigma = observation.noise_sigma(image, observation.pixel_noise(spec.instrument))
    residual = (image - smooth) / sigma
    accurate = refit_snr(residual, smooth_derivatives(twin, spec, cells=10) / sigma)
    assert estimated_refit_snr(residual, twin, sigma, spec) == pytest.approx(accurate, rel=0.02)


def test_derivatives_by_multipoles_are_differences_of_images():
    psf = Gaussian(0.17)
    derivatives = smooth_derivatives(WIDE, SPEC, psf=psf, cells=6, multipoles=True)
    vector = from_system(WIDE, multipoles=True)
    for row in range(len(PARAMETERS), len(vector)):
        step = np.zeros(len(vector))
        step[row] = 2e-3
        more, less = (render(to_system(vector + turn * step), SPEC, psf=psf) for turn in (1, -1))
        expected = (more - less) / (2 * step[row])
        assert relative_errors(derivatives[row : row + 1], expected[np.newaxis])[0] < 0.02
