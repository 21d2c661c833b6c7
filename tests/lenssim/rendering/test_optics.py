"""The PSF of an image from its specification and its own draw."""

from types import SimpleNamespace

import numpy as np
import pytest

from lenssim.errors import UsageError
from lenssim.rendering.optics import point_spreads
from lenssim.rendering.point_spread import Gaussian, Moffat
from lenssim.spec import load_spec


def instrument(psf, sampling="subpixel"):
    return SimpleNamespace(psf=psf, psf_sampling=sampling, psf_fwhm=0.16, pixel_scale=0.1)


def psf(gaussian=None, moffat=None, file=None, oversampling=1):
    return SimpleNamespace(gaussian=gaussian, moffat=moffat, file=file, oversampling=oversampling)


def system(fwhm=np.nan):
    return SimpleNamespace(psf_fwhm=fwhm)


def drawn(low, high):
    return SimpleNamespace(support=(low, high))


def test_version_1_0_0_has_no_psf_within_pixels():
    assert point_spreads(load_spec("B-deeplense").instrument, [system()]) is None
    assert point_spreads(instrument(None, "pixel"), [system()]) is None


def test_own_width_goes_before_the_instruments():
    assert point_spreads(instrument(None), [system(), system(0.2)]) == [
        Gaussian(0.16),
        Gaussian(0.2),
    ]
    gaussian = psf(gaussian=SimpleNamespace(fwhm=drawn(0.18, 0.18)))
    assert point_spreads(instrument(gaussian), [system()]) == [Gaussian(0.18)]
    moffat = psf(moffat=SimpleNamespace(fwhm=drawn(0.1, 0.2), beta=3.0))
    assert point_spreads(instrument(moffat), [system(0.15)]) == [Moffat(0.15, 3.0)]
    with pytest.raises(UsageError, match="psf_fwhm"):
        point_spreads(instrument(moffat), [system()])


def test_kernel_of_a_file_is_read_once(tmp_path):
    path = tmp_path / "psf.npy"
    np.save(path, np.ones((3, 3)))
    first, second = point_spreads(instrument(psf(file=path, oversampling=2)), [system()] * 2)
    assert first is second
    assert first.step == pytest.approx(0.05)
