"""What goes beside the data, and its records in the manifest."""

import hashlib
import json
from pathlib import Path

import lenssim
from lenssim.archive.documents import document_paths, write_documents
from lenssim.preview import preview_png


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
