"""Which of several images holds a position on the sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import angular_separation
from numpy.typing import NDArray

from lenssim.cutouts.content import read_content
from lenssim.cutouts.fits_file import opened_fits
from lenssim.cutouts.settings import Centre, CutoutSettings
from lenssim.cutouts.sky import Sky
from lenssim.cutouts.stored_image import image_of_fits, is_array_file, is_large
from lenssim.errors import ImportFileError

_MARGIN = 1.1
"""Of the distance of the corners from the middle, beyond which a position is not projected."""


@dataclass(frozen=True)
class Footprint:
    """Where an image lies on the sky.

    Attributes:
        sky: its WCS.
        shape: (height, width), pixels.
    """

    sky: Sky
    shape: tuple[int, int]

    def depths(self, centres: Sequence[Centre]) -> NDArray[np.float64]:
        """How far inside the image positions are.

        Args:
            centres: of kind "sky".

        Returns:
            Pixels to the nearest edge, shape (n,); below 0 outside, minus infinity far outside.
        """
        height, width = self.shape
        middle = self.sky.position_of(0.5 * (width - 1), 0.5 * (height - 1))
        corners = [self.sky.position_of(x, y) for x in (0, width - 1) for y in (0, height - 1)]
        reach = _MARGIN * np.nanmax(_separations(middle, np.array(corners)))
        positions = np.array([(centre.x, centre.y) for centre in centres])
        depths = np.full(len(centres), -np.inf)
        for place in np.flatnonzero(_separations(middle, positions) <= reach).tolist():
            x, y = self.sky.pixel_of(centres[place])
            depths[place] = min(x + 0.5, width - 0.5 - x, y + 0.5, height - 0.5 - y)
        return np.where(np.isnan(depths), -np.inf, depths)


def _separations(
    middle: tuple[float, float], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Angles between a position and others, degrees, shape (n, 2) to (n,)."""
    longitude, latitude = np.radians(positions).T
    return np.degrees(angular_separation(*np.radians(middle), longitude, latitude))


def footprint_of(name: str, settings: CutoutSettings, num_pix: int) -> Footprint:
    """Where the image of a file lies on the sky.

    Args:
        name: of the file, path or URL.
        settings: band or HDU.
        num_pix: side of the cutouts.

    Raises:
        ImportFileError: if it cannot be read, or has no WCS.
        UsageError: if the settings name no image in it.
    """
    if not is_array_file(name):
        with opened_fits(name, Path(name) if is_large(name) else read_content(name)) as file:
            found = image_of_fits(name, file, settings, num_pix)
            sky = Sky.of(found.header)
            if sky is not None and len(found.data.shape) >= 2:
                height, width = found.data.shape[-2:]
                return Footprint(sky, (height, width))
    raise ImportFileError(
        f"{name} has no WCS to find positions by: name the image of each position in a column "
        "file of the table."
    )


def files_of_positions(
    files: Sequence[str], centres: Sequence[Centre], settings: CutoutSettings, num_pix: int
) -> list[str | None]:
    """The image that holds each of some positions.

    Args:
        files: paths or URLs of the images.
        centres: of kind "sky".
        settings: band or HDU.
        num_pix: side of the cutouts.

    Returns:
        Of each position the file in which it is farthest from the edges; None if it is in none.

    Raises:
        ImportFileError: if a file cannot be read, or has no WCS.
        UsageError: if the settings name no image in a file.
    """
    depths = np.stack([footprint_of(name, settings, num_pix).depths(centres) for name in files])
    best = depths.argmax(axis=0)
    is_inside = depths.max(axis=0) >= 0
    return [files[place] if held else None for place, held in zip(best, is_inside, strict=True)]
