"""The PSF of an image from its specification and its own draw."""

from types import SimpleNamespace

import numpy as np
import pytest

from lenssim.errors import UsageError
from lenssim.rendering.optics import point_spreads, typical_fwhm
from lenssim.rendering.point_spread import Gaussian, Moffat
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
