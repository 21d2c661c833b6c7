"""Sets of images: evidence adds up, as it must, and the order of the images means nothing."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from lensmodels.errors import DataError, UsageError
from lensmodels.sets.learning import train_set_model
from lensmodels.sets.scoring import parameter_errors, score_sets, set_evidence, summed_evidence
from lensmodels.sets.set_model import SetModel
from lensmodels.sets.universes import EmbeddedImages, SetDraws, Universe, usable_sizes

STEP = 0.2
"""Shift of one feature of cdm images with f_sub = 0.01, in units of its scatter."""


def images_of(count, seed, snr=np.nan):
    """Images of no_sub and cdm, with f_sub of 0.01 and 0.03; the shift goes as f_sub."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([1, 2], 2 * count)
    f_sub = np.tile(np.repeat([0.01, 0.03], count), 2)
    features = generator.standard_normal((4 * count, 3)).astype(np.float32)
    features[:, 1] += np.where(labels == 1, STEP * f_sub / 0.01, 0)
    return EmbeddedImages(
        torch.from_numpy(features),
        labels,
        f_sub,
        np.full(4 * count, np.nan),
        np.where(labels == 1, snr * f_sub / 0.01, 0.0) if snr == snr else np.full(4 * count, snr),
    )


@pytest.fixture(scope="module")
def trained():
    images, validation = images_of(1500, 0), images_of(500, 1)
    how = {"epochs": 5, "learning_rate": 1e-2, "weight_decay": 0.05, "seed": 0}
    return (
        train_set_model(images, validation, (1, 10, 100), **how),
        train_set_model(images, validation, (1,), **how),
    )


def test_auc_by_number_of_images_is_that_of_the_best_classifier(trained):
    model, single = trained
    test = images_of(2000, 2, snr=STEP)
    evidence = {"set": set_evidence(model, test), "sum": summed_evidence(single, test)}
    rows = score_sets(evidence, test, (1, 10, 100), resamples=5)
    assert [(row["size"], row["f_sub"]) for row in rows] == [
        (size, f_sub) for size in (1, 10, 100) for f_sub in (0.01, 0.03)
    ]
    for row in rows:
        shift = STEP * row["f_sub"] / 0.01
        best = norm.cdf(shift * np.sqrt(row["size"] / 2))
        assert row["set_auc"] == pytest.approx(best, abs=0.07)
        assert row["sum_auc"] == pytest.approx(best, abs=0.07)
        assert row["bound"] == pytest.approx(best, abs=0.02)
        assert 0 <= row["set_error"] < 0.1


def test_f_sub_is_told_better_by_more_images(trained):
    rows = parameter_errors(trained[0], images_of(2000, 3), (1, 10, 100))
    assert [(row["class"], row["parameter"]) for row in rows] == [("cdm", "f_sub")] * 3
    errors = [row["rmse_dex"] for row in rows]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.6 * rows[2]["prior_dex"]
    assert rows[0]["prior_dex"] == pytest.approx(0.5 * np.log10(3))


def test_evidence_is_not_known_without_the_refit_snr(trained):
    test = images_of(50, 4)
    [row, *_] = score_sets({"set": set_evidence(trained[0], test)}, test, (1,), resamples=1)
    assert row["bound"] is None


def test_the_order_of_the_images_means_nothing():
    torch.manual_seed(0)
    model = SetModel(3, 2).eval()
    features = torch.randn(4, 7, 3)
    turned = features[:, torch.randperm(7)]
    for found, again in zip(model(features), model(turned), strict=True):
        torch.testing.assert_close(found, again)


def test_sets_that_share_images_are_seen_as_sets_of_copies():
    torch.manual_seed(1)
    model = SetModel(3, 2).eval()
    features, places = torch.randn(20, 3), torch.randint(20, (5, 6))
    shared = model.of_places(*model.images(features), places)
    for found, expected in zip(shared, model(features[places]), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_prior_counts_once():
    """Images that tell nothing leave the prior, however many they are."""
    model = SetModel(3, 2).eval()
    torch.nn.init.zeros_(model.set[2].weight)
    torch.nn.init.zeros_(model.set[2].bias)
    images = images_of(50, 5)
    summed = summed_evidence(model, images)(np.zeros((1, 40), np.int64))
    assert summed[0, 0] - summed[0, 1] == pytest.approx(0.0)


def test_images_of_a_universe_have_equal_parameters():
    images = images_of(10, 6)
    universes = images.universes
    assert list(universes) == [
        Universe(name, f_sub) for name in ("cdm", "no_sub") for f_sub in (0.01, 0.03)
    ]
    for universe, members in universes.items():
        assert set(images.f_sub[members]) == {universe.f_sub}
    places, drawn = SetDraws(images, 0).draw(40, 5)
    for row, universe in zip(places, drawn, strict=True):
        assert len(set(row)) == 5
        assert set(row) <= set(universes[universe])


def spread_images(count=200):
    images = images_of(count, 7)
    values = np.geomspace(0.003, 0.03, len(images))
    return EmbeddedImages(images.features, images.labels, values, images.axion_mass, images.snr)


def test_parameters_that_all_differ_are_refused_or_put_into_bins():
    images = spread_images()
    with pytest.raises(UsageError, match=r"f_sub has 800 different values.*task\.bins"):
        images.grouped(0)
    grouped = images.grouped(4)
    assert len(np.unique(grouped.f_sub)) == 4
    assert np.abs(np.log10(grouped.f_sub / images.f_sub)).max() == pytest.approx(1 / 8, rel=0.02)
    few = images_of(10, 8)
    np.testing.assert_array_equal(few.grouped(0).f_sub, few.f_sub)


def test_sets_are_of_at_most_half_of_the_images():
    assert usable_sizes((1, 10, 100), 40) == (1, 10)
    with pytest.raises(DataError, match="generate more"):
        usable_sizes((10, 100), 12)
