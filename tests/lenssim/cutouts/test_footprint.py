"""Which image holds a position: the one in which it is farthest from the edges."""

import numpy as np
import pytest

from lenssim.cutouts.footprint import files_of_positions, footprint_of
from lenssim.cutouts.settings import Centre, CutoutSettings

from .conftest import sky_header


def tile(write, name, *, dec=0.0, **how):
    header = sky_header(0.1, size=100, **how)
    header["CRVAL2"] += dec / 3600
    return str(write(name, (np.zeros((100, 100), np.float32), "SCI", header)))


def at(east, north):
    """A position by its offset from the middle of the first tile, arcsec."""
    dec = -50.8 + north / 3600
    return Centre("sky", 57.0 + east / 3600 / np.cos(np.radians(dec)), dec)


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_depth_is_the_distance_from_the_nearest_edge(write, angle):
    footprint = footprint_of(tile(write, "a.fits", angle=angle), CutoutSettings(), 32)
    depths = footprint.depths([at(0, 0), Centre("sky", 57.0, 40.0)])
    assert depths[0] == pytest.approx(50, abs=1e-3)
    assert depths[1] == -np.inf


def test_a_position_in_an_overlap_is_in_the_image_that_has_more_around_it(write):
    files = [tile(write, "a.fits"), tile(write, "b.fits", dec=8.0)]
    centres = [at(0, 3.0), at(0, 4.5), at(0, -4.9), at(0, 12.9), at(0, 13.2), at(6.0, 0)]
    found = files_of_positions(files, centres, CutoutSettings(), 32)
    assert found == [files[0], files[1], files[0], files[1], None, None]
