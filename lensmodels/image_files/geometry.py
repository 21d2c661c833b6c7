"""Images of another size or pixel scale than the model takes: what is wrong, and what to do."""

from __future__ import annotations

from lensmodels.data.contract import PIXEL_SCALE_TOLERANCE, differs


def geometry_problem(
    shape: tuple[int, ...],
    num_pix: int,
    *,
    pixel_scales: tuple[float, float] | None,
    expected_pixel_scale: float | None,
) -> str | None:
    """What is wrong with the size and pixel scale of an image, and what to do; None if nothing.

    To cut an image of other pixels to the model's size would change the scale of the lens: the
    advice is to resample it first.

    Args:
        shape: of the image or of a stack of them, (..., height, width), pixels.
        num_pix: side of the images that the model takes, pixels.
        pixel_scales: of the image along x and y, arcsec; None if they are not known.
        expected_pixel_scale: of the training images, arcsec; None if it is not known.
    """
    height, width = shape[-2:]
    is_rescaled = any(
        differs(expected_pixel_scale, scale, relative=PIXEL_SCALE_TOLERANCE)
        for scale in pixel_scales or ()
    )
    if (height, width) == (num_pix, num_pix) and not is_rescaled:
        return None
    is_small = min(height, width) < num_pix
    cut = f"cut {num_pix} x {num_pix} out around the lens"
    if expected_pixel_scale is None:
        advice = "take a larger cutout" if is_small else cut
        advice += ", at the pixel scale of the training images"
    elif is_rescaled:
        assert pixel_scales is not None
        field = num_pix * expected_pixel_scale
        resample = f"resample it to {expected_pixel_scale:.4g} arcsec a pixel, conserving flux"
        if min(width * pixel_scales[0], height * pixel_scales[1]) < field:
            advice = f"take a cutout at least {field:.1f} arcsec wide, and {resample}"
        else:
            advice = f"{resample}, and then {cut}"
    elif is_small:
        advice = f"take a larger cutout, with pixels of {expected_pixel_scale:.4g} arcsec"
    elif pixel_scales is None:
        advice = (
            f"resample it to {expected_pixel_scale:.4g} arcsec a pixel if it has others, and {cut}"
        )
    else:
        advice = cut
    expected = "" if expected_pixel_scale is None else f" of {expected_pixel_scale:.4g} arcsec"
    return (
        f"it has {width} x {height} pixels{_of(pixel_scales)} where the model takes {num_pix} x "
        f"{num_pix}{expected}: {advice}"
    )


def cutout_of_model(num_pix: int, pixel_scale: float | None) -> str:
    """What to cut out of an image whose pixel scale is not known, for a model.

    Args:
        num_pix: side of the images that the model takes, pixels.
        pixel_scale: of the training images, arcsec; None if it is not known.

    Returns:
        A clause with the width in pixels.
    """
    scale = "the pixel scale of the training images"
    if pixel_scale is not None:
        scale = f"{pixel_scale:.4g} arcsec a pixel"
    return f"{num_pix} x {num_pix} pixels (resampled to {scale} if it has others)"


def _of(pixel_scales: tuple[float, float] | None) -> str:
    texts = dict.fromkeys(f"{scale:.4g}" for scale in pixel_scales or ())
    return f" of {' x '.join(texts)} arcsec" if texts else ""
