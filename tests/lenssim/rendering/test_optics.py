"""The PSF of an image from its specification, its own draw, or a file."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from lenssim.errors import SpecError, UsageError
from lenssim.rendering.optics import point_spreads, typical_fwhm
from lenssim.rendering.point_spread import Gaussian, Moffat
from lenssim.rendering.psf_file import read_kernel
from lenssim.spec import Instrument, load_spec


def instrument(psf=None, sampling="subpixel"):
    values = load_spec("B").instrument.model_dump() | {"psf_sampling": sampling}
    values |= {"psf_fwhm": 0.16} if psf is None else {"psf_fwhm": None, "psf": psf}
    return Instrument.model_validate(values)


def system(fwhm=np.nan):
    return SimpleNamespace(psf_fwhm=fwhm)


def test_version_1_0_0_has_no_psf_within_pixels():
    assert point_spreads(load_spec("B-deeplense").instrument, [system()]) is None
    assert point_spreads(instrument(sampling="pixel"), [system()]) is None


def test_own_width_goes_before_the_instruments():
    assert point_spreads(instrument(), [system(), system(0.2)]) == [
        Gaussian(0.16),
        Gaussian(0.2),
    ]
    gaussian = {"gaussian": {"fwhm": 0.18}}
    assert point_spreads(instrument(gaussian), [system()]) == [Gaussian(0.18)]
    moffat = {"moffat": {"fwhm": {"uniform": [0.1, 0.2]}, "beta": 3.0}}
    assert point_spreads(instrument(moffat), [system(0.15)]) == [Moffat(0.15, 3.0)]
    with pytest.raises(UsageError, match="psf_fwhm"):
        point_spreads(instrument(moffat), [system()])


def test_kernel_of_a_file_is_read_once(tmp_path):
    path = tmp_path / "psf.npy"
    np.save(path, np.ones((3, 3)))
    kernel = {"file": str(path), "oversampling": 2}
    first, second = point_spreads(instrument(kernel), [system()] * 2)
    assert first is second
    assert first.step == pytest.approx(0.0505)


def test_typical_width_is_the_middle_of_the_range():
    moffat = {"moffat": {"fwhm": {"uniform": [0.1, 0.2]}, "beta": 3.0}}
    assert typical_fwhm(instrument(moffat)) == pytest.approx(0.15)
    assert typical_fwhm(instrument()) == 0.16


def gaussian(size, offset=0.0):
    along = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2 - offset) / 3) ** 2)
    return np.outer(along, along)


@pytest.mark.parametrize("size", [31, 32])
@pytest.mark.parametrize("suffix", [".npy", ".fits"])
def test_kernel_is_normalised_and_centred_on_its_centroid(tmp_path, size, suffix):
    path = tmp_path / f"psf{suffix}"
    values = 7 * gaussian(size, offset=0.4)
    if suffix == ".npy":
        np.save(path, values)
    else:
        fits.PrimaryHDU(values.astype(np.float32)).writeto(path)
    kernel = read_kernel(path, oversampling=4, pixel_scale=0.1)
    assert kernel.values.sum() == pytest.approx(1.0, abs=1e-12)
    assert kernel.step == pytest.approx(0.025)
    assert kernel.fwhm == pytest.approx(3 * 2.3548 * 0.025, rel=0.03)
    # the phase of the transfer at a low wave number is that of the centroid
    k = np.array([1e-3])
    assert abs(np.angle(kernel.transfer(k, k))[0, 0]) < 1e-3 * 1e-4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (gaussian(31) - 0.01, "no light is negative"),
        (np.where(gaussian(31) > 0.9, np.nan, 1.0), "not finite"),
        (np.zeros((5, 5)), "zero everywhere"),
        (gaussian(31, offset=4.0), r"not centred: its centroid lies 1\.\d+ pixels"),
        (np.ones(5), "shape"),
    ],
)
def test_bad_kernel_is_refused_in_a_sentence(tmp_path, values, message):
    np.save(tmp_path / "psf.npy", values)
    with pytest.raises(SpecError, match=message) as caught:
        read_kernel(tmp_path / "psf.npy", 3, 0.1)
    assert "\n" not in str(caught.value)


def test_file_that_is_no_kernel_is_refused(tmp_path):
    (tmp_path / "psf.fits").write_text("no image")
    for name in ("psf.fits", "missing.npy"):
        with pytest.raises(SpecError, match="cannot be read"):
            read_kernel(tmp_path / name, 3, 0.1)
