"""From the values of a file's pixels to e-/s at a zero point."""

import pytest

from lenssim.cutouts.header import flux_scale, is_electron_rate
from lenssim.cutouts.settings import CutoutSettings
from lenssim.errors import ImportFileError

ZERO_POINT = 25.72


def scale(header, primary=None, pixel_area=None, **settings):
    return flux_scale(
        "a.fits", header, primary or {}, CutoutSettings(**settings), ZERO_POINT, pixel_area
    )


@pytest.mark.parametrize(
    "unit",
    [
        "ELECTRONS/S", "electron/s", "electron s-1", "electrons s**-1", "e-/s", "e/s", "e-/sec",
        "electron / second", "ELECTRONS PER SECOND", "electron.s-1", "electron/s/pix", "(e-/s)",
    ],
)  # fmt: skip
def test_electrons_per_second_are_known_however_they_are_written(unit):
    assert is_electron_rate(unit)


@pytest.mark.parametrize("key", ["MAGZERO", "MAGZPT", "ZPAB"])
def test_a_zero_point_gives_the_factor(key):
    assert scale({key: 24.6}).factor == pytest.approx(10 ** (0.4 * 1.12))
    assert scale({}, {key: 24.6, "BUNIT": "ADU"}).factor == pytest.approx(2.805, abs=1e-3)


def test_what_the_user_states_comes_first():
    assert scale({"MAGZERO": 24.6}, zero_point=25.72).factor == pytest.approx(1.0)


# WFC3/IR F160W: 25.946 AB for 1 e-/s
HUBBLE = {"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176}


def test_photflam_is_of_one_electron_a_second():
    rate = scale({**HUBBLE, "BUNIT": "ELECTRONS/S"})
    assert rate.zero_point == pytest.approx(25.946, abs=1e-3)
    total = scale({**HUBBLE, "BUNIT": "ELECTRONS"}, {"EXPTIME": 600.0})
    assert total.factor == pytest.approx(rate.factor / 600)
    with pytest.raises(ImportFileError, match="no exposure time"):
        scale({**HUBBLE, "BUNIT": "ELECTRONS"})


@pytest.mark.parametrize(
    ("unit", "jansky"),
    [
        ("nJy", 1e-9),
        ("uJy", 1e-6),
        ("Jy", 1.0),
        ("nanomaggy", 3631e-9),
        ("10**-9 Jy", 1e-9),
        ("erg/s/cm2/Hz", 1e23),
    ],
)
def test_units_of_flux_need_no_zero_point(unit, jansky):
    # the AB magnitude of a Jy is 8.9 (Oke & Gunn 1983)
    expected = jansky / 3631 * 10 ** (0.4 * ZERO_POINT)
    assert scale({"BUNIT": unit}).factor == pytest.approx(expected, rel=1e-6)


def test_surface_brightness_is_multiplied_by_the_pixel_area():
    # a JWST mosaic of 0.03" pixels
    area = (0.03 / 206264.806) ** 2
    header = {"BUNIT": "MJy/sr", "PIXAR_SR": area}
    expected = 1e6 * area / 3631 * 10 ** (0.4 * ZERO_POINT)
    assert scale(header).factor == pytest.approx(expected, rel=1e-6)
    assert scale({"BUNIT": "MJy/sr"}, pixel_area=0.03**2).factor == pytest.approx(expected, 1e-6)
    with pytest.raises(ImportFileError, match="pixel area is not stated"):
        scale({"BUNIT": "MJy/sr"})


def test_flux_per_angstrom_is_converted_at_the_pivot_wavelength():
    per_angstrom = scale({"BUNIT": "erg/s/cm2/Angstrom", "PHOTPLAM": 15369.176})
    assert 1.9275602e-20 * per_angstrom.factor == pytest.approx(scale(
        {**HUBBLE, "BUNIT": "e-/s"}).factor, rel=2e-3)  # fmt: skip


def test_electrons_without_a_zero_point_stay_electrons():
    kept = scale({"BUNIT": "e-/s"})
    assert kept.factor == 1.0
    assert kept.zero_point != kept.zero_point
    assert scale({}, unit="e-/s").factor == 1.0
    assert scale({"BUNIT": "ELECTRONS", "EXPTIME": 100.0}).factor == 0.01


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ({}, "--unit"),
        ({"BUNIT": "ADU"}, "--zero-point"),
        ({"BUNIT": "DN/s"}, "--zero-point"),
        ({"BUNIT": "furlongs"}, "--zero-point"),
        ({"MAGZERO": "unknown"}, "--unit"),
        ({"MAGZERO": float("nan")}, "--unit"),
    ],
)
def test_what_is_unknown_is_asked_for(header, asked):
    with pytest.raises(ImportFileError, match=asked):
        scale(header)


def test_an_exposure_of_no_time_is_refused():
    with pytest.raises(ImportFileError, match="exposure time of 0 s"):
        scale({"MAGZERO": 24.6}, {"EXPTIME": 0.0})
