"""Numbers as text: the one formatter of every page, table and sentence."""

from __future__ import annotations

from collections.abc import Sequence

_SUPERSCRIPTS = str.maketrans(
    "-.0123456789", "\u207b\u00b7\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)


def format_value(value: float | None, digits: int = 4) -> str:
    """A number with so many decimals, and a minus sign in place of a hyphen.

    None is "undefined".
    """
    return "undefined" if value is None else _with_minus(f"{value:.{digits}f}")


def format_difference(value: float, digits: int) -> str:
    """A difference, always with its sign."""
    return _with_minus(f"{value:+.{digits}f}")


def format_interval(ends: Sequence[float] | None, digits: int = 4) -> str:
    """An interval as "0.990 to 0.996"; empty for None."""
    return " to ".join(format_value(end, digits) for end in ends) if ends else ""


def format_power(exponent: float) -> str:
    """A power of ten, with a superscript."""
    return f"10{f'{exponent:g}'.translate(_SUPERSCRIPTS)}"


def format_share(part: int, whole: int) -> str:
    """A share in percent; "undefined" of nothing."""
    return f"{part / whole:.1%}" if whole else "undefined"


def _with_minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
