"""Importing DeepLense-style folders."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import lenssim
from lenssim.archive import open_archive
from lenssim.archive.layout import group_sizes
from lenssim.archive.manifest import read_manifest
from lenssim.build.importers import deeplense
from lenssim.build.importers.deeplense import import_deeplense
from lenssim.cli import main
from lenssim.errors import ArchiveError, ImportFileError, UsageError
from lenssim.storage.location import Location

pytestmark = pytest.mark.usefixtures("plain_pictures")

SIZE = 16


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def image_of(name, index, size=SIZE):
    generator = np.random.default_rng([ord(name[0]), index])
    return generator.random((size, size))


def mass_of(index):
    return 10 ** (-24 + 0.1 * index)


def save_axion(path, image, mass):
    objects = np.empty(2, dtype=object)
    objects[:] = [image, mass]
    np.save(path, objects, allow_pickle=True)


def make_folder(root, count=10, size=SIZE, classes=("axion", "cdm", "no_sub")):
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(count):
            path = root / name / f"{name}_sim_{index}.npy"
            if name == "axion":
                save_axion(path, image_of(name, index, size), mass_of(index))
            else:
                np.save(path, image_of(name, index, size))
    return root


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "Model_I")


def hashes(out):
    return {path: record.sha256 for path, record in read_manifest(Location(out)).files.items()}


def pixels(archive, name):
    """All images of a class, over both splits, as hashable bytes."""
    return {
        part: {image.tobytes() for image in archive.dataset(part, name)["image"].values}
        for part in ("train", "test")
    }


@pytest.mark.parametrize("size", [64, 150])
def test_every_image_and_mass_arrives(tmp_path, size):
    folder = make_folder(tmp_path / "source", count=6, size=size)
    archive = import_deeplense(folder, tmp_path / "out", split=0.5)
    for name in ("axion", "cdm", "no_sub"):
        expected = {image_of(name, i, size).astype(np.float32).tobytes() for i in range(6)}
        held = pixels(archive, name)
        assert held["train"] | held["test"] == expected
        assert len(held["train"]) == len(held["test"]) == 3
    masses = np.concatenate(
        [archive.dataset(part, "axion")["axion_mass"].values for part in ("train", "test")]
    )
    np.testing.assert_array_equal(np.sort(masses), [mass_of(i) for i in range(6)])


def test_each_image_keeps_its_own_mass(folder, tmp_path):
    dataset = import_deeplense(folder, tmp_path / "out").dataset("train", "axion").load()
    wanted = {image_of("axion", i).astype(np.float32).tobytes(): mass_of(i) for i in range(10)}
    for image, mass in zip(dataset["image"].values, dataset["axion_mass"].values, strict=True):
        assert wanted[image.tobytes()] == mass


def test_what_the_files_do_not_say_is_nan(folder, tmp_path):
    archive = import_deeplense(folder, tmp_path / "out")
    for label, name in enumerate(("axion", "cdm", "no_sub")):
        dataset = archive.dataset("train", name).load()
        assert (dataset["label"] == label).all()
        known = {"image", "label"} | ({"axion_mass"} if name == "axion" else set())
        for variable in set(dataset.data_vars) - known:
            assert dataset[variable].isnull().all(), variable


def test_axion_files_without_a_mass_have_the_mass_nan(folder, tmp_path):
    np.save(folder / "axion" / "axion_sim_3.npy", image_of("axion", 3))
    dataset = import_deeplense(folder, tmp_path / "out", split=0.0).dataset("train", "axion")
    masses = dataset["axion_mass"].values
    assert np.isnan(masses).sum() == 1
    expected = [mass_of(i) for i in range(10) if i != 3]
    np.testing.assert_array_equal(np.sort(masses[np.isfinite(masses)]), expected)
    assert not lenssim.verify(tmp_path / "out").problems


def test_leading_axes_of_one_are_dropped(folder, tmp_path):
    plain = import_deeplense(folder, tmp_path / "plain")
    for name in ("cdm", "no_sub"):
        for path in (folder / name).iterdir():
            np.save(path, np.load(path)[None, None])
    for index in range(10):
        image = image_of("axion", index)[None]
        save_axion(folder / "axion" / f"axion_sim_{index}.npy", image, mass_of(index))
    deeper = import_deeplense(folder, tmp_path / "deeper")
    for name in ("axion", "cdm", "no_sub"):
        assert set.union(*pixels(plain, name).values()) == set.union(*pixels(deeper, name).values())


def test_the_layout_is_that_of_a_simulated_archive(folder, tmp_path):
    imported = import_deeplense(folder, tmp_path / "out", pixel_scale=0.05)
    simulated = lenssim.generate("B", train=2, test=0, out=tmp_path / "B")
    for name in ("axion", "cdm", "no_sub"):
        ours = xr.open_zarr(tmp_path / "out" / "images.zarr", group=f"train/{name}")
        theirs = simulated.dataset("train", name)
        of_simulations = {"ring_radius", "substructure_snr_refit"}
        assert set(ours.variables) == set(theirs.variables) - of_simulations
        for variable in ours.variables:
            assert ours[variable].dtype == theirs[variable].dtype
            assert ours[variable].dims == theirs[variable].dims
        assert set(ours.attrs) == set(theirs.attrs)
    assert float(ours["x"][1] - ours["x"][0]) == pytest.approx(0.05)
    assert ours["x"].attrs["units"] == "arcsec"
    assert ours["image"].attrs["units"] == "unknown"
    assert imported.manifest.model.num_pix == SIZE


def test_without_a_pixel_scale_coordinates_are_in_pixels(folder, tmp_path):
    dataset = import_deeplense(folder, tmp_path / "out").dataset("train", "cdm")
    assert dataset["x"].attrs["units"] == "pixel"
    np.testing.assert_array_equal(dataset["x"], np.arange(SIZE) - 7.5)


def test_the_manifest_says_that_it_is_imported_and_from_what(folder, tmp_path):
    import_deeplense(folder, tmp_path / "out", name="mine", licence="CC0-1.0")
    held = json.loads((tmp_path / "out" / "archive.json").read_text())
    assert held["engine"] == "imported"
    assert "spec" not in held
    assert "spec_sha256" not in held
    listing = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*.npy"))
    )
    assert held["imported"] == {
        "name": "mine",
        "layout": "deeplense",
        "listing_sha256": hashlib.sha256(listing.encode()).hexdigest(),
        "source_files": 30,
        "num_pix": SIZE,
        "pixel_scale": None,
        "licence": "CC0-1.0",
    }
    with pytest.raises(ArchiveError, match="no specification"):
        _ = open_archive(tmp_path / "out").spec


def test_splits_follow_the_content_not_the_names(folder, tmp_path):
    first = import_deeplense(folder, tmp_path / "a", split=0.3)
    for place, path in enumerate(sorted((folder / "cdm").iterdir())):
        path.rename(path.with_name(f"other_{99 - place}.npy"))
    second = import_deeplense(folder, tmp_path / "b", split=0.3)
    other = import_deeplense(folder, tmp_path / "c", split=0.3, seed=1)
    assert pixels(first, "cdm") == pixels(second, "cdm")
    assert pixels(first, "cdm") != pixels(other, "cdm")
    assert not pixels(first, "cdm")["train"] & pixels(first, "cdm")["test"]


def test_counts_instead_of_a_fraction(folder, tmp_path):
    archive = import_deeplense(folder, tmp_path / "out", train=5, test=2)
    held = {group.name: group.count for group in archive.manifest.groups}
    assert held["train/cdm"] == 5
    assert held["test/cdm"] == 2


def test_the_name_is_that_of_the_folder_as_far_as_a_name_can_be(folder, tmp_path):
    folder.rename(tmp_path / "Model I (new)")
    archive = import_deeplense(tmp_path / "Model I (new)", tmp_path / "out")
    assert archive.manifest.name == "Model_I_new_"


def test_workers_change_nothing(folder, tmp_path):
    import_deeplense(folder, tmp_path / "a", workers=1)
    import_deeplense(folder, tmp_path / "b", workers=3)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_a_run_that_was_cut_short_goes_on_and_ends_the_same(folder, tmp_path):
    import_deeplense(folder, tmp_path / "whole")
    seen = []

    def interrupt(count):
        seen.append(count)
        if len(seen) == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_deeplense(folder, tmp_path / "cut", workers=1, progress=interrupt)
    again = []
    import_deeplense(folder, tmp_path / "cut", progress=again.append)
    assert 0 < sum(again) < 30
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


def test_another_source_is_refused(folder, tmp_path):
    import_deeplense(folder, tmp_path / "out")
    np.save(folder / "cdm" / "cdm_sim_0.npy", np.ones((SIZE, SIZE)))
    before = hashes(tmp_path / "out")
    with pytest.raises(UsageError, match="another data set"):
        import_deeplense(folder, tmp_path / "out")
    assert hashes(tmp_path / "out") == before


def test_generate_and_import_do_not_mix(folder, tmp_path):
    import_deeplense(folder, tmp_path / "out")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="imported images"):
            lenssim.generate("B", train=1, test=0, out=tmp_path / "out", overwrite=overwrite)
    lenssim.generate("B", ["cdm"], train=1, test=0, out=tmp_path / "B")
    with pytest.raises(UsageError, match="another data set"):
        import_deeplense(folder, tmp_path / "B")


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


BAD = {
    "code": (lambda path, victim: save_axion(path, Attack(victim), 1e-23), "asks for"),
    "cut": (lambda path, _: path.write_bytes(path.read_bytes()[:-100]), "damaged"),
    "text": (lambda path, _: path.write_text("not an image"), "not a .npy file"),
    "size": (lambda path, _: save_axion(path, np.ones((8, 8)), 1e-23), "one size at a time"),
    "mass": (lambda path, _: save_axion(path, np.ones((16, 16)), -23.0), "positive number of eV"),
    "nan": (lambda path, _: save_axion(path, np.full((16, 16), np.nan), 1e-23), "not finite"),
    "shape": (lambda path, _: save_axion(path, np.ones((16, 8)), 1e-23), "not a square"),
    "order": (lambda path, _: save_axion(path, 1e-23, np.ones((16, 16))), "not .image, axion mass"),
    "large": (lambda path, _: path.write_bytes(b"\0" * 33_000_000), "larger than"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_named_and_nothing_becomes_complete(folder, tmp_path, fault):
    spoil, words = BAD[fault]
    path = folder / "axion" / "axion_sim_3.npy"
    spoil(path, tmp_path / "victim")
    with pytest.raises(ImportFileError, match=words) as caught:
        import_deeplense(folder, tmp_path / "out", split=0.0)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "victim").exists()
    manifest = read_manifest(Location(tmp_path / "out"))
    assert manifest is None or manifest.group("train/axion") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": 1.5}, "split = 1.5"),
        ({"split": 0.1, "test": 3}, "not both"),
        ({"train": 9, "test": 3}, "holds 10 images, which is not enough for 9 to train"),
        ({"train": 0, "test": 0}, "nothing to import"),
        ({"pixel_scale": -1.0}, "pixel_scale = -1"),
        ({"name": "a/b"}, "name = 'a/b'"),
        ({"seed": -1}, "seed = -1"),
        ({"workers": 0}, "workers = 0"),
        ({"workers": -1}, "workers = -1"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(folder, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        import_deeplense(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_command_imports_and_the_others_understand_it(folder, tmp_path):
    (folder / "vort").mkdir()
    out = tmp_path / "out"
    result = run("import-deeplense", folder, "--out", out, "--split", 0.2, "--pixel-scale", 0.05)
    assert result.exit_code == 0, result.output
    assert "Left out: vort/." in result.stderr
    assert result.stdout.splitlines()[-1].startswith(f"{out}: 30 images")
    info = run("info", out)
    assert info.exit_code == 0, info.output
    for words in ("imported from 30 files", "no specification", "listing sha256", "axion"):
        assert words in info.stdout
    assert json.loads(run("info", out, "--json").stdout)["imported"]["pixel_scale"] == 0.05
    assert run("preview", out, "--out", tmp_path / "p.png").exit_code == 0
    assert run("export", out, "--to", "webdataset").exit_code == 0
    assert run("verify", out).exit_code == 0
    card = (out / "README.md").read_text()
    assert "Model_I, imported" in card
    assert "not stated by its source" in card


def test_the_command_fails_in_one_sentence(folder, tmp_path):
    (folder / "cdm" / "cdm_sim_1.npy").write_bytes(b"")
    result = run("import-deeplense", folder, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "cdm_sim_1.npy" in result.stderr.splitlines()[-1]
    assert run("import-deeplense", tmp_path / "none", "--out", tmp_path / "out").exit_code == 2


def test_files_of_larger_images_hold_fewer_of_them():
    sizes = {num_pix: group_sizes(10_000, num_pix) for num_pix in (16, 64, 100, 150, 1024)}
    shards = {num_pix: shard for num_pix, (shard, _) in sizes.items()}
    assert shards == {16: 2048, 64: 2048, 100: 768, 150: 256, 1024: 256}
    assert {chunk for _, chunk in sizes.values()} == {256}


@pytest.mark.parametrize("num_pix", [16, 64, 150])
@pytest.mark.parametrize("count", [1, 6, 255, 256, 257, 300, 769, 2000, 2047])
def test_small_groups_are_cut_without_empty_places(count, num_pix):
    shard, chunk = group_sizes(count, num_pix)
    shards = -(-count // shard)
    assert shard % chunk == 0
    assert chunk <= 256
    assert shard <= group_sizes(10_000, num_pix)[0]
    chunks = -(-count // chunk)
    assert chunks * chunk - count < shards * (shard // chunk)


def test_a_few_large_images_fill_no_more_than_their_pixels(tmp_path):
    folder = make_folder(tmp_path / "source", count=6, size=150, classes=("cdm",))
    import_deeplense(folder, tmp_path / "out", split=0.5)
    for part in ("train", "test"):
        files = (tmp_path / "out" / "images.zarr" / part / "cdm" / "image").rglob("*")
        size = sum(path.stat().st_size for path in files if path.is_file())
        assert size < 1.05 * 3 * 150 * 150 * 4


def test_a_worker_holds_the_images_of_one_shard(tmp_path, images_in_memory, monkeypatch):
    monkeypatch.setattr(deeplense, "group_sizes", lambda *_: (2, 2))
    counts = images_in_memory(deeplense)
    folder = make_folder(tmp_path / "source", count=8, classes=("cdm",))
    import_deeplense(folder, tmp_path / "out", split=0.0, workers=1)
    assert counts == [1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    script = """
import sys
from lenssim.build.importers import deeplense
from lenssim.build.importers.deeplense import import_deeplense
import_deeplense(sys.argv[1], sys.argv[2], split=0.0, workers=1)
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) / 1024)
"""
    peaks = []
    for count in (4096, 10240):
        folder = tmp_path / f"source{count}"
        (folder / "cdm").mkdir(parents=True)
        content = None
        for index in range(count):
            path = folder / "cdm" / f"{index}.npy"
            if content is None:
                np.save(path, np.ones((64, 64)))
                content = path.read_bytes()
            path.write_bytes(content)
        result = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(tmp_path / f"out{count}")],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(float(result.stdout))
    assert peaks[1] < peaks[0] + 50  # a shard is 34 MB
