"""Images of another size or pixel scale: the advice leads to one that is taken."""

import pytest

from lensmodels.image_files.geometry import geometry_problem


def problem(shape, scales=None, expected=0.101):
    return geometry_problem(shape, 64, pixel_scales=scales, expected_pixel_scale=expected)


def both(scale):
    return (scale, scale)


def test_the_model_s_own_geometry_is_none():
    assert problem((64, 64)) is None
    assert problem((7, 64, 64), both(0.101)) is None
    assert problem((64, 64), both(0.1)) is None  # Euclid's pixels
    assert problem((64, 64), both(0.05), expected=None) is None


@pytest.mark.parametrize(
    ("shape", "scales", "advice"),
    [
        ((100, 100), both(0.101), "arcsec: cut 64 x 64 out around the lens"),
        ((48, 48), both(0.101), "take a larger cutout, with pixels of 0.101 arcsec"),
        # 100 pixels of 0.05 arcsec are 5 arcsec wide, and the model sees 6.5
        (
            (100, 100),
            both(0.05),
            "a cutout at least 6.5 arcsec wide, and resample it to 0.101",
        ),
        ((64, 64), both(0.05), "a cutout at least 6.5 arcsec wide, and resample it to 0.101"),
        ((64, 64), both(0.2), "resample it to 0.101 arcsec a pixel, conserving flux, and then cut"),
        ((200, 200), both(0.05), "resample it to 0.101 arcsec a pixel, conserving flux, and then"),
        ((281, 281), None, "resample it to 0.101 arcsec a pixel if it has others, and cut 64 x 64"),
        ((64, 64), (0.101, 0.2), "resample it"),
    ],
)
def test_what_to_do(shape, scales, advice):
    assert advice in problem(shape, scales)


def test_pixels_of_another_scale_are_never_just_cut_out():
    for side in (64, 100, 129, 130, 500):
        found = problem((side, side), both(0.05))
        assert found.index("resample") < found.find("cut 64") or "cut 64" not in found


def test_both_sides_of_the_contradiction_are_named():
    found = problem((100, 120), (0.05, 0.06))
    assert "120 x 100 pixels of 0.05 x 0.06 arcsec where the model takes 64 x 64 of 0.101" in found


def test_without_a_contract_the_pixel_scale_is_left_to_the_user():
    found = problem((100, 100), both(0.05), expected=None)
    assert found.endswith(
        "cut 64 x 64 out around the lens, at the pixel scale of the training images"
    )
