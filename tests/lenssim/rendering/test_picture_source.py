"""Images of sources that are pictures: converged, as lenstronomy's, and the same everywhere."""

import dataclasses

import numpy as np
import pytest

import lenssim
from lenssim.errors import UsageError
from lenssim.lens_fit import PICTURE_PARAMETERS, smooth_derivatives
from lenssim.live import live_source
from lenssim.observation import noise_sigma, pixel_noise
from lenssim.population import random_stream, replaced
from lenssim.rendering import engine
from lenssim.simulation import draw_system, render, simulate, smooth_system
from lenssim.spec import Sampling, load_spec

SMALL = ["instrument.num_pix=40"]


def specification(folder, name="B", more="", extra=()):
    given = f"source.images={{folder: {folder}, pixel_scale: 0.03{more}}}"
    return load_spec(name, [*SMALL, given, *extra])


def drawn(spec, name, index):
    return draw_system(spec, name, random_stream(0, spec.name, "train", name, index, "population"))


def distance(image, other, spec):
    sigma = noise_sigma(other, pixel_noise(spec.instrument))
    return float(np.sqrt((((image - other) / sigma) ** 2).sum()))


@pytest.mark.parametrize(("model", "subsamples"), [("B", 24), ("B-wide", 16)])
def test_images_are_converged_to_half_of_the_noise(picture_folder, model, subsamples):
    spec = specification(picture_folder, model)
    systems = [drawn(spec, name, i) for i, name in enumerate(("cdm", "axion", "no_sub"))]
    fine = Sampling(subsamples=subsamples)
    errors = [
        distance(render(each, spec), render(each, spec, sampling=fine), spec) for each in systems
    ]
    assert np.median(errors) < 0.5
    assert max(errors) < 2.0


def test_both_engines_agree_at_equal_sampling(picture_folder):
    spec = specification(picture_folder)
    systems = [drawn(spec, "axion", 1), drawn(spec, "no_sub", 2)]
    noise = pixel_noise(spec.instrument)
    image, other = (
        engine(name)(systems, spec, Sampling(subsamples=2), noise)
        for name in ("fast", "lenstronomy")
    )
    assert np.abs(image - other).max() < 1e-6 * other.max()


def test_an_unlensed_picture_has_the_flux_of_its_magnitude(picture_folder):
    spec = specification(picture_folder)
    system = replaced(
        drawn(spec, "no_sub", 0), lens_theta_e=1e-9, source_x=0.1, source_y=-0.2, source_angle=0.6
    )
    flux = 10 ** (-0.4 * (system.source_magnitude - spec.instrument.zero_point))
    assert render(system, spec).sum() == pytest.approx(flux, rel=2e-4)


def test_archives_without_pictures_keep_their_draws(picture_folder):
    plain, with_pictures = load_spec("B"), specification(picture_folder)
    first, second = drawn(plain, "axion", 3), drawn(with_pictures, "axion", 3)
    assert first.source_galaxy == -1
    assert second.source_galaxy >= 0
    assert (first.source_x, first.source_magnitude) == (second.source_x, second.source_magnitude)


def test_the_size_is_that_of_the_specification_or_of_the_sky(picture_folder):
    spec = specification(picture_folder, more=", psf_fwhm: 0.1")
    system = drawn(spec, "no_sub", 0)
    assert system.source_r_sersic == 0.25
    own = drawn(specification(picture_folder, more=", scale: 0.5, psf_fwhm: 0.1"), "no_sub", 0)
    assert own.source_galaxy == system.source_galaxy
    # the width of the PSF goes with the size of the picture
    assert own.source_picture_fwhm == pytest.approx(0.05)
    assert own.source_r_sersic / 0.25 == pytest.approx(0.05 / system.source_picture_fwhm)


def test_derivatives_are_those_of_differences(picture_folder):
    spec = specification(picture_folder)
    system = smooth_system(drawn(spec, "no_sub", 1))
    rows = smooth_derivatives(system, spec)
    assert len(rows) == len(PICTURE_PARAMETERS)
    fine = Sampling(subsamples=8)
    for row, parameter in zip(rows, PICTURE_PARAMETERS, strict=True):
        if parameter.name not in ("lens_theta_e", "lens_slope") and "source" not in parameter.name:
            continue
        ends = [
            replaced(
                system, **{parameter.name: getattr(system, parameter.name) + sign * parameter.step}
            )
            for sign in (1, -1)
        ]
        above, below = (render(end, spec, sampling=fine) for end in ends)
        difference = (above - below) / (2 * parameter.step)
        error = np.linalg.norm(row - difference) / np.linalg.norm(difference)
        assert error < 0.03, parameter.name


def test_the_refit_takes_something_out(picture_folder):
    spec = specification(picture_folder, extra=["observation.refit_snr=all"])
    made = simulate(spec, "axion", 0)
    assert 0 < made.substructure_snr_refit < made.substructure_snr


def test_a_selection_measures_the_arcs_of_pictures(picture_folder):
    spec = specification(
        picture_folder, extra=["selection={magnification_min: 2.0, arc_snr_min: 10.0}"]
    )
    system = drawn(spec, "cdm", 0)
    assert system.magnification >= 2.0
    assert system.arc_snr >= 10.0


def test_pairs_draw_another_galaxy_of_the_same_split(picture_folder):
    spec = specification(picture_folder)
    source = live_source(spec, ["axion"], batch_size=8, workers=0, pairs="source", split="test")
    with source:
        batch = next(source)
    held = set(lenssim.pictures.open_library(spec.source.images).galaxies("test").tolist())
    first, second = (columns["source_galaxy"] for columns in (batch.columns, batch.second_columns))
    assert first.dtype == np.int64
    assert set(first.tolist()) | set(second.tolist()) <= held
    assert (first != second).any()
    alone = simulate(spec, "axion", 5, split="test")
    assert np.array_equal(batch.images[5], alone.image.astype(np.float32))


def test_an_archive_names_its_pictures_and_verifies_while_they_are_there(picture_folder, tmp_path):
    place = tmp_path / "galaxies"
    place.mkdir()
    for number in range(100, 112):
        (place / f"{number}.npy").write_bytes((picture_folder / f"{number}.npy").read_bytes())
    spec = specification(place, more=", psf_fwhm: 0.1")
    archive = lenssim.generate(spec, ["axion"], train=2, test=0, out=tmp_path / "archive")
    group = archive.dataset("train", "axion").load()
    alone = simulate(spec, "axion", 1)
    assert np.array_equal(group["image"].values[1], alone.image.astype(np.float32))
    assert group["source_galaxy"].values.tolist()[1] == alone.system.source_galaxy
    assert group["source_galaxy"].dtype == np.int64
    assert group["source_picture_fwhm"].values.min() > 0
    held = archive.spec.source.images
    assert len(held.sha256) == 64
    assert lenssim.verify(archive.location.url, deep=1).problems == ()
    assert "Pictures are no sources" in (tmp_path / "archive" / "README.md").read_text()
    np.save(place / "100.npy", np.load(place / "101.npy"))
    assert lenssim.verify(archive.location.url).problems == ()
    with pytest.raises(UsageError, match="other pictures than the specification names"):
        lenssim.verify(archive.location.url, deep=1)


def test_a_system_of_a_picture_needs_the_specification_that_names_it(picture_folder):
    system = drawn(specification(picture_folder), "no_sub", 0)
    with pytest.raises(UsageError, match=r"source\.images of B is not given"):
        render(system, load_spec("B", SMALL))
    assert dataclasses.asdict(system)["source_galaxy"] == system.source_galaxy
