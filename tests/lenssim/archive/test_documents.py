"""What goes beside the data, and its records in the manifest.

In the CSV tables, every number reads back as itself.
"""

import csv
import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import lenssim
from lenssim.archive.content import table, table_columns, table_path
from lenssim.archive.documents import document_paths, write_documents
from lenssim.archive.layout import GroupLayout
from lenssim.archive.manifest import GroupRecord, Manifest, write_manifest
from lenssim.archive.schema import columns_of
from lenssim.archive.writer import create_group, finalise_group, write_shard
from lenssim.preview import preview_png
from lenssim.storage.location import Location


def contents(archive):
    root = Path(archive.location.url)
    return {path: (root / path).read_bytes() for path in document_paths(archive.manifest)}


def test_the_manifest_records_every_document(described):
    root = Path(described.location.url)
    manifest = json.loads((root / "archive.json").read_text())
    on_disk = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert on_disk == {*manifest["files"], "archive.json"}
    assert list(manifest["files"]) == sorted(manifest["files"])
    for path in document_paths(described.manifest):
        content = (root / path).read_bytes()
        record = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert manifest["files"][path] == record
    assert {"README.md", "croissant.json", "preview.png"} <= set(document_paths(described.manifest))


def test_writing_again_changes_no_byte_and_keeps_the_picture(copied):
    before = contents(copied), (Path(copied.location.url) / "archive.json").read_bytes()
    manifest = write_documents(copied)
    assert manifest == copied.manifest
    assert (contents(copied), (Path(copied.location.url) / "archive.json").read_bytes()) == before


def test_the_same_archive_elsewhere_has_the_same_documents(tmp_path):
    archives = []
    for place in ("here", "there/deep"):
        archive = lenssim.generate("A", ["axion"], train=3, test=2, out=tmp_path / place)
        write_documents(archive, preview_png(archive))
        archives.append(lenssim.open_archive(archive.location.url))
    assert contents(archives[0]) == contents(archives[1])
    assert str(tmp_path).encode() not in b"".join(contents(archives[0]).values())


def test_a_class_that_is_added_is_described_when_they_are_written_again(tmp_path):
    write_documents(lenssim.generate("B", ["cdm"], train=3, test=0, out=tmp_path))
    archive = lenssim.generate("B", ["no_sub"], train=3, test=0, out=tmp_path)
    assert "columns/train/cdm.csv" in archive.manifest.files
    manifest = write_documents(archive)
    assert {"columns/train/cdm.csv", "columns/train/no_sub.csv"} <= set(manifest.files)
    assert "train/no_sub" in (tmp_path / "README.md").read_text()
    assert "train/no_sub" in (tmp_path / "croissant.json").read_text()


def test_an_archive_without_a_complete_group_can_be_described(tmp_path):
    archive = lenssim.generate("B", ["cdm"], train=3, test=0, out=tmp_path)
    empty = archive.manifest.model_copy(update={"groups": [], "files": {}})
    manifest = write_documents(lenssim.Archive(archive.location, empty))
    assert set(manifest.files) == {"README.md", "croissant.json"}


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
