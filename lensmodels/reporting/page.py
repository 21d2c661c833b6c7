"""Self-contained pages: plots are inlined, nothing is loaded, no script runs."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from lensmodels.errors import LensmodelsError
from lensmodels.reporting import style
from lenssim.storage.atomic import replacing

TEMPLATES = Path(__file__).with_name("templates")

_PIXELS_PER_INCH = 96

_COLUMN = 560
"""Width of a column of plots, CSS pixels."""


@dataclass(frozen=True)
class PagePlot:
    """A plot in the page: a PNG with its heading and caption."""

    heading: str
    caption: str
    png: bytes

    @property
    def data_uri(self) -> str:
        """The PNG as an address that holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def shown_width(self) -> int:
        """Width at which its text has the size of the page's, in CSS pixels."""
        [width] = struct.unpack(">I", self.png[16:20])  # of the PNG's header
        return round(width * _PIXELS_PER_INCH / style.RESOLUTION)

    @property
    def is_wide(self) -> bool:
        """Whether it is too wide for one of two columns."""
        return self.shown_width > _COLUMN


def render(template: str, *, templates: Path = TEMPLATES, **values: Any) -> str:
    """A page as HTML; text from files and settings is escaped.

    Args:
        template: name of the template.
        templates: folder of the template; it may extend those of this package.
        values: of all its variables.
    """
    environment = Environment(
        loader=FileSystemLoader([templates, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_text(path: Path, text: str) -> Path:
    """Writes a page, whole or not at all; returns its path.

    Raises:
        LensmodelsError: if it cannot be written.
    """
    try:
        with replacing(path) as scratch:
            scratch.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LensmodelsError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def png_of(figure: Figure) -> bytes:
    """A plot as a PNG of 128 colours, a third of the size of one with all colours."""
    drawn, content = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        reduced = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    reduced.save(content, format="png", optimize=True)
    return content.getvalue()
