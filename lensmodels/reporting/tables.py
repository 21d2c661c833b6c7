"""Numbers as text, by one formatter for all pages, and tables as HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Attributes:
        value: as text.
        interval: around it.
        note: besides, as in "3 seeds".
        is_marked: whether it is shaded on a page and bold in Markdown.
        colour: of a dot before it, as in the plots beside the table.
    """

    value: str = ""
    interval: str = ""
    note: str = ""
    is_marked: bool = False
    colour: str | None = None

    def __str__(self) -> str:
        value = f"**{self.value}**" if self.is_marked else self.value
        besides = "; ".join(part for part in (self.interval, self.note) if part)
        return f"{value} ({besides})" if besides else value


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        headings: one a column.
        rows: one cell a column each.
        title: above it.
        sentence: what it shows.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    title: str = ""
    sentence: str = ""

    @property
    def markdown(self) -> str:
        """As Markdown, with its title and its sentence."""
        parts = [f"**{self.title}**" if self.title else "", self.sentence]
        parts.append(markdown_table(self.headings, self.rows))
        return "\n\n".join(part for part in parts if part)


def text_cells(values: Sequence[str]) -> list[TableCell]:
    """Cells of texts."""
    return [TableCell(value) for value in values]


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; floats are shown with three significant digits.

    Args:
        headings: one a column.
        rows: one value a column each.
    """
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(map(_shown, row)) + " |" for row in rows]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
