"""What a header says of the brightness of a pixel: the factor to e-/s at a zero point.

One e-/s at the zero point Z is a source of AB magnitude Z, or 3631 Jy x 10^(-0.4 Z) (Oke & Gunn
1983, ApJ 266, 713). The gain of the detector plays no part where the zero point is known.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lenssim.cutouts.settings import CutoutSettings
from lenssim.errors import ImportFileError

Header = Mapping[str, Any]

ZERO_POINT_KEYS = ("MAGZERO", "MAGZPT", "MAGZP", "ZEROPNT", "ZEROPT", "ZPAB", "ABZP", "PHOTZP")
"""Keywords of the magnitude of one unit of a pixel's value; there is no standard one."""

EXPOSURE_KEYS = ("EXPTIME", "TEXPTIME", "XPOSURE", "EFFEXPTM")

_PER_SECOND = r"(/s(ec(ond)?s?)?|[.*]?s(ec)?\^?\(?-1\)?)"
_RATE = re.compile(rf"\(?e(lec(tron)?)?s?-?{_PER_SECOND}\)?(/pix(el)?)?")
_ELECTRONS = re.compile(r"e(lec(tron)?)?s?-?")
_COUNTS = re.compile(rf"(adu|dn|counts?|ct|cts)({_PER_SECOND})?")
_AB_ZERO = 3631.0
"""Jy, a source of AB magnitude 0."""

_ARCSEC2_PER_SR = math.degrees(1) ** 2 * 3600**2


@dataclass(frozen=True)
class FluxScale:
    """From the values of a file's pixels to e-/s.

    Attributes:
        factor: that pixel values are multiplied by.
        unit: of the file's pixels, as it is stated.
        zero_point: AB magnitude of one of that unit, NaN if it is not known.
        how: as in "MAGZERO = 24.6".
        assumed: whether nothing is stated, and e-/s at the target's zero point were assumed.
    """

    factor: float
    unit: str
    zero_point: float
    how: str
    assumed: bool = False


def flux_scale(
    place: str,
    header: Header,
    primary: Header,
    settings: CutoutSettings,
    target_zero_point: float | None,
    pixel_area: float | None,
) -> FluxScale:
    """The factor from a file's pixel values to e-/s at a zero point.

    Args:
        place: file and extension, for messages.
        header: of the image.
        primary: of the file, where unit, zero point and exposure time may stand, too.
        settings: what the user says.
        target_zero_point: AB magnitude of 1 e-/s; None to keep the unit of the file.
        pixel_area: of the file's pixels, arcsec^2, for surface brightness; None if not known.

    Raises:
        ImportFileError: if the unit or the zero point is not known, or the exposure time is zero.
    """
    stated = str(header.get("BUNIT") or primary.get("BUNIT") or "").strip()
    unit = settings.unit or stated
    exposure = _exposure(place, header, primary)
    if target_zero_point is None:
        return FluxScale(1.0, unit, math.nan, "kept as stored")
    if settings.zero_point is not None:
        factor = 10 ** (0.4 * (target_zero_point - settings.zero_point))
        how = f"--zero-point {settings.zero_point:g}"
        return FluxScale(factor, unit, settings.zero_point, how)
    flux = _flux_of_unit(place, unit, header, primary, pixel_area)
    if flux is not None:
        zero_point = -2.5 * math.log10(flux / _AB_ZERO)
        factor = 10 ** (0.4 * (target_zero_point - zero_point))
        return FluxScale(factor, unit, zero_point, f"1 {unit} is {flux:.4g} Jy a pixel")
    named = _zero_point(header) or _zero_point(primary)
    if named is not None:
        return FluxScale(10 ** (0.4 * (target_zero_point - named[1])), unit, named[1],
                         f"{named[0]} = {named[1]:.5g}")  # fmt: skip
    photometric = _photflam(header) or _photflam(primary)
    if photometric is not None:
        # PHOTFLAM is that of one unit a second
        seconds = 1.0
        how = f"PHOTFLAM, PHOTPLAM: zero point {photometric:.5g}"
        if not is_rate(unit):
            if exposure is None:
                raise ImportFileError(
                    f"{place}: its unit is {unit or 'not stated'} and it has no exposure time "
                    "(EXPTIME): give its --unit, or the --zero-point of one unit."
                )
            seconds = exposure
            how += f", {seconds:g} s"
        zero_point = photometric + 2.5 * math.log10(seconds)
        return FluxScale(10 ** (0.4 * (target_zero_point - zero_point)), unit, zero_point, how)
    return _without_zero_point(place, unit, exposure, settings, target_zero_point)


def _without_zero_point(
    place: str,
    unit: str,
    exposure: float | None,
    settings: CutoutSettings,
    target_zero_point: float,
) -> FluxScale:
    """Electrons are electrons; any other unit needs a zero point."""
    if is_electron_rate(unit):
        return FluxScale(1.0, unit, math.nan, "no zero point: e-/s kept as they are")
    if _ELECTRONS.fullmatch(_normalised(unit)) and exposure:
        how = f"no zero point: electrons over {exposure:g} s"
        return FluxScale(1 / exposure, unit, math.nan, how)
    if not unit and settings.assumed:
        return FluxScale(1.0, "", target_zero_point, "no unit: taken as e-/s", assumed=True)
    if not unit:
        raise ImportFileError(
            f"{place} states neither unit (BUNIT) nor zero point (MAGZERO, PHOTFLAM): give its "
            "--unit (as e-/s or MJy/sr) or the AB --zero-point of one unit."
        )
    raise ImportFileError(
        f"{place}: its unit is {unit} and its zero point is not stated: give the AB magnitude of "
        "one unit by --zero-point."
    )


def is_electron_rate(unit: str) -> bool:
    """Whether a BUNIT means electrons per second (and pixel)."""
    return _RATE.fullmatch(_normalised(unit)) is not None


def is_rate(unit: str) -> bool:
    """Whether a BUNIT means electrons or counts per second."""
    counts = _COUNTS.fullmatch(_normalised(unit))
    return is_electron_rate(unit) or (counts is not None and counts[2] is not None)


def _flux_of_unit(
    place: str, unit: str, header: Header, primary: Header, pixel_area: float | None
) -> float | None:
    """Jy of one unit of a pixel's value, for units of flux and surface brightness; else None."""
    from astropy import units

    text = unit.strip().removesuffix("/pixel").removesuffix("/pix")
    if re.fullmatch(r"nano-?magg(y|ies)|nmgy", text, re.IGNORECASE):
        return 1e-9 * _AB_ZERO
    if not text or _COUNTS.fullmatch(_normalised(unit)) or is_electron_rate(unit):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        parsed = units.Unit(text.replace("**", "^"), parse_strict="silent")
    if isinstance(parsed, units.UnrecognizedUnit):
        return None
    pivot = _number(header.get("PHOTPLAM")) or _number(primary.get("PHOTPLAM"))
    spectral = units.spectral_density(pivot * units.AA) if pivot else []
    if parsed.is_equivalent(units.Jy, spectral):
        return float(parsed.to(units.Jy, equivalencies=spectral)) or None
    if not parsed.is_equivalent(units.Jy / units.sr, spectral):
        return None
    area = _number(header.get("PIXAR_SR")) or _number(primary.get("PIXAR_SR"))
    if not area:
        if pixel_area is None:
            raise ImportFileError(
                f"{place}: its unit is {unit}, a surface brightness, and its pixel area is not "
                "stated (PIXAR_SR or a WCS): give its --pixel-scale."
            )
        area = pixel_area / _ARCSEC2_PER_SR
    return float(parsed.to(units.Jy / units.sr, equivalencies=spectral)) * area or None


def _exposure(place: str, header: Header, primary: Header) -> float | None:
    """Exposure time in seconds; None if it is not stated."""
    for source in (header, primary):
        for key in EXPOSURE_KEYS:
            value = _number(source.get(key))
            if value is not None:
                if value <= 0:
                    raise ImportFileError(f"{place} has an exposure time of {value:g} s ({key}).")
                return value
    return None


def _zero_point(header: Header) -> tuple[str, float] | None:
    for key in ZERO_POINT_KEYS:
        value = _number(header.get(key))
        if value is not None:
            return key, value
    return None


def _photflam(header: Header) -> float | None:
    """AB magnitude of one unit a second, of Hubble's headers: erg/s/cm^2/Angstrom and Angstrom."""
    flux, wavelength = _number(header.get("PHOTFLAM")), _number(header.get("PHOTPLAM"))
    if flux and wavelength and flux > 0 and wavelength > 0:
        # ACS Data Handbook, sec. 5.1.1
        return -2.5 * math.log10(flux) - 5 * math.log10(wavelength) - 2.408
    return None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _normalised(unit: str) -> str:
    """A unit in lower case without blanks, "per" as a slash, powers by a caret."""
    return re.sub(r"\s+", "", unit.lower().replace("**", "^").replace("per", "/"))
