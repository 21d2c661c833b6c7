"""Residuals against the simulation that an image comes from."""

import numpy as np
import pandas as pd

import lenssim
from lensmodels.reporting.residuals import residuals
from lenssim.archive import open_archive


def test_residuals_are_noise_without_substructure_and_more_with_it(lenses):
    table = pd.DataFrame(
        {"split": "test", "class": ["no_sub", "axion"], "sample": [2, 3], "label": [2, 0]}
    )
    archive = open_archive(lenses)
    images = np.stack(
        [
            archive.dataset(row["split"], row["class"])["image"][row["sample"]].to_numpy()
            for _, row in table.iterrows()
        ]
    )
    beyond = residuals(str(lenses), table, images)
    simulation = lenssim.simulate(archive.manifest.specification(), "no_sub", 2, split="test")
    np.testing.assert_allclose(beyond[0], images[0] - simulation.noise_free, atol=1e-3)
    assert np.abs(beyond[1]).max() > np.abs(beyond[0]).max()


def test_other_images_than_the_archive_simulates_have_none(lenses):
    table = pd.DataFrame({"split": ["test"], "class": ["cdm"], "sample": [0], "label": [1]})
    assert residuals(str(lenses), table, np.ones((1, 64, 64), np.float32)) is None
