"""Small archives: Zarr, and the same images as WebDataset shards."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import lenssim
from lenssim.archive.location import Location
from lenssim.archive.manifest import FileRecord, read_manifest, write_manifest

NUM_PIX = 16
TRAIN, TEST = 45, 7
JSON_LENGTH = 300


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """Three classes of 45 train and 7 test images, in chunks of 8 and files of 16."""
    out = tmp_path_factory.mktemp("archives") / "zarr"
    sizes = {"chunk_size": 8, "shard_size": 16}
    options = {"train": TRAIN, "test": TEST, "overrides": [f"instrument.num_pix={NUM_PIX}"]}
    lenssim.generate("B", out=out, **options, **sizes)
    return out


def members(group, dataset, index) -> list[tuple[str, bytes]]:
    """The two tar members of a sample: name and content."""
    row = dataset.isel(sample=index)
    key = f"B-{group.replace('/', '-')}-{index:08d}"
    image = io.BytesIO()
    np.save(image, row["image"].values.astype("<f4"))
    mass = float(row["axion_mass"])
    record = {
        "sample": index,
        "label": int(row["label"]),
        "axion_mass": None if np.isnan(mass) else mass,
        "substructure_snr": float(row["substructure_snr"]),
    }
    text = json.dumps(record).encode().ljust(JSON_LENGTH)
    return [(f"{key}.image.npy", image.getvalue()), (f"{key}.json", text)]


def write_tar(path, entries) -> None:
    """A tar of regular files without owner or time, as the writer of archives makes them."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in entries:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


def record_file(root, name) -> None:
    """Puts a file's true size and checksum into the manifest."""
    location = Location(root)
    manifest = read_manifest(location)
    record = FileRecord.of((Path(root) / name).read_bytes())
    write_manifest(location, manifest.model_copy(update={"files": manifest.files | {name: record}}))


@pytest.fixture(scope="session")
def shards(archive, tmp_path_factory) -> Path:
    """The same archive with shards of 20 samples instead of a Zarr store."""
    out = tmp_path_factory.mktemp("archives") / "shards"
    location, opened = Location(out), lenssim.open_archive(archive)
    manifest = opened.manifest.model_copy(update={"files": {}})
    location.write("archive.json", b"")
    write_manifest(location, manifest)
    for record in manifest.groups:
        dataset = opened.dataset(record.split, record.substructure_class).load()
        for number, start in enumerate(range(0, record.count, 20)):
            name = f"shards/{record.name}-{number:06d}.tar"
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            samples = range(start, min(start + 20, record.count))
            write_tar(
                out / name,
                [entry for index in samples for entry in members(record.name, dataset, index)],
            )
            record_file(out, name)
    return out


@pytest.fixture(params=["zarr", "shards"])
def either(request, archive, shards) -> Path:
    """The same images in each of the two formats."""
    return {"zarr": archive, "shards": shards}[request.param]


@pytest.fixture
def damaged(either, tmp_path) -> Path:
    """A copy of an archive in either format, to be damaged."""
    return Path(shutil.copytree(either, tmp_path / "damaged"))
