"""PSFs from files: what is read, and what is refused in a sentence."""

import numpy as np
import pytest
from astropy.io import fits

from lenssim.errors import SpecError
from lenssim.rendering.psf_file import read_kernel


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
