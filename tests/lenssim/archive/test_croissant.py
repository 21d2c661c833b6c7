"""croissant.json, read by mlcroissant as its users do."""

import functools
import hashlib
import http.server
import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import lenssim
from lenssim.archive.croissant import croissant
from lenssim.archive.documents import write_documents
from lenssim.build.export import export
from lenssim.build.importers.deeplense import import_deeplense

READ = """
import json, pickle, sys
import mlcroissant
dataset = mlcroissant.Dataset(sys.argv[1])
assert not dataset.metadata.ctx.issues.errors
print(*dataset.metadata.ctx.issues.warnings, sep="\\n", file=sys.stderr)
records = {entry.uuid: list(dataset.records(entry.uuid)) for entry in dataset.metadata.record_sets}
for rows in records.values():
    for row in rows:
        for key, value in row.items():
            row[key] = value.hex() if isinstance(value, bytes) else value
print(json.dumps(records))
"""


def records(source, cache):
    """All records of all record sets, in a process with a cache of its own."""
    result = subprocess.run(
        [sys.executable, "-c", READ, str(source)],
        capture_output=True,
        text=True,
        check=False,
        env={"CROISSANT_CACHE": str(cache), "HOME": str(cache)},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def test_every_group_is_a_record_set_that_iterates(described, tmp_path):
    held, warnings = records(Path(described.location.url) / "croissant.json", tmp_path)
    assert list(held) == [group.name for group in described.manifest.groups]
    for group in described.manifest.groups:
        dataset = described.dataset(group.split, group.substructure_class).load()
        rows = held[group.name]
        assert len(rows) == group.count
        for name in ("sample", "label", "axion_mass", "source_x", "substructure_snr"):
            values = [row[f"{group.name}/{name}"] for row in rows]
            read = np.array([np.nan if value is None else value for value in values])
            np.testing.assert_allclose(read, dataset[name].values, rtol=1e-6, atol=0)
    complaints = [line for line in warnings.splitlines() if "recommended" in line]
    assert all("datePublished" in line for line in complaints)  # no time stamps in an archive


def test_every_file_has_its_checksum(described):
    root = Path(described.location.url)
    files = [
        entry
        for entry in json.loads((root / "croissant.json").read_text())["distribution"]
        if entry["@type"] == "cr:FileObject"
    ]
    assert len(files) == len(described.manifest.groups)
    for entry in files:
        content = (root / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["contentSize"] == f"{len(content)} B"


def test_imported_images_have_record_sets_too(tmp_path):
    for name in ("cdm", "no_sub"):
        (tmp_path / "source" / name).mkdir(parents=True)
        for index in range(3):
            np.save(tmp_path / "source" / name / f"{index}.npy", np.full((8, 8), float(index)))
    archive = import_deeplense(tmp_path / "source", tmp_path / "out", split=0.34)
    write_documents(archive)
    held, _ = records(tmp_path / "out" / "croissant.json", tmp_path / "cache")
    assert {name: len(rows) for name, rows in held.items()} == {
        "train/cdm": 2,
        "train/no_sub": 2,
        "test/cdm": 1,
        "test/no_sub": 1,
    }


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(copied):
    handler = functools.partial(_Quiet, directory=copied.location.url)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_published_shards_are_record_sets_of_images(copied, served, tmp_path):
    images = copied.dataset("train", "cdm")["image"].values
    write_documents(export(copied.location.url), base_url=served)
    held, _ = records(f"{served}/croissant.json", tmp_path / "cache")
    rows = held["train/cdm/images"]
    assert len(rows) == len(images)
    for row in rows:
        content = bytes.fromhex(row["train/cdm/images/image"])
        image = np.load(io.BytesIO(content), allow_pickle=False)
        np.testing.assert_array_equal(image, images[row["train/cdm/images/sample"]])
    assert len(held["test/cdm"]) == 5


def test_local_shards_are_files_with_checksums_but_no_record_set(copied):
    # mlcroissant would unpack the shards of any two archives into the same place
    archive = export(copied.location.url)
    described = croissant(archive)
    shards = {entry["@id"]: entry for entry in described["distribution"] if ".tar" in entry["@id"]}
    assert "shards/train/cdm-000000.tar" in shards
    for path, shard in shards.items():
        assert shard["sha256"] == archive.manifest.files[path].sha256
    assert not [entry for entry in described["recordSet"] if entry["@id"].endswith("/images")]


def test_a_changed_table_is_noticed_when_it_is_downloaded(copied, served, tmp_path):
    write_documents(copied, base_url=served)
    path = Path(copied.location.url) / "columns" / "train" / "cdm.csv"
    path.write_bytes(path.read_bytes().replace(b"20.0", b"21.0", 1))
    with pytest.raises(AssertionError, match="is not identical"):
        records(f"{served}/croissant.json", tmp_path / "cache")


def test_nothing_of_the_machine_or_the_time_is_in_it(described):
    text = json.dumps(croissant(described))
    assert described.location.url not in text
    assert "date" not in " ".join(croissant(described))
    assert lenssim.open_archive(described.location.url).manifest == described.manifest
