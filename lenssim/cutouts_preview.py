"""A picture of an archive of telescope cutouts: some of them, with north, east and a scale bar."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenssim.archive import Archive
from lenssim.spec import UNLABELLED

SHOWN = 12
"""Images of a picture, at most."""

_COLUMNS = 4
_PANEL = 2.3
"""Inches of a side of an image."""

_DEVIATIONS = 5.0
"""Residual at the ends of the colours, standard deviations."""

_INK = "#e8e6e3"


def draw_cutouts(archive: Archive) -> Figure:
    """Draws cutouts that are spread over an archive, each beside its residual if it was fitted.

    Args:
        archive: opened, with the group train/unlabelled in Zarr.

    Returns:
        The figure: each image in an asinh stretch of its own, so that arcs are seen beside a lens
        galaxy, with its position on the sky; residuals from -5 to 5 in units of the noise.
    """
    dataset = archive.dataset("train", UNLABELLED)
    total = dataset.sizes["sample"]
    shown = np.unique(np.linspace(0, total - 1, min(total, SHOWN)).round().astype(int))
    group = archive.record("train", UNLABELLED).name
    fits = archive.fits("train", UNLABELLED) if archive.manifest.has_fits(group) else None
    panels = len(shown) if fits is None else 2 * len(shown)
    columns = max(2, min(panels, _COLUMNS))
    rows = math.ceil(panels / columns)
    with mpl.rc_context({"text.color": _INK, "font.size": 9}):
        title = f"{archive.manifest.name}: {len(shown)} of {total:,} cutouts, asinh stretch"
        if fits is not None:
            gap = ";\n" if columns < _COLUMNS else "; "
            title += f"{gap}residuals of their fits, -5 to 5"
        heading = 0.42 + 0.17 * title.count("\n")
        figure = Figure(figsize=(_PANEL * columns, _PANEL * rows + heading + 0.03), dpi=150)
        axes = figure.subplots(rows, columns, squeeze=False)
        top = 1 - heading / figure.get_figheight()
        figure.subplots_adjust(0.01, 0.01, 0.99, top, wspace=0.03, hspace=0.03)
        for axis in axes.flat:
            axis.set_axis_off()
        free = iter(axes.flat)
        for sample in shown.tolist():
            _draw(next(free), archive.load(dataset.isel(sample=sample)))
            if fits is not None:
                _draw_residual(next(free), archive.load(fits.isel(sample=sample)))
        figure.text(0.015, (1 + top) / 2, title, fontsize=10, alpha=0.85, va="center")
    return figure


def _draw(axis: Axes, sample: xr.Dataset) -> None:
    """One cutout, with a bar of one arcsec, and the directions of north and east if known."""
    image = sample["image"].values
    axis.imshow(image, "inferno", norm=own_range(image), origin="lower")
    axis.text(0.04, 0.96, _caption(sample), transform=axis.transAxes, va="top", fontsize=7.5)
    size = len(image)
    scale = float(sample["pixel_scale"])
    if np.isfinite(scale):
        left, low = 0.05 * size, 0.06 * size
        axis.plot([left, left + 1 / scale], [low, low], color=_INK, linewidth=1.5)
        axis.text(left + 0.5 / scale, low + 0.02 * size, '1"', ha="center", va="bottom", fontsize=7)
    angle = math.radians(float(sample["north_angle"]))
    if math.isnan(angle):
        return
    corner = np.array([0.93, 0.08]) * size
    north = np.array([-math.sin(angle), math.cos(angle)])
    for name, direction in (("N", north), ("E", np.array([-north[1], north[0]]))):
        (x, y), (end_x, end_y) = corner, corner + 0.12 * size * direction
        arrow = {"arrowstyle": "->", "color": _INK, "linewidth": 0.8}
        axis.annotate("", (end_x, end_y), (x, y), arrowprops=arrow)
        label_x, label_y = corner + 0.16 * size * direction
        axis.text(label_x, label_y, name, ha="center", va="center", fontsize=6.5)


def _draw_residual(axis: Axes, fit: xr.Dataset) -> None:
    """The residual of a cutout's fit, with what the fit is worth."""
    limits = Normalize(-_DEVIATIONS, _DEVIATIONS)
    axis.imshow(fit["residual"].values, "RdBu_r", norm=limits, origin="lower")
    found = "" if int(fit["converged"]) else ", not converged"
    text = rf"$\chi^2_\nu$ = {float(fit['reduced_chi_square']):.2f}{found}"
    axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=7.5, color="black")


def own_range(image: NDArray[np.float32]) -> Normalize:
    """Colours of a cutout: 1% to 99.9% of its pixels, by asinh.

    Args:
        image: any unit, shape (y, x).
    """
    low, high = (float(value) for value in np.quantile(image, [0.01, 0.999]))
    if not high > low:
        return Normalize(low, low + 1)
    return AsinhNorm(linear_width=0.05 * (high - low), vmin=low, vmax=high)


def _caption(sample: xr.Dataset) -> str:
    """Where on the sky an image is, or its number if that is not known."""
    ra, dec = float(sample["ra"]), float(sample["dec"])
    if np.isfinite(ra) and np.isfinite(dec):
        return f"{ra:.5f} {dec:+.5f}"
    return f"sample {int(sample['sample'])}"
