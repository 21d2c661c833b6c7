"""What an import of cutouts is asked for, and the image that every cutout becomes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lenssim.errors import UsageError

if TYPE_CHECKING:
    from lenssim.spec import Specification

PIXEL_SCALE_TOLERANCE = 0.03
"""Relative difference of pixel scales that is accepted: Euclid's 0.1 arcsec are called 0.101."""

NoiseKind = Literal["rms", "variance", "inverse-variance", "weight"]
Resampling = Literal["auto", "never"]


@dataclass(frozen=True)
class Centre:
    """Where a cutout is taken.

    Attributes:
        kind: "image", its middle; "brightest", the brightest place near the middle; "sky",
            right ascension and declination; "pixel", x and y.
        x, y: degrees (ICRS) of "sky"; pixels of "pixel", from 0 at the centre of the first one.
    """

    kind: Literal["image", "brightest", "sky", "pixel"] = "image"
    x: float = math.nan
    y: float = math.nan

    def __str__(self) -> str:
        if self.kind == "sky":
            return f"RA {self.x:.6f}, Dec {self.y:.6f}"
        if self.kind == "pixel":
            return f"pixel {self.x:g}, {self.y:g}"
        return self.kind


def parse_centre(text: str) -> Centre:
    """The centre that `--centre` names.

    Args:
        text: "image", "brightest", "RA,DEC" in degrees or as hours and degrees with colons, or
            "pixel:X,Y".

    Raises:
        UsageError: if it is none of these.
    """
    if text in ("image", "brightest"):
        return Centre(text)  # type: ignore[arg-type]
    wrong = UsageError(
        f"--centre {text}: write image, brightest, RA,DEC in degrees (or as 04:15:12.3,-57:01:02), "
        "or pixel:X,Y."
    )
    is_pixel = text.startswith("pixel:")
    first, comma, second = text.removeprefix("pixel:").partition(",")
    if not comma:
        raise wrong
    if is_pixel:
        x, y = _number(first), _number(second)
    else:
        x, y = parse_angle(first, is_hours=True), parse_angle(second)
    if x is None or y is None or (not is_pixel and not (0 <= x < 360 and -90 <= y <= 90)):
        raise wrong
    return Centre("pixel" if is_pixel else "sky", x, y)


def parse_angle(text: str, *, is_hours: bool = False) -> float | None:
    """Degrees of an angle written as a number of degrees, or with colons; None if it is neither.

    Args:
        text: as in "62.4" or "04:09:36".
        is_hours: whether an angle with colons is in hours, as right ascensions are.
    """
    match = re.fullmatch(r"\s*([+-]?)(\d+):(\d+):(\d+(?:\.\d*)?)\s*", text)
    if match is None:
        return _number(text)
    sign, whole, minutes, seconds = match.groups()
    value = int(whole) + int(minutes) / 60 + float(seconds) / 3600
    return (-value if sign == "-" else value) * (15 if is_hours else 1)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class CutoutSettings:
    """How images are found in files, and what the files do not say.

    Attributes:
        band: name of the filter, as in "VIS".
        hdu: EXTNAME, EXTNAME,EXTVER or number of the extension with the image.
        centre: of the cutouts, where a table gives no other.
        pixel_scale: arcsec, where the WCS does not tell.
        unit: of a pixel's value, where BUNIT does not tell.
        zero_point: AB magnitude of one unit of a pixel's value, where the header does not tell.
        noise, mask, psf: extension or file of these; found by their names if not given, "none" for
            none.
        noise_kind: what the noise map holds; told by its name if not given.
        resampling: "auto", where scale or angle differ by more than `PIXEL_SCALE_TOLERANCE` or
            `sky.ANGLE_TOLERANCE`; "never", to refuse such images.
        assumed: whether a unit, zero point or pixel scale that is not stated is that of the target.
    """

    band: str | None = None
    hdu: str | None = None
    centre: Centre = Centre()
    pixel_scale: float | None = None
    unit: str | None = None
    zero_point: float | None = None
    noise: str | None = None
    noise_kind: NoiseKind | None = None
    mask: str | None = None
    psf: str | None = None
    resampling: Resampling = "auto"
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.band is not None and self.hdu is not None:
            raise UsageError("--band and --hdu both choose the image: give one of them.")
        if self.pixel_scale is not None and not 0 < self.pixel_scale <= 10:
            raise UsageError(
                f"--pixel-scale {self.pixel_scale:g} must be above 0 and at most 10 arcsec."
            )
        if self.zero_point is not None and not 0 < self.zero_point < 40:
            raise UsageError(
                f"--zero-point {self.zero_point:g} must be an AB magnitude between 0 and 40."
            )


@dataclass(frozen=True)
class Target:
    """The image that every cutout becomes.

    Attributes:
        num_pix: pixels on a side.
        pixel_scale: arcsec; None to keep that of the files.
        zero_point: AB magnitude of 1 e-/s; None to keep the unit of the files.
    """

    num_pix: int
    pixel_scale: float | None
    zero_point: float | None

    @classmethod
    def of(cls, spec: Specification) -> Target:
        """Pixels and zero point of a specification's instrument."""
        instrument = spec.instrument
        return cls(instrument.num_pix, instrument.pixel_scale, instrument.zero_point)
