"""What the header of a FITS image says, held against the contract of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lensmodels.data.contract import (
    UNIT,
    ZERO_POINT_TOLERANCE,
    ImageContract,
    differs,
)

Header = Mapping[str, Any]

ZERO_POINT_KEYS = ("MAGZERO", "MAGZPT", "MAGZP", "ZEROPNT", "ZEROPT", "ZPAB", "ABZP", "PHOTZP")
"""Keywords of the magnitude of one unit of a pixel's value; there is no standard one."""

_ARCSEC_PER_UNIT = {
    "deg": 3600.0,
    "degree": 3600.0,
    "degrees": 3600.0,
    "arcmin": 60.0,
    "arcsec": 1.0,
    "mas": 1e-3,
    "rad": math.degrees(1) * 3600,
}
_CELESTIAL = ("RA--", "DEC-", "GLON", "GLAT", "ELON", "ELAT")
_PER_SECOND = r"(/s(ec(ond)?s?)?|[.*]?s(ec)?\^?\(?-1\)?)"
_RATE = re.compile(rf"\(?e(lec(tron)?)?s?-?{_PER_SECOND}\)?(/pix(el)?)?")
_ELECTRONS = re.compile(r"e(lec(tron)?)?s?-?")
_COUNTS = re.compile(rf"(adu|dn|counts?|ct|cts)({_PER_SECOND})?")


@dataclass(frozen=True)
class HeaderFacts:
    """What a header says; None if it says nothing.

    Attributes:
        unit: BUNIT, as written.
        pixel_scales: along x and y, arcsec.
        zero_point: keyword and value, AB magnitude of one unit of a pixel's value.
    """

    unit: str | None
    pixel_scales: tuple[float, float] | None
    zero_point: tuple[str, float] | None

    @classmethod
    def of(cls, header: Header, primary: Header) -> HeaderFacts:
        """Facts of an image's header; unit and zero point may stand in the primary one."""
        return cls(
            unit=_unit(header) or _unit(primary),
            pixel_scales=pixel_scales(header),
            zero_point=_zero_point(header) or _zero_point(primary),
        )


def brightness_problem(facts: HeaderFacts, contract: ImageContract) -> str | None:
    """How unit and zero point of a header contradict a contract, and what to do; None if neither.

    A zero point tells the factor between the two, whatever the unit is called.
    """
    is_other_unit = (
        facts.unit is not None and contract.unit == UNIT and not is_electron_rate(facts.unit)
    )
    trained = f"the model was trained on {UNIT}"
    if facts.zero_point is not None and differs(
        contract.zero_point, facts.zero_point[1], absolute=ZERO_POINT_TOLERANCE
    ):
        assert contract.zero_point is not None
        key, value = facts.zero_point
        factor = 10 ** (0.4 * (contract.zero_point - value))
        unit = f"unit is {facts.unit} and its " if is_other_unit else ""
        also = ", and BUNIT to electron/s" if is_other_unit else ""
        return (
            f"its {unit}zero point ({key}) is {value:.5g} where {trained} at "
            f"{contract.zero_point:.5g}: multiply the pixels by {factor:.4g} and set {key} to "
            f"{contract.zero_point:.5g}{also}"
        )
    if is_other_unit:
        return f"its unit is {facts.unit} where {trained}: {_conversion(facts)}"
    return None


def header_notes(facts: HeaderFacts, contract: ImageContract) -> list[str]:
    """What the header leaves open, and what is assumed."""
    missing, assumed = [], []
    if facts.unit is None and contract.unit is not None:
        missing.append("unit")
        assumed.append(contract.unit)
    if facts.pixel_scales is None and contract.pixel_scale is not None:
        missing.append("pixel scale")
        assumed.append(f"{contract.pixel_scale:.4g} arcsec")
    notes = []
    if missing:
        notes.append(
            f"the header has no {' and no '.join(missing)}: taken as {' and '.join(assumed)}"
        )
    if facts.unit is not None and contract.unit is None:
        notes.append(
            f"the unit {facts.unit} is not checked: that of the training images is not known"
        )
    return notes


def is_electron_rate(unit: str) -> bool:
    """Whether a BUNIT means electrons per second (and pixel)."""
    return _RATE.fullmatch(_normalised(unit)) is not None


def pixel_scales(header: Header) -> tuple[float, float] | None:
    """Pixel scales along x and y from the CD matrix, or PC and CDELT, arcsec.

    None if the header has no celestial coordinates.
    """
    units = []
    for axis in (1, 2):
        unit = str(header.get(f"CUNIT{axis}", "")).strip().lower()
        is_celestial = str(header.get(f"CTYPE{axis}", "")).upper().startswith(_CELESTIAL)
        if not unit and is_celestial:
            unit = "deg"
        if unit not in _ARCSEC_PER_UNIT:
            return None
        units.append(_ARCSEC_PER_UNIT[unit])
    try:
        matrix = _matrix(header)
    except (TypeError, ValueError):
        return None
    if matrix is None:
        return None
    x, y = np.hypot.reduce(np.array(units)[:, None] * matrix, axis=0)
    return (float(x), float(y)) if x > 0 and y > 0 else None


def _matrix(header: Header) -> np.ndarray | None:
    """From pixels to world coordinates, [world, pixel], in the units of the axes."""
    keys = [[f"{i}_{j}" for j in (1, 2)] for i in (1, 2)]
    if any(f"CD{key}" in header for row in keys for key in row):
        return np.array([[float(header.get(f"CD{key}", 0.0)) for key in row] for row in keys])
    if "CDELT1" not in header or "CDELT2" not in header:
        return None
    turn = np.array(
        [[float(header.get(f"PC{key}", key in ("1_1", "2_2"))) for key in row] for row in keys]
    )
    return np.array([[float(header["CDELT1"])], [float(header["CDELT2"])]]) * turn


def _unit(header: Header) -> str | None:
    return str(header.get("BUNIT", "")).strip() or None


def _zero_point(header: Header) -> tuple[str, float] | None:
    for key in ZERO_POINT_KEYS:
        value = _number(header.get(key))
        if value is not None:
            return key, value
    # as Hubble's headers have it: erg/s/cm^2/Angstrom of one unit, and the pivot wavelength
    flux, wavelength = _number(header.get("PHOTFLAM")), _number(header.get("PHOTPLAM"))
    if flux and wavelength and flux > 0 and wavelength > 0:
        value = -2.5 * math.log10(flux) - 5 * math.log10(wavelength) - 2.408
        return "PHOTFLAM, PHOTPLAM", value
    return None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _conversion(facts: HeaderFacts) -> str:
    unit = _normalised(facts.unit or "")
    if _ELECTRONS.fullmatch(unit):
        how = "divide it by the exposure time and"
    elif _COUNTS.fullmatch(unit) and re.search(_PER_SECOND + "$", unit):
        how = "multiply it by the gain and"
    elif _COUNTS.fullmatch(unit):
        how = "multiply it by the gain, divide it by the exposure time, and"
    else:
        how = "convert it and"
    return f"{how} set BUNIT to electron/s"


def _normalised(unit: str) -> str:
    """A unit in lower case without blanks, "per" as a slash, powers by a caret."""
    return re.sub(r"\s+", "", unit.lower().replace("**", "^").replace("per", "/"))
