"""Tables, as HTML by the macro `table` of the templates and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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
