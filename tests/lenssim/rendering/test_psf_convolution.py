"""PSF within the integral over pixels: against brute force, lenstronomy and itself."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import draw_system, random_stream
from lenssim.rendering import psf_convolution
from lenssim.rendering.point_spread import Gaussian, Kernel, Moffat
from lenssim.rendering.reference import lenstronomy_image
from lenssim.simulation import render
from lenssim.spec import CLASSES, Sampling, load_spec

FWHM_PER_SIGMA = 2.3548200450309493


def ring_neutral_system(spec, name, index):
    """A drawn system whose ring has the radius of the smooth lens."""
    stream = random_stream(2, spec.name, "test", name, index, "population")
    system = draw_system(spec, name, stream)
    radius = system.smooth_theta_e
    inside = np.hypot(system.subhalo_x, system.subhalo_y) < radius
    mass = system.vortex_theta_e**2 + np.sum(system.subhalo_theta_e[inside] ** 2)
    return replace(system, lens_theta_e=radius - mass / radius)


def brightness(system, zero_point, axis_x, axis_y):
    """Surface brightness on a grid, written out in numpy apart from the package's formulae."""
    x, y = np.meshgrid(axis_x, axis_y)
    r = np.hypot(x, y)
    beta_x, beta_y = x - system.lens_theta_e * x / r, y - system.lens_theta_e * y / r
    masses = zip(system.subhalo_x, system.subhalo_y, system.subhalo_theta_e**2, strict=True)
    for mass_x, mass_y, squared in masses:
        scale = squared / ((x - mass_x) ** 2 + (y - mass_y) ** 2)
        beta_x -= scale * (x - mass_x)
        beta_y -= scale * (y - mass_y)
    if system.vortex_theta_e > 0:
        along = np.exp(-1j * system.vortex_angle)
        z = (x - system.vortex_x + 1j * (y - system.vortex_y)) * along
        half = system.vortex_length / 2
        alpha = system.vortex_theta_e**2 / (2 * half) * along * np.log((z + half) / (z - half))
        beta_x -= alpha.real
        beta_y += alpha.imag
    e1, e2, n = system.source_e1, system.source_e2, system.source_n_sersic
    dx, dy = beta_x - system.source_x, beta_y - system.source_y
    u, v = (1 - e1) * dx - e2 * dy, (1 + e1) * dy - e2 * dx
    radius = np.maximum(np.sqrt((u**2 + v**2) / (1 - e1**2 - e2**2)), 1e-4)
    b = 1.9992 * n - 0.3271
    area = 2 * np.pi * n * system.source_r_sersic**2 * np.exp(b) * b ** (-2 * n) * math.gamma(2 * n)
    flux = 10 ** (-0.4 * (system.source_magnitude - zero_point))
    return flux / area * np.exp(-b * ((radius / system.source_r_sersic) ** (1 / n) - 1))


def brute_force(system, instrument, subpixels, transfer, border):
    """The image from sub-pixels, convolved by FFT at their resolution, summed to pixels."""
    side = (instrument.num_pix + 2 * border) * subpixels
    step = instrument.pixel_scale / subpixels
    axis = (np.arange(side) - (side - 1) / 2) * step
    strips = [
        brightness(system, instrument.zero_point, axis, strip) for strip in np.array_split(axis, 16)
    ]
    k_y, k_x = 2 * np.pi * np.fft.fftfreq(side, step), 2 * np.pi * np.fft.rfftfreq(side, step)
    spectrum = np.fft.rfft2(np.concatenate(strips)) * transfer(k_x, k_y, step, side)
    fine = np.fft.irfft2(spectrum, s=(side, side))
    pixels = fine.reshape(side // subpixels, subpixels, side // subpixels, subpixels)
    inner = slice(border, border + instrument.num_pix)
    return pixels.sum(axis=(1, 3))[inner, inner] * step**2


def gaussian_transfer(sigma):
    def transfer(k_x, k_y, step, side):
        return np.exp(-0.5 * sigma**2 * (k_x**2 + k_y[:, np.newaxis] ** 2))

    return transfer


def distances(spec, name, count, subpixels):
    noise = pixel_noise(spec.instrument)
    psf = Gaussian(spec.instrument.psf_fwhm)
    transfer = gaussian_transfer(psf.fwhm / FWHM_PER_SIGMA)
    for index in range(count):
        system = ring_neutral_system(spec, name, index)
        truth = brute_force(system, spec.instrument, subpixels, transfer, border=5)
        error = (render(system, spec, psf=psf) - truth) / noise_sigma(truth, noise)
        yield np.linalg.norm(error)


# few systems: the command of benchmarks/accuracy.py takes 200
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("model", ["A", "B"])
def test_error_with_the_psf_is_below_the_noise(model, name):
    # 16 sub-pixels do not resolve the point masses of A
    count, subpixels = (1, 32 if model == "A" else 16) if name == "cdm" else (2, 16)
    errors = list(distances(load_spec(model), name, count, subpixels))
    assert np.median(errors) <= 0.5
    assert max(errors) <= 2.0


def test_convolution_in_pixels_is_further_off():
    # what the above would find if the PSF were sampled at pixel centres
    spec = load_spec("A", ["instrument.psf_sampling=pixel"])
    system = ring_neutral_system(spec, "no_sub", 0)
    transfer = gaussian_transfer(spec.instrument.psf_fwhm / FWHM_PER_SIGMA)
    truth = brute_force(system, spec.instrument, 8, transfer, border=5)
    error = (render(system, spec) - truth) / noise_sigma(truth, pixel_noise(spec.instrument))
    assert np.linalg.norm(error) > 10


@pytest.mark.parametrize("pixel_scale", [0.08, 0.101])
def test_separable_convolution_is_that_by_fft(pixel_scale):
    psf = Gaussian(0.1)
    cells, border = psf_convolution.subcells(psf, pixel_scale), psf_convolution.reach(psf, 0.08)
    side = 12 + 2 * border
    orders = np.array([0, 1, 1, 2, 2, 2])
    moments = np.random.default_rng(0).random((6, cells, cells, side, side))
    moments *= (0.3 * pixel_scale / cells) ** orders[:, None, None, None, None]
    direct = psf_convolution.convolve_moments(moments, psf, 12, pixel_scale)
    by_fft = psf_convolution._convolve_by_fft(moments, psf, 12, pixel_scale)
    np.testing.assert_allclose(direct, by_fft, rtol=1e-4)


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_light_of_one_subcell_is_the_psf_integrated_over_pixels(cells):
    psf, scale = Gaussian(0.3), 0.1
    border = psf_convolution.reach(psf, scale)
    side = 3 + 2 * border
    moments = np.zeros((6, cells, cells, side, side))
    moments[0, 0, 0, border + 1, border + 1] = 1.0
    image = psf_convolution.convolve_moments(moments, psf, 3, scale)
    fine = (np.arange(300) + 0.5) / 100 * scale - 1.5 * scale
    position = (0.5 / cells - 0.5) * scale
    density = np.exp(-0.5 * ((fine - position) / psf.sigma) ** 2)
    along = density.reshape(3, 100).sum(axis=1) * scale / 100 / math.sqrt(2 * np.pi) / psf.sigma
    np.testing.assert_allclose(image, np.outer(along, along), rtol=1e-4)


def moffat_transfer(psf):
    """From samples of the profile, cut where it holds 99.9% of the light, on the grid itself."""

    def transfer(k_x, k_y, step, side):
        axis = np.fft.fftfreq(side, 1 / side) * step
        squared = axis**2 + axis[:, np.newaxis] ** 2
        core = psf.fwhm / 2 / math.sqrt(2 ** (1 / psf.beta) - 1)
        values = (1 + squared / core**2) ** -psf.beta
        cut = core**2 * (1e-3 ** (1 / (1 - psf.beta)) - 1)
        values[squared > cut] = 0
        return np.fft.rfft2(values / values.sum())

    return transfer


@pytest.mark.parametrize("beta", [2.5, 4.765])
def test_error_with_a_moffat_profile_is_below_the_noise(beta):
    spec = load_spec("A")
    psf = Moffat(fwhm=0.15, beta=beta)
    system = ring_neutral_system(spec, "axion", 1)
    border = math.ceil(psf.radius / 0.08) + 1
    truth = brute_force(system, spec.instrument, 16, moffat_transfer(psf), border)
    error = render(system, spec, psf=psf) - truth
    assert np.linalg.norm(error / noise_sigma(truth, pixel_noise(spec.instrument))) < 0.5


@pytest.mark.parametrize("size", [45, 46])
@pytest.mark.parametrize("offset", [0.0, 0.37])
def test_kernel_samples_give_the_image_of_their_profile(size, offset):
    spec = load_spec("B")
    system = ring_neutral_system(spec, "no_sub", 0)
    psf = Gaussian(0.2)
    step = spec.instrument.pixel_scale / 4
    along = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2 - offset) * step / psf.sigma) ** 2)
    values = np.outer(along, along)
    image = render(system, spec, psf=Kernel(values / values.sum(), step))
    expected = render(system, spec, psf=psf)
    assert np.abs(image - expected).max() < 1e-3 * expected.max()
    for axis in (0, 1):
        places = np.arange(64) @ (image - expected).sum(axis=axis) / expected.sum()
        assert abs(places) < 0.01


def test_light_from_outside_of_the_image_falls_in():
    spec = load_spec("B", ["instrument.psf_fwhm=0.6"])
    small = load_spec("B", ["instrument.psf_fwhm=0.6", "instrument.num_pix=32"])
    system = ring_neutral_system(spec, "no_sub", 0)
    psf = Gaussian(0.6)
    whole = render(system, spec, psf=psf)[16:48, 16:48]
    np.testing.assert_allclose(render(system, small, psf=psf), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("psf", [Gaussian(0.16), Moffat(0.2, 3.0)])
def test_lenstronomy_tends_to_the_same_with_its_subsamples(psf):
    # it sums the PSF at the centres of sub-pixels, where here it is integrated: second order apart
    spec = load_spec("B", ["instrument.num_pix=40"])
    system = ring_neutral_system(spec, "no_sub", 0)
    differences = []
    for subsamples in (3, 9):
        theirs = lenstronomy_image(system, spec, subsamples, psf=psf)
        ours = render(system, spec, sampling=Sampling(subsamples=subsamples), psf=psf)
        differences.append(np.abs(ours - theirs).max() / theirs.max())
    assert differences[0] < 1e-2
    assert differences[1] < differences[0] / 6


def test_reference_engine_takes_the_psf():
    spec = load_spec("B", ["instrument.num_pix=24"])
    system = ring_neutral_system(spec, "no_sub", 0)
    psf = Gaussian(0.16)
    theirs = render(system, spec, "lenstronomy", psf=psf, sampling=Sampling(subsamples=3))
    np.testing.assert_array_equal(theirs, lenstronomy_image(system, spec, 3, psf=psf))
