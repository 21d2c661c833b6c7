"""Shards: the columns that a stream passes on. Their layout is tested where it is defined."""

import numpy as np
import pytest

from lensmodels.data.shard_source import DamagedShardError, stored_columns

SAMPLES = range(5, 8)


def scalars(**values):
    return [
        {"sample": index, "label": 1, "axion_mass": None, "substructure_snr": 0.5 * index} | values
        for index in SAMPLES
    ]


def test_what_is_no_number_becomes_nan():
    columns = stored_columns(scalars(), SAMPLES)
    assert columns["label"].tolist() == [1, 1, 1]
    assert columns["substructure_snr"].tolist() == [2.5, 3.0, 3.5]
    assert np.isnan(columns["axion_mass"]).all()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{}] * 3, "lacks a column"),
        (scalars(label="cdm"), "damaged or lacks"),
        ([3, 4, 5], "damaged or lacks"),
        (scalars(sample=9), "another sample"),
    ],
)
def test_what_is_not_ours_is_refused(rows, problem):
    with pytest.raises(DamagedShardError, match=problem):
        stored_columns(rows, SAMPLES)
