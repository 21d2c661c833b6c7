"""Draw images and residuals of lenses with matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.colors import AsinhNorm
from numpy.typing import NDArray

RESIDUAL_RANGE = 6.0
"""Residuals are shown between plus and minus this many sigma."""

_FLUX_TICKS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def asinh_stretch(images: NDArray[np.float64], sigma: float) -> AsinhNorm:
    """Colour scale for images of one brightness: linear in the noise, logarithmic far above.

    Args:
        images: e-/s, any shape.
        sigma: noise of an empty pixel, e-/s.

    Returns:
        A normalisation for matplotlib's `imshow`.
    """
    brightest = float(np.quantile(images, 0.9995))
    return AsinhNorm(linear_width=8 * sigma, vmin=-3 * sigma, vmax=brightest)


def set_flux_ticks(bar: Colorbar) -> None:
    """Label a colour bar of an `asinh_stretch` in round numbers."""
    ticks = [tick for tick in _FLUX_TICKS if tick <= (bar.norm.vmax or 0)]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()


def plot_panels(
    image: NDArray[np.float64],
    noise_free: NDArray[np.float64],
    residual: NDArray[np.float64] | None = None,
    pixel_scale: float | None = None,
    title: str = "",
) -> NDArray[Any]:
    """Draw one image, the same before the noise, and its residual, side by side.

    Args:
        image, noise_free: e-/s, shape (y, x).
        residual: in units of the noise, shape (y, x).
        pixel_scale: arcsec; the axes are in pixels if not given.
        title: of the figure.

    Returns:
        The axes, one a panel.
    """
    from matplotlib import pyplot as plt  # chooses a window system, which a preview needs not

    panels = [("image", image), ("before the noise", noise_free)]
    if residual is not None:
        panels.append(("residual against the smooth lens", residual))
    num_pix = len(image)
    half = 0.5 * num_pix * (pixel_scale or 1.0)
    extent = (-half, half, -half, half) if pixel_scale else (-0.5, num_pix - 0.5) * 2
    # the noise of an empty pixel, from what differs between neighbours
    sigma = float(np.median(np.abs(np.diff(image)))) or float(noise_free.max()) / 100
    stretch = asinh_stretch(noise_free, sigma)
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4 * len(panels), 3.8), squeeze=False, layout="constrained"
    )
    for axis, (name, values) in zip(axes[0], panels, strict=True):
        colours: dict[str, Any] = {"cmap": "inferno", "norm": stretch}
        label = "e$^-$/s per pixel"
        if values is residual:
            colours = {"cmap": "RdBu_r", "vmin": -RESIDUAL_RANGE, "vmax": RESIDUAL_RANGE}
            label = r"(image $-$ smooth lens) / $\sigma$"
        shown = axis.imshow(values, origin="lower", extent=extent, **colours)
        bar = figure.colorbar(shown, ax=axis, label=label, location="bottom", shrink=0.8)
        if values is not residual:
            set_flux_ticks(bar)
        axis.set_title(name)
        unit = "arcsec" if pixel_scale else "pixel"
        axis.set(xlabel=f"x [{unit}]", ylabel=f"y [{unit}]")
    figure.suptitle(title)
    return axes[0]
