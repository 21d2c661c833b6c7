"""A picture as a source: flux, centre, size and interpolation, and what is refused."""

import numpy as np
import pytest

from lenssim.errors import SpecError
from lenssim.pictures.preparation import MARGIN, OVERSAMPLING, prepare, upsampled
from lenssim.rendering.picture_source import picture_brightness, picture_source

SCALE = 0.03


def gaussian(side=81, sigma=5.0, x=0.0, y=0.0):
    row, column = np.mgrid[:side, :side] - 0.5 * (side - 1)
    return np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))


def brightness(picture, x, y, angle=0.0, scale=1.0):
    x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
    out = np.empty(x.size)
    source = picture_source(picture, 1.0, scale, angle)
    picture_brightness(x.ravel().copy(), y.ravel().copy(), source, out)
    return out.reshape(x.shape)


def test_the_flux_is_one_whatever_the_size_and_the_unit():
    picture = prepare(1234.5 * gaussian(), SCALE, "x")
    axis = np.arange(-1.5, 1.5, 0.02)
    for scale in (1.0, 0.6):
        light = brightness(picture, axis, axis[:, np.newaxis], angle=0.7, scale=scale)
        assert light.sum() * 0.02**2 == pytest.approx(1.0, abs=1e-6)


def test_a_gaussian_has_its_known_half_light_radius_and_profile():
    picture = prepare(gaussian(sigma=5.0, x=3.3, y=-2.1), SCALE, "x")
    sigma = 5.0 * SCALE
    # 1e-3 of the peak is where it is cut
    assert picture.half_light_radius == pytest.approx(np.sqrt(2 * np.log(2)) * sigma, rel=0.01)
    x = np.linspace(-0.3, 0.3, 50)
    expected = np.exp(-((x**2 + 0.04**2) / (2 * sigma**2))) / (2 * np.pi * sigma**2)
    assert brightness(picture, x, 0.04) == pytest.approx(expected, rel=5e-3)


def test_the_interpolation_is_band_limited_to_2e_4_of_the_peak():
    """Against the Fourier series through the same pixels, of structure as wide as a PSF."""
    generator = np.random.default_rng(1)
    pixels = sum(gaussian(81, 1.4, *generator.normal(0, 6, 2)) for _ in range(40))
    picture = prepare(pixels, SCALE, "x")
    series = picture.samples()[MARGIN:-MARGIN, MARGIN:-MARGIN][::OVERSAMPLING, ::OVERSAMPLING]
    spectrum = np.fft.fft2(series) / series.size
    rows, columns = (np.fft.fftfreq(side) for side in series.shape)
    row, column = generator.uniform(10, min(series.shape) - 10, (2, 300))
    exact = np.einsum(
        "pk,kl,pl->p",
        np.exp(2j * np.pi * np.outer(row, rows)),
        spectrum,
        np.exp(2j * np.pi * np.outer(column, columns)),
    ).real
    x = (OVERSAMPLING * column + MARGIN - picture.centre_x) * picture.step
    y = (OVERSAMPLING * row + MARGIN - picture.centre_y) * picture.step
    assert np.abs(brightness(picture, x, y) - exact).max() < 2e-4 * series.max()


def test_upsampling_keeps_the_samples_and_the_band():
    x = np.arange(15) / 15
    wave = np.cos(2 * np.pi * 3 * x) * np.sin(2 * np.pi * 2 * x)[:, np.newaxis]
    fine = upsampled(wave, 2)
    assert fine[::2, ::2] == pytest.approx(wave, abs=1e-12)
    x = np.arange(30) / 30
    exact = np.cos(2 * np.pi * 3 * x) * np.sin(2 * np.pi * 2 * x)[:, np.newaxis]
    assert fine == pytest.approx(exact, abs=1e-12)


def test_a_turn_is_counter_clockwise_and_a_picture_ends():
    picture = prepare(gaussian(x=8) + 3 * gaussian(x=-8), SCALE, "x")
    x = np.linspace(-0.5, 0.5, 21)
    turned = brightness(picture, 0.0, x, angle=np.pi / 2)
    assert turned == pytest.approx(brightness(picture, x, 0.0), rel=1e-9, abs=1e-12)
    assert brightness(picture, [9.0, np.nan, 0.0], [0.0, 0.0, -9.0]).tolist() == [0, 0, 0]


def test_sky_and_neighbours_are_not_lensed():
    generator = np.random.default_rng(2)
    noise = 0.002 * generator.standard_normal((121, 121))
    pixels = gaussian(121, 5.0) + 0.5 * gaussian(121, 3.0, x=45) + noise
    picture = prepare(pixels, SCALE, "x")
    assert brightness(picture, [45 * SCALE, -1.5, 0.0], [0.0, 0.0, 1.5]).tolist() == [0, 0, 0]
    alone = prepare(gaussian(121, 5.0), SCALE, "x")
    assert picture.half_light_radius == pytest.approx(alone.half_light_radius, rel=0.02)


def test_the_bound_is_nowhere_exceeded():
    generator = np.random.default_rng(3)
    pixels = sum(gaussian(81, 2.0, *generator.normal(0, 7, 2)) for _ in range(12))
    picture = prepare(pixels, SCALE, "x")
    x, y = generator.uniform(-1.2, 1.2, (2, 20000))
    b = 1.9992 - 0.3271
    bound = picture.bound_amplitude * np.exp(b * (1 - np.hypot(x, y) / picture.bound_radius))
    assert (brightness(picture, x, y) <= bound).all()


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.where(gaussian() > 0.99, np.nan, gaussian()), "1 pixels that are not finite"),
        (gaussian()[np.newaxis], r"shape \(1, 81, 81\)"),
        (gaussian()[:4], "between 8 and 2048"),
        (-gaussian(), "flux of"),
        (np.zeros((30, 30)), "flux of"),
        (gaussian(41, 14.0), "smaller than its galaxy"),
    ],
)
def test_what_is_no_picture_of_a_galaxy_is_refused_in_a_sentence(pixels, words):
    with pytest.raises(SpecError, match=words) as caught:
        prepare(pixels, SCALE, "galaxies/7.npy")
    assert "galaxies/7.npy" in str(caught.value)
    assert str(caught.value).endswith(".")
