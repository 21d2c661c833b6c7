"""Noise, sky level and brightness of images, from their pixels alone."""

from __future__ import annotations

import torch
from torch import Tensor

NORMAL_OVER_MAD = 1.4826
"""Standard deviation over median absolute deviation, of a normal distribution."""


def sky_rows(images: Tensor) -> Tensor:
    """The outermost rows of images, an eighth of the height on each side, where light is least.

    Args:
        images: shape (n, 1, height, width), any unit.

    Returns:
        Shape (n, 1, rows, width).
    """
    height = max(2, images.shape[-2] // 8)
    return torch.cat([images[..., :height, :], images[..., -height:, :]], dim=-2)


def image_statistics(images: Tensor) -> dict[str, Tensor]:
    """Four numbers an image that tell other units, exposures and instruments apart.

    Args:
        images: shape (n, 1, height, width), e-/s per pixel.

    Returns:
        Each of shape (n,), float64, e-/s:
        noise: standard deviation of the background in a pixel, from the differences of neighbours
            in the outermost rows by their median absolute deviation;
        sky: median of the outermost rows;
        flux: sum of all pixels above the sky level;
        peak: brightest pixel above the sky level.
    """
    rows = sky_rows(images).double()
    differences = (rows[..., 1:] - rows[..., :-1]).flatten(1)
    centred = differences - differences.median(1, keepdim=True).values
    noise = NORMAL_OVER_MAD / 2**0.5 * centred.abs().median(1).values
    sky = rows.flatten(1).median(1).values
    above = images.double().flatten(1) - sky[:, None]
    return {"noise": noise, "sky": sky, "flux": above.sum(1), "peak": above.amax(1)}
