"""What headers say, in the many ways that they do, and what contradicts a contract."""

import math

import pytest

from lensmodels.image_files.fits_header import (
    HeaderFacts,
    brightness_problem,
    header_notes,
    is_electron_rate,
    pixel_scales,
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


@pytest.mark.parametrize(
    ("unit", "advice"),
    [
        ("ELECTRONS", "divide it by the exposure time and set BUNIT to electron/s"),
        ("ADU", "multiply it by the gain, divide it by the exposure time, and set BUNIT"),
        ("adu/s", "multiply it by the gain and set BUNIT"),
        ("DN/s", "multiply it by the gain and set BUNIT"),
        ("COUNTS/SEC", "multiply it by the gain and set BUNIT"),
        ("MJy/sr", "convert it and set BUNIT"),
        ("nanomaggies", "convert it and set BUNIT"),
        ("10**-6 electron/s", "convert it and set BUNIT"),
    ],
)
def test_another_unit_is_refused_with_what_to_do(unit, advice, contract):
    problem = brightness_problem(HeaderFacts.of({"BUNIT": unit}, {}), contract)
    assert problem.startswith(f"its unit is {unit} where the model was trained on e-/s: {advice}")


def test_unit_and_zero_point_may_stand_in_the_primary_header(contract):
    facts = HeaderFacts.of({}, {"BUNIT": "ADU", "MAGZERO": 24.0})
    assert (facts.unit, facts.zero_point) == ("ADU", ("MAGZERO", 24.0))
    facts = HeaderFacts.of({"BUNIT": "e-/s"}, {"BUNIT": "ADU"})
    assert facts.unit == "e-/s"


@pytest.mark.parametrize("key", ["MAGZERO", "MAGZPT", "ZPAB"])
def test_another_zero_point_is_refused_with_the_factor(key, contract):
    problem = brightness_problem(HeaderFacts.of({key: 24.6}, {}), contract)
    assert f"zero point ({key}) is 24.6" in problem
    assert "multiply the pixels by 2.805" in problem  # 10^(0.4 (25.72 - 24.6))


def test_the_zero_point_tells_the_factor_of_another_unit_too(contract):
    problem = brightness_problem(HeaderFacts.of({"BUNIT": "adu", "MAGZERO": 24.6}, {}), contract)
    assert "multiply the pixels by 2.805 and set MAGZERO to 25.72, and BUNIT to" in problem
    assert "gain" not in problem


def test_a_zero_point_near_the_contract_s_is_accepted(contract):
    assert brightness_problem(HeaderFacts.of({"MAGZERO": 25.75}, {}), contract) is None


def test_hubble_s_photometry_keywords_are_a_zero_point():
    # WFC3/IR F160W: 25.946 AB
    header = {"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176}
    _, value = HeaderFacts.of(header, {}).zero_point
    assert value == pytest.approx(25.946, abs=0.001)


@pytest.mark.parametrize("value", ["unknown", None, float("nan")])
def test_a_zero_point_that_is_no_number_is_none(value):
    assert HeaderFacts.of({"MAGZERO": value}, {}).zero_point is None


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
TURN = math.radians(30)


@pytest.mark.parametrize(
    "header",
    [
        SKY | {"CD1_1": -0.05 / 3600, "CD2_2": 0.05 / 3600},
        SKY | {"CDELT1": -0.05 / 3600, "CDELT2": 0.05 / 3600},
        SKY | {"CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -0.05 / 3600, "PC2_2": 0.05 / 3600},
        SKY
        | {"CDELT1": -0.05 / 3600, "CDELT2": 0.05 / 3600}
        | {"PC1_1": math.cos(TURN), "PC1_2": -math.sin(TURN)}
        | {"PC2_1": math.sin(TURN), "PC2_2": math.cos(TURN)},
        SKY
        | {"CD1_1": -0.05 / 3600 * math.cos(TURN), "CD1_2": 0.05 / 3600 * math.sin(TURN)}
        | {"CD2_1": 0.05 / 3600 * math.sin(TURN), "CD2_2": 0.05 / 3600 * math.cos(TURN)},
        # as in Euclid's mosaics: CD, and PC with CDELT = 1 besides
        SKY
        | {"CD1_1": -0.05 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.05 / 3600}
        | {"PC1_1": -0.05 / 3600, "PC2_2": 0.05 / 3600, "CDELT1": 1.0, "CDELT2": 1.0},
        SKY | {"CUNIT1": "arcsec", "CUNIT2": "arcsec", "CDELT1": 0.05, "CDELT2": 0.05},
        {"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CD1_1": 0.05 / 3600, "CD2_2": 0.05 / 3600},
    ],
)
def test_the_pixel_scale_in_each_way_of_writing_it(header):
    assert pixel_scales(header) == pytest.approx((0.05, 0.05))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"CDELT1": 1.0, "CDELT2": 1.0},  # of pixels
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR", "CD1_1": 1.0, "CD2_2": 1.0},
        SKY,
        SKY | {"CD1_1": 0.0, "CD2_2": 0.0},
        SKY | {"CDELT1": "?", "CDELT2": "?"},
    ],
)
def test_headers_that_tell_no_pixel_scale(header):
    assert pixel_scales(header) is None


def test_both_axes_have_a_scale_of_their_own():
    header = SKY | {"CDELT1": -0.05 / 3600, "CDELT2": 0.1 / 3600}
    assert pixel_scales(header) == pytest.approx((0.05, 0.1))


def test_what_is_assumed_is_noted(contract, celestial):
    assert header_notes(HeaderFacts.of(celestial(BUNIT="e-/s"), {}), contract) == []
    assert header_notes(HeaderFacts.of(celestial(), {}), contract) == [
        "the header has no unit: taken as e-/s"
    ]
    assert header_notes(HeaderFacts.of({}, {}), contract) == [
        "the header has no unit and no pixel scale: taken as e-/s and 0.101 arcsec"
    ]


def test_images_of_unknown_unit_contradict_none(contract):
    imported = contract.model_copy(update={"unit": None, "zero_point": None})
    facts = HeaderFacts.of({"BUNIT": "ADU", "MAGZERO": 24.6}, {})
    assert brightness_problem(facts, imported) is None
    assert "the unit ADU is not checked" in header_notes(facts, imported)[-1]
