"""The CSV tables: every number reads back as itself."""

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import lenssim
from lenssim.archive.layout import GroupLayout
from lenssim.archive.manifest import GroupRecord, Manifest, write_manifest
from lenssim.archive.schema import columns_of
from lenssim.archive.tables import table, table_columns, table_path
from lenssim.archive.writer import create_group, finalise_group, write_shard
from lenssim.storage.location import Location


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
    assert list(table(described, group)) == list(table(described, group))


def test_shards_alone_give_the_same_tables(described, tmp_path):
    archive = lenssim.generate(
        "B", train=12, test=5, out=tmp_path / "shards", formats=["webdataset"]
    )
    for group in archive.manifest.groups:
        assert group.formats == ("webdataset",)
        ours = described.location.read(table_path(group))
        assert b"".join(table(archive, group)) == ours


def axion_archive(folder, count):
    """An archive of random columns and tiny empty images, made without simulating them."""
    spec = lenssim.load_spec("B", ["instrument.num_pix=8"])
    manifest = Manifest(
        generator_version="0",
        engine="fast",
        seed=0,
        spec_sha256=spec.sha256,
        spec=spec.model_dump(mode="json"),
    )
    record = GroupRecord(split="train", substructure_class="axion", count=count, shard_size=2048)
    layout, location = GroupLayout(record), Location(folder)
    create_group(location, layout, manifest, subhalo_bound=0)
    generator = np.random.default_rng(0)
    for shard in range(record.shards):
        rows = len(record.samples(shard))
        columns = {
            column.name: generator.random(rows) if column.is_scalar else np.zeros((rows, 8, 8))
            for column in columns_of("axion")
        }
        write_shard(location, layout, "B", shard, columns)
    write_manifest(location, finalise_group(location, layout, manifest))
    return lenssim.open_archive(folder)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    peaks = []
    for count in (10_000, 30_000):
        archive = axion_archive(tmp_path / str(count), count)
        [group] = archive.manifest.groups
        tracemalloc.start()
        rows = sum(piece.count(b"\n") for piece in table(archive, group))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == count + 1
    # the text of a row takes 2.4 kB, its numbers 0.2 kB
    assert peaks[1] - peaks[0] < 20_000 * 200
