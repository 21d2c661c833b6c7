"""The picture of an archive of telescope cutouts."""

import numpy as np
import pytest

from lenssim.build.importers.cutouts import import_cutouts
from lenssim.cutouts.settings import CutoutSettings
from lenssim.cutouts_preview import draw_cutouts, own_range


@pytest.mark.usefixtures("plain_pictures")
def test_cutouts_are_drawn_with_their_number(tmp_path):
    stack = np.random.default_rng(0).normal(0, 1, (3, 64, 64))
    np.save(tmp_path / "stack.npy", stack)
    settings = CutoutSettings(unit="e-/s", pixel_scale=0.101)
    archive = import_cutouts([tmp_path / "stack.npy"], tmp_path / "archive", settings=settings)
    figure = draw_cutouts(archive)
    drawn = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    np.testing.assert_allclose(np.stack(drawn), stack, rtol=1e-6)
    assert figure.axes[1].texts[0].get_text() == "sample 1"
    assert figure.texts[0].get_text() == "stack: 3 of 3 cutouts, asinh stretch"


def test_an_image_of_one_value_has_a_range():
    assert own_range(np.zeros((4, 4), np.float32))(0.0) == 0.0
