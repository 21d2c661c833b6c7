"""What differs by class is found, and what does not is passed."""

import numpy as np
import pytest

from lenssim.archive.audit_record import MAX_P
from lenssim.audit.features import Features
from lenssim.audit.image_statistics import (
    NAMES,
    NOISE_NAMES,
    image_statistics,
    noise_statistics,
)
from lenssim.audit.leak_audit import result, single_features, with_errors

CLASSES = ("axion", "cdm", "no_sub")
COLUMNS = {
    "ring_radius": (1.2, 0.3, 1e-3),
    "lens_e1": (0.0, 0.1, 5e-3),
    "lens_redshift": (0.5, 0.2, 0.0),
    "source_x": (0.0, 0.2, 2e-3),
    "source_magnitude": (21.0, 1.0, 1e-2),
}
"""Mean, spread and measurement error."""

SIGMA = 0.01
LIGHT = 0.5 * np.exp(-0.5 * ((np.hypot(*(np.mgrid[:32, :32] - 15.5)) - 9.0) / 2.0) ** 2)


def pixels(generator, count, *, light=1.0, level=0.0, scatter=1.0):
    """Images of a ring with noise, and that noise in units of what it should be."""
    noise = level + scatter * SIGMA * generator.standard_normal((count, 32, 32))
    return light * LIGHT + noise, noise + (light - 1.0) * LIGHT


def features(count=400, *, shifts=None, cdm_pixels=None):
    """Features of images that are alike, but for what is planted in class cdm."""
    generator = np.random.default_rng(7)
    labels = np.repeat(np.arange(3), count)
    values = np.stack(
        [
            mean + spread * generator.standard_normal(3 * count)
            for mean, spread, _ in COLUMNS.values()
        ],
        axis=1,
    )
    for name, shift in (shifts or {}).items():
        values[labels == 1, list(COLUMNS).index(name)] += shift
    statistics, others = [], []
    for label in range(3):
        planted = cdm_pixels if label == 1 and cdm_pixels else {}
        images, noise = pixels(generator, count, **planted)
        statistics.append(image_statistics(images, noise))
        others.append(noise_statistics(noise / SIGMA))
    images = np.concatenate(statistics)
    return Features(
        labels=labels,
        classes=CLASSES,
        columns=tuple(COLUMNS),
        values=values,
        statistics=(*NAMES, *NOISE_NAMES),
        image_values=np.concatenate([images, np.concatenate(others)], axis=1),
        raw_values=images,
        errors={name: error for name, (_, _, error) in COLUMNS.items() if error},
        ring_excess=np.zeros(3 * count),
    )


def leaks(audited):
    """The features that alone tell a class, by name."""
    found = single_features(audited, with_errors(audited, 0))
    return {feature.name: feature for feature in found if feature.p_value < MAX_P}


def test_classes_that_are_alike_pass():
    found = result(features())
    assert found.passed
    assert abs(found.deviation) < 3
    assert not found.leaks


@pytest.mark.parametrize(
    ("planted", "tells"),
    [
        ({"shifts": {"source_magnitude": 0.5}}, "source_magnitude"),
        ({"shifts": {"lens_e1": 0.05}}, "lens_e1"),
        ({"shifts": {"lens_redshift": -0.1}}, "lens_redshift"),
        ({"shifts": {"ring_radius": 0.15}}, "ring_radius"),
        ({"cdm_pixels": {"level": 0.02 * SIGMA}}, "noise_level"),
        ({"cdm_pixels": {"scatter": 1.01}}, "noise_scatter"),
        ({"cdm_pixels": {"light": 1.02}}, "total_flux"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_leak_planted_in_one_place_is_found_and_named(planted, tells):
    assert leaks(features(**planted))[tells].tells == "cdm"


def test_a_column_that_varies_more_in_one_class_is_found():
    altered = features()
    column = list(COLUMNS).index("source_x")
    altered.values[altered.labels == 0, column] *= 1.5
    leak = leaks(altered)["source_x"]
    assert (leak.tells, leak.by) == ("axion", "spread")


def test_columns_that_tell_only_together_are_found():
    altered = features()
    chosen = altered.labels == 2
    altered.values[chosen, 4] = 21.0 + 10.0 * altered.values[chosen, 1]
    found = result(altered)
    assert found.auc > 0.6
    assert not found.passed


def test_a_difference_below_the_measurement_error_is_none():
    alike = features()
    constant = np.full_like(alike.values[:, 0], 1.66)
    constant[alike.labels == 1] += 1e-5
    alike.values[:, 0] = constant
    assert not leaks(alike)
    alike.errors["ring_radius"] = 0.0
    assert "ring_radius" in leaks(alike)


def test_noise_is_measured_as_it_was_drawn():
    generator = np.random.default_rng(3)
    deviates = 0.5 + 2.0 * generator.standard_normal((400, 64, 64))
    level, scatter, correlation, kurtosis = noise_statistics(deviates).mean(axis=0)
    assert level == pytest.approx(0.5, abs=0.01)
    assert scatter == pytest.approx(2.0, abs=0.01)
    assert correlation == pytest.approx(0.0, abs=0.002)
    assert kurtosis == pytest.approx(3.0, abs=0.02)


def test_correlated_noise_is_seen():
    noise = np.random.default_rng(4).standard_normal((100, 33, 32))
    averaged = (noise[:, 1:] + noise[:, :-1]) / np.sqrt(2.0)
    assert noise_statistics(averaged)[:, 2].mean() == pytest.approx(0.25, abs=0.01)


def test_the_border_is_the_four_outer_pixels():
    image = np.zeros((1, 16, 16))
    image[:, 4:-4, 4:-4] = 5.0
    image[:, 0, 0] = -1.0
    flux, peak, level, scatter = image_statistics(image)[0]
    assert (flux, peak) == (8 * 8 * 5.0 - 1.0, 5.0)
    assert level == pytest.approx(-1.0 / (16 * 16 - 8 * 8))
    assert scatter > 0.0
