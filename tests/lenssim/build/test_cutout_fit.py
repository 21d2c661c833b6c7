"""Fits of telescope images, with the noise, mask, PSF and pixel scale of each."""

import numpy as np
import pytest
from astropy.io import fits
from scipy.special import erf

import lenssim
from lenssim.build.cutout_fit import instrument_of_cutouts, pixels_of
from lenssim.build.importers.cutouts import import_cutouts
from lenssim.cutouts_preview import draw_cutouts
from lenssim.errors import UsageError
from lenssim.lens_fit.image_fit import FitSettings
from lenssim.lens_fit.parameters import LIGHT_NAMES, PARAMETER_NAMES
from lenssim.lens_fit.vector import from_system, physical
from lenssim.observation import pixel_noise
from lenssim.rendering.point_spread import Gaussian
from lenssim.simulation import simulate

pytestmark = pytest.mark.usefixtures("plain_pictures")

LIGHT = {"magnitude": 19.0, "r_sersic": 0.8, "n_sersic": 3.0, "e1": 0.1, "e2": -0.05}
SPEC = lenssim.load_spec("B-wide", ["observation.refit_snr=none", f"lens.light={LIGHT}"])
SIMULATION = simulate(SPEC, "no_sub", 0, split="test")


def star(fwhm, side=21, scale=0.1):
    """A star in the middle of a pixel, integrated over pixels."""
    edges = (np.arange(side + 1) - 0.5 * side) * scale
    along = np.diff(0.5 * erf(edges / (Gaussian(fwhm).sigma * np.sqrt(2))))
    return np.outer(along, along)


def write_survey_file(file):
    """A simulated lens as a survey hands it out: image, RMS map, PSF and a masked ghost."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"] = header["CRPIX2"] = 32.5
    header["CRVAL1"], header["CRVAL2"] = 57.0, -50.8
    header["CD1_1"], header["CD2_2"] = -0.1 / 3600, 0.1 / 3600
    header["MAGZERO"] = SPEC.instrument.zero_point
    noise = pixel_noise(SPEC.instrument)
    clean = np.maximum(SIMULATION.noise_free, 0)
    rms = np.sqrt(noise.background_variance + clean / noise.exposure_time)
    image, flags = SIMULATION.image.copy(), np.zeros(rms.shape, np.int16)
    image[:5, :5] += 50.0
    flags[:5, :5] = 1
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(image.astype(np.float32), header, name="SCI"),
            fits.ImageHDU(rms.astype(np.float32), name="RMS"),
            fits.ImageHDU(flags, name="FLG"),
            fits.ImageHDU(star(SIMULATION.system.psf_fwhm), name="PSF"),
        ]
    ).writeto(file)
    return file


@pytest.fixture(scope="module")
def cutouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutout_fit")
    file = write_survey_file(folder / "lens.fits")
    return import_cutouts([file], folder / "archive", instrument="B-wide")


@pytest.fixture(scope="module")
def archive(cutouts):
    """The archive with its fits."""
    return lenssim.fit(cutouts.location.url, settings=FitSettings(multipoles=False))


def test_a_telescope_image_is_fitted_with_what_is_known_of_its_pixels(archive):
    fitted = archive.fits("train", "unlabelled")
    assert fitted.attrs["fit_instrument"] == "B-wide"
    assert fitted.attrs["fit_columns"] == ["noise", "mask", "psf", "pixel_scale"]
    assert fitted["converged"].values.all()
    assert fitted["reduced_chi_square"].values == pytest.approx(1.0, abs=0.1)
    assert not fitted["residual"].values[0, :5, :5].any()
    truth = physical(from_system(SIMULATION.system, multipoles=False))
    place = PARAMETER_NAMES.index("lens_theta_e")
    assert fitted["value"].values[0, place] == pytest.approx(truth[place], rel=0.01)
    names = fitted.attrs["names"]
    assert names == [*PARAMETER_NAMES, *LIGHT_NAMES]
    magnitude = fitted["value"].values[0, names.index("lens_light_magnitude")]
    assert magnitude == pytest.approx(LIGHT["magnitude"], abs=0.2)


def test_the_pixel_scale_of_an_image_goes_before_that_of_the_instrument(cutouts):
    row = cutouts.dataset("train", "unlabelled").isel(sample=0).load()
    spec, known = pixels_of(row.assign(pixel_scale=0.1034567), SPEC)
    assert spec.instrument.pixel_scale == 0.10346
    assert known["psf"].step == 0.10346
    assert known["mask"].sum() == 25
    spec, known = pixels_of(row.assign(pixel_scale=np.nan).drop_vars("psf"), SPEC)
    assert spec.instrument.pixel_scale == SPEC.instrument.pixel_scale
    assert known["psf"] is None


def test_a_fitted_cutout_is_drawn_beside_its_residual(archive):
    figure = draw_cutouts(archive)
    image, residual = (axis.images[0].get_array() for axis in figure.axes if axis.images)
    np.testing.assert_allclose(image[10:], SIMULATION.image[10:], rtol=1e-5)
    np.testing.assert_array_equal(residual, archive.fits("train", "unlabelled")["residual"][0])
    assert "= 1.0" in figure.axes[1].texts[0].get_text()


@pytest.mark.parametrize("named", ["B-wide 0.0.1", "survey 1.0.0"])
def test_an_instrument_that_does_not_come_with_lenssim_is_asked_for(named):
    with pytest.raises(UsageError, match=f"pixels of {named}.*give that specification"):
        instrument_of_cutouts("archives/q1", named)
