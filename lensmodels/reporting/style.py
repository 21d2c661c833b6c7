"""The look of every plot: colours, fonts, sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#22252b"
"""Text and axes."""

QUIET = "#8a8f98"
"""What is there for comparison: chance, the diagonal, the grid."""

CLASS_COLOURS = {"axion": "#d55e00", "cdm": "#0072b2", "no_sub": "#6b6f76"}
"""From the palette of Okabe & Ito 2008, which the colour-blind tell apart."""

CLASS_NAMES = {"axion": "axion vortex", "cdm": "CDM subhalos", "no_sub": "no substructure"}

RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255")
"""Of runs side by side, in their order; the same palette, and a wine red that it lacks."""

ACCENT = "#0072b2"

BOUND_LINE: Any = {"color": "#d55e00", "linestyle": "--", "linewidth": 1.4}
"""Line of a bound or a threshold."""

DIVERGING = "RdBu_r"
"""For residuals: white at zero."""

SEQUENTIAL = "viridis"
"""Perceptually uniform, for quantities."""

SKY = "inferno"
"""Perceptually uniform, for images of the sky."""

DENSITY = "Blues"
"""One hue of rising darkness, for counts."""

RESOLUTION = 160
"""Dots per inch of the PNGs."""

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b9bdc4",
    "axes.linewidth": 0.8,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.7,
    "xtick.color": "#b9bdc4",
    "ytick.color": "#b9bdc4",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "axes.formatter.use_mathtext": True,
    "axes.formatter.useoffset": False,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draws what is inside in our style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float = 5.2, height: float = 4.2) -> Figure:
    """An empty plot of a size in inches, laid out without overlaps."""
    return Figure(figsize=(width, height), dpi=RESOLUTION, layout="constrained")


def colour_of_run(number: int) -> str:
    """Colour of the run at a place in the list."""
    return RUN_COLOURS[number % len(RUN_COLOURS)]


def without_grid(axes: Axes) -> None:
    """Takes grid, ticks and frame away, for pictures and maps."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
