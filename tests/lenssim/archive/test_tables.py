"""The CSV tables: every number reads back as itself."""

import csv
from pathlib import Path

import numpy as np

import lenssim
from lenssim.archive.tables import table, table_columns, table_path


def test_every_scalar_column_is_there_to_the_last_bit(described):
    for group in described.manifest.groups:
        dataset = described.dataset(group.split, group.substructure_class).load()
        with Path(described.location.path(table_path(group))).open(newline="") as file:
            header, *rows = list(csv.reader(file))
        assert header == list(table_columns(group))
        scalars = {name for name in dataset.data_vars if dataset[name].dims == ("sample",)}
        assert set(header) == scalars | {"sample"}
        for name, column in zip(header, zip(*rows, strict=True), strict=True):
            values = dataset[name].values
            read = np.array([text or "nan" for text in column], dtype=values.dtype)
            np.testing.assert_array_equal(read, values)


def test_tables_are_the_same_bytes_again(described):
    group = described.manifest.groups[0]
    assert table(described, group) == table(described, group)


def test_shards_alone_give_the_same_tables(described, tmp_path):
    archive = lenssim.generate(
        "B", train=12, test=5, out=tmp_path / "shards", formats=["webdataset"]
    )
    for group in archive.manifest.groups:
        assert group.formats == ("webdataset",)
        ours = described.location.read(table_path(group))
        assert table(archive, group) == ours
