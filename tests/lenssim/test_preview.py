"""The preview: what is in the picture."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

import lenssim
from lenssim.errors import UsageError
from lenssim.preview import _draw, _draw_imported, _examples, _groups_to_show


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return lenssim.generate("B", train=6, test=2, out=tmp_path_factory.mktemp("preview"))


def test_the_picture_shows_every_class_with_captions_scale_and_bars(archive):
    figure = _draw(archive, _groups_to_show(archive))
    words = " ".join(
        [text.get_text() for axes in figure.axes for text in axes.texts]
        + [text.get_text() for text in figure.texts]
        + [axes.get_xlabel() for axes in figure.axes]
    )
    for expected in ("axion vortex", "CDM subhalos", "no substructure", "eV", '1"', "sigma"):
        assert expected in words
    assert words.count("eV") == 3


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("draw", [_draw, _draw_imported])
def test_no_text_is_cut_by_the_edge_or_covers_another(archive, count, draw):
    figure = draw(archive, _groups_to_show(archive)[:count])
    FigureCanvasAgg(figure).draw()
    labels = [axes.xaxis.label for axes in figure.axes if axes.get_xlabel()]
    boxes = [text.get_window_extent() for text in (*figure.texts, *labels)]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    assert not any(first.overlaps(other) for first, other in combinations(boxes, 2))


def test_a_simulation_plots_its_image_and_the_residual_against_the_smooth_lens():
    spec = lenssim.load_spec("B", ["instrument.num_pix=32"])
    simulation = lenssim.simulate(spec, "axion", 0)
    image, noise_free, residual = simulation.plot(spec)
    np.testing.assert_array_equal(image.images[0].get_array(), simulation.image)
    np.testing.assert_array_equal(noise_free.images[0].get_array(), simulation.noise_free)
    assert np.abs(residual.images[0].get_array()).max() > 5
    assert residual.get_xlabel() == "x [arcsec]"
    assert [axes.get_xlabel() for axes in simulation.plot()] == ["x [pixel]"] * 2
    plt.close("all")


def test_axion_examples_span_the_masses(archive):
    dataset = archive.dataset("train", "axion")
    masses = dataset["axion_mass"].values
    chosen = masses[_examples(dataset, "axion")]
    assert list(chosen) == sorted(chosen)
    assert len(set(chosen)) == 3


def test_residuals_of_the_empty_class_are_noise(archive):
    figure = _draw(archive, _groups_to_show(archive))
    grid = [axes for axes in figure.axes if axes.images]
    residual = np.asarray(grid[5].images[0].get_array())  # first row: image, residual, by class
    assert residual.mean() == pytest.approx(0, abs=0.08)
    assert residual.std() == pytest.approx(1, abs=0.05)


def test_an_archive_of_one_class_and_one_image(tmp_path):
    archive = lenssim.generate("A", ["cdm"], train=0, test=1, out=tmp_path / "a")
    path = lenssim.draw_preview(archive, tmp_path / "one.png")
    assert imread(path).ndim == 3


def test_an_unknown_kind_of_picture_is_one_sentence(archive, tmp_path):
    with pytest.raises(UsageError, match=r"\.png, \.pdf or \.svg"):
        lenssim.draw_preview(archive, tmp_path / "picture.xyz")


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_only_an_earlier_preview_is_replaced_and_only_when_told(archive, suffix, tmp_path):
    picture = tmp_path / f"picture{suffix}"
    lenssim.draw_preview(archive, picture)
    first = picture.stat().st_mtime_ns
    with pytest.raises(UsageError, match="--overwrite"):
        lenssim.draw_preview(archive, picture)
    assert picture.stat().st_mtime_ns == first
    lenssim.draw_preview(archive, picture, overwrite=True)
    assert picture.stat().st_mtime_ns > first
    assert list(tmp_path.iterdir()) == [picture]


def test_picture_of_another_program_or_of_an_archive_is_not_replaced(archive, tmp_path):
    other = tmp_path / "other.png"
    Figure().savefig(other)
    own = Path(archive.location.url, "preview.png")
    for picture in (other, own):
        before = picture.read_bytes()
        with pytest.raises(UsageError, match="not an earlier output"):
            lenssim.draw_preview(archive, picture, overwrite=True)
        assert picture.read_bytes() == before
