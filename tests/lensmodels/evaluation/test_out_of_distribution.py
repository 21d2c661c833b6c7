"""Novelty: images unlike the training set are flagged, and few at home."""

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits
from scipy.special import erf

import lenssim
from lensmodels.evaluation import predict
from lensmodels.evaluation.archive_scores import ArchiveScores
from lensmodels.evaluation.image_scores import Gaussian
from lensmodels.evaluation.out_of_distribution import (
    FLAGGED_AT_HOME,
    OUTSIDE,
    HomeScores,
    load_home_scores,
    save_home_scores,
)
from lensmodels.evaluation.testing import score
from lensmodels.runs import MODEL, OUT_OF_DISTRIBUTION
from lenssim.archive import open_archive
from lenssim.build.importers.cutouts import import_cutouts

NAMES = ("noise", "sky", "flux", "peak", "features")


def home_of(generator, count):
    """Five independent scores, one of them with a long tail, of validation images."""
    values = generator.normal(size=(count, len(NAMES)))
    values[:, 2] = np.exp(values[:, 2])
    return HomeScores({}, NAMES, values)


def named(values):
    return dict(zip(NAMES, np.asarray(values, float).T, strict=True))


def test_share_flagged_at_home_is_as_stated_however_many_scores_there_are():
    generator = np.random.default_rng(3)
    shares = [
        np.mean(home_of(generator, 400).novelty(named(home_of(generator, 2000).values)) > 1)
        for _ in range(60)
    ]
    assert np.mean(shares) == pytest.approx(FLAGGED_AT_HOME, abs=0.001)
    assert np.mean(np.array(shares) > 0.01) < 0.05


@pytest.mark.parametrize("column", range(len(NAMES)))
@pytest.mark.parametrize("side", [-40, 40])
def test_one_strange_score_is_enough_on_either_side(column, side):
    home = home_of(np.random.default_rng(4), 300)
    image = np.median(home.values, axis=0)[None]
    assert home.novelty(named(image))[0] == pytest.approx(0.0)
    image[0, column] += side
    assert home.novelty(named(image))[0] > 1
    assert home.deviations(named(image))[0].argmax() == column


def test_score_that_is_unknown_does_not_count():
    home = home_of(np.random.default_rng(5), 300)
    image = np.median(home.values, axis=0)[None]
    image[0, 1] = np.nan
    assert home.novelty(named(image))[0] == pytest.approx(0.0)
    without = {name: values for name, values in named(image).items() if name != "sky"}
    assert home.novelty(without)[0] == pytest.approx(0.0)
    assert np.isnan(home.percentiles(without)["sky"]).all()


def test_percentiles_are_the_share_of_validation_images_below():
    home = HomeScores({}, ("noise",), np.arange(200.0)[:, None])
    found = home.percentiles({"noise": np.array([-1.0, 49.5, 100.0, 500.0])})
    assert found["noise"].tolist() == [0.0, 25.0, 50.25, 100.0]


def test_distance_is_mahalanobis_s_over_the_number_of_coordinates():
    generator = torch.Generator().manual_seed(6)
    mixing = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.7, 0.0], [0.0, 0.0, 0.001]])
    vectors = torch.randn(20_000, 3, generator=generator) @ mixing.T + 5
    point = torch.tensor([[6.0, 4.0, 5.002]])
    covariance = mixing @ mixing.T
    deviation = point[0] - 5
    expected = deviation @ torch.linalg.solve(covariance, deviation) / 3
    found = Gaussian.fit(vectors)
    assert found.distances(point)[0] == pytest.approx(float(expected), rel=0.05)
    assert found.distances(vectors).mean() == pytest.approx(1.0, abs=0.01)


def test_distance_is_defined_with_fewer_vectors_than_coordinates_and_a_constant_one():
    vectors = torch.randn(10, 40, generator=torch.Generator().manual_seed(7))
    vectors[:, 3] = 1.0
    distances = Gaussian.fit(vectors).distances(vectors + 3)
    assert np.isfinite(distances).all() and (distances > 1).all()


@pytest.fixture
def knowing(held_out):
    """A run with 108 validation images that was evaluated, and its metrics."""
    return held_out("classification")


@pytest.fixture(scope="module")
def images(lenses):
    return open_archive(lenses).dataset("test", "cdm")["image"].values


def test_what_is_no_lens_has_no_class_without_force(knowing, images, tmp_path, capsys):
    run, _ = knowing
    strange = images.copy()
    strange[0] = 0.0
    strange[1] *= 700  # ADU
    strange[2] = np.random.default_rng(8).normal(0, 0.02, images.shape[1:])
    np.save(tmp_path / "strange.npy", strange)
    table = predict(run, [tmp_path / "strange.npy"], tmp_path / "out.csv")
    assert not table["in_distribution"][:3].any()
    assert table["in_distribution"][3:].mean() > 0.5
    assert (table["in_distribution"] == (table["novelty"] <= 1)).all()
    assert list(table["class"][:3]) == [OUTSIDE] * 3
    outside = ~table["in_distribution"]
    assert table.loc[outside, "p_cdm"].isna().all() and table.loc[~outside, "p_cdm"].notna().all()
    assert list(table)[-1] == "warnings" and "percentile_features" in table
    said = capsys.readouterr().err
    assert f"{outside.sum()} of 8 images are {OUTSIDE}" in said
    assert "no prediction without --force" in said
    forced = predict(run, [tmp_path / "strange.npy"], tmp_path / "forced.csv", force=True)
    assert forced["p_cdm"].notna().all() and OUTSIDE not in set(forced["class"])
    pd.testing.assert_series_equal(forced["in_distribution"], table["in_distribution"])


def test_an_evaluation_counts_the_test_images_outside(knowing):
    run, found = knowing
    table = pd.read_csv(run / "predictions.csv")
    outside = int((~table["in_distribution"]).sum())
    assert found["in_distribution"] == {"outside": outside, "share_outside": outside / 24}
    assert table["p_cdm"].notna().all()  # what is scored is the whole test split
    page = (run / "report.html").read_text()
    assert f"{outside} of 24 test images" in page and OUTSIDE in page


def test_scores_belong_to_the_model_that_they_were_measured_with(knowing, tmp_path):
    run, _ = knowing
    home = load_home_scores(run)
    (tmp_path / MODEL).write_bytes((run / MODEL).read_bytes())
    save_home_scores(tmp_path, home)
    again = load_home_scores(tmp_path)
    assert again.names == home.names
    np.testing.assert_array_equal(again.values, home.values)
    (tmp_path / MODEL).write_bytes(b"other weights")
    assert load_home_scores(tmp_path) is None
    (tmp_path / OUT_OF_DISTRIBUTION).write_bytes(b"damaged")
    assert load_home_scores(tmp_path) is None


def test_a_run_with_few_validation_images_says_that_it_does_not_know(
    make_run, images, tmp_path, capsys
):
    run = make_run(name="few")
    assert score(run)[1]["in_distribution"] is None
    assert not (run / OUT_OF_DISTRIBUTION).exists()
    np.save(tmp_path / "images.npy", images)
    table = predict(run, [tmp_path / "images.npy"], tmp_path / "out.csv")
    assert "in_distribution" not in table
    assert "does not know how unlike its training images an image may be" in capsys.readouterr().err


def test_scores_of_an_archive_are_those_of_its_columns_and_its_specification(lenses):
    archive = open_archive(lenses)
    places = ["test/cdm", "test/axion"], [0, 1]
    found = ArchiveScores(archive).of(*places)
    assert np.isnan(found["fit_chi_square"]).tolist() == [True, True]
    instrument = archive.manifest.specification().instrument
    assert found["pixel_scale"].tolist() == 2 * [instrument.pixel_scale]
    assert found["psf_fwhm"].tolist() == 2 * [instrument.psf_fwhm]
    assert set(ArchiveScores(archive, "residual").of(*places)) == {"fit_chi_square"}


def test_shards_alone_tell_what_the_specification_says(tmp_path):
    lenssim.generate("B", ["cdm"], out=tmp_path / "B", train=0, test=2, formats=["webdataset"])
    archive = open_archive(tmp_path / "B")
    found = ArchiveScores(archive).of(["test/cdm"], [1])
    assert found["psf_fwhm"].tolist() == [archive.manifest.specification().instrument.psf_fwhm]


def test_a_score_that_is_stated_is_held_against_the_range_with_a_tolerance():
    generator = np.random.default_rng(9)
    measured = home_of(generator, 300)
    values = np.column_stack([measured.values, generator.uniform(0.15, 0.20, 300)])
    home = HomeScores({}, (*NAMES, "psf_fwhm"), values)
    assert home.threshold == measured.threshold
    middle = named(np.median(measured.values, axis=0)[None])
    low, high = values[:, -1].min(), values[:, -1].max()
    for fwhm, inside in (
        (0.91 * low, True),
        (0.89 * low, False),
        (1.09 * high, True),
        (1.11 * high, False),
        (np.nan, True),
    ):
        scores = middle | {"psf_fwhm": np.array([fwhm])}
        assert (home.novelty(scores)[0] <= 1) == inside
        if not inside:
            assert home.strangest(scores) == ["width of the PSF"]


@pytest.mark.parametrize(("factor", "inside"), [(1.0, True), (1.3, False)])
def test_the_psf_of_a_telescope_image_is_looked_at(knowing, lenses, tmp_path, factor, inside):
    """What differs between the two sets is the PSF that the files state."""
    run, _ = knowing
    archive = open_archive(lenses)
    instrument = archive.manifest.specification().instrument
    images = archive.dataset("test", "no_sub")["image"].values
    (tmp_path / "files").mkdir()
    for number, image in enumerate(images):
        write_cutout(tmp_path / f"files/{number}.fits", image, instrument, factor)
    import_cutouts([tmp_path / "files"], tmp_path / "cutouts", instrument="B")
    of_archive = predict(run, [tmp_path / "cutouts"], tmp_path / "archive.csv")
    of_files = predict(run, sorted((tmp_path / "files").iterdir()), tmp_path / "files.csv")
    home = load_home_scores(run)
    for table in (of_archive, of_files):
        assert ((table["novelty"] < 1) == table["in_distribution"]).all()
        assert table["in_distribution"].mean() == pytest.approx(float(inside), abs=0.3)
        assert (table["percentile_psf_fwhm"] > 99).all() == (not inside)
        assert "percentile_pixel_scale" in table
    assert "psf_fwhm" in home.names


def write_cutout(file, image, instrument, factor):
    """An image as a survey hands it out, with a PSF that is wider by a factor."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 32.5})
    header["CRPIX2"], header["CRVAL1"], header["CRVAL2"] = 32.5, 57.0, -50.8
    scale = instrument.pixel_scale / 3600
    header["CD1_1"], header["CD2_2"] = -scale, scale
    header["MAGZERO"] = instrument.zero_point
    sigma = factor * instrument.psf_fwhm / instrument.pixel_scale / np.sqrt(8 * np.log(2))
    edges = (np.arange(22) - 10.5) / (np.sqrt(2) * sigma)
    along = np.diff(0.5 * erf(edges))
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(image.astype(np.float32), header, name="SCI"),
            fits.ImageHDU(np.outer(along, along), name="PSF"),
        ]
    ).writeto(file)


def test_limits_are_where_an_image_is_flagged():
    home = home_of(np.random.default_rng(6), 300)
    low, high = home.limits()
    middle = np.median(home.values, axis=0)
    for ends in (low, high):
        for column in range(len(NAMES)):
            for step, flagged in ((0.999, False), (1.001, True)):
                image = middle.copy()
                image[column] += step * (ends[column] - middle[column])
                assert (home.novelty(named(image[None]))[0] > 1) == flagged
