"""Generating archives: determinism, resuming, refusals, and faults that leave nothing corrupt."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import lenssim
import lenssim.build.shard
from lenssim.archive.layout import PROGRESS
from lenssim.archive.manifest import read_manifest
from lenssim.errors import ArchiveError, UsageError
from lenssim.storage.location import Location

pytestmark = pytest.mark.usefixtures("plain_pictures")

SMALL = {"chunk_size": 16, "shard_size": 32}


def make(out, classes=("cdm",), train=40, test=0, **options):
    return lenssim.generate("B", classes, train=train, test=test, out=out, **{**SMALL, **options})


def digest(archive, name="cdm", count=None, split="train"):
    """Hash of everything that a group holds about its first images."""
    dataset = archive.dataset(split, name).isel(sample=slice(count)).load()
    total = hashlib.sha256()
    for variable in sorted(dataset.variables):
        total.update(variable.encode())
        total.update(np.ascontiguousarray(dataset[variable].values).tobytes())
    return total.hexdigest()


def file_hashes(out):
    return {path: record.sha256 for path, record in read_manifest(Location(out)).files.items()}


def test_columns_are_what_one_call_simulates(tmp_path):
    dataset = make(tmp_path / "a", ["axion", "cdm", "no_sub"]).dataset("train", "cdm").load()
    spec = lenssim.load_spec("B")
    for index in (0, 31, 39):
        simulation = lenssim.simulate(spec, "cdm", index)
        row = dataset.isel(sample=index)
        np.testing.assert_array_equal(row["image"], simulation.image.astype(np.float32))
        assert row["substructure_snr"] == np.float32(simulation.substructure_snr)
        assert row["lens_theta_e"] == simulation.system.lens_theta_e
        held = row["subhalo_mass"].values
        np.testing.assert_array_equal(held[np.isfinite(held)], simulation.system.subhalo_mass)


def test_workers_change_nothing(tmp_path):
    make(tmp_path / "one", workers=1)
    make(tmp_path / "two", workers=2)
    assert file_hashes(tmp_path / "one") == file_hashes(tmp_path / "two")


def test_chunks_and_shards_change_no_value(tmp_path):
    first = make(tmp_path / "a", chunk_size=8, shard_size=8)
    second = make(tmp_path / "b", chunk_size=20, shard_size=40)
    assert digest(first) == digest(second)


def test_the_first_images_do_not_depend_on_how_many_follow(tmp_path):
    few = make(tmp_path / "few", train=40)
    many = make(tmp_path / "many", train=72)
    assert digest(few) == digest(many, count=40)


def test_seed_split_and_class_change_the_images(tmp_path):
    archive = make(tmp_path / "a", ["cdm", "no_sub"], train=4, test=4)
    other = make(tmp_path / "b", ["cdm", "no_sub"], train=4, test=4, seed=1)
    images = [
        opened.dataset(split, name)["source_x"].values[0]
        for opened in (archive, other)
        for split in ("train", "test")
        for name in ("cdm", "no_sub")
    ]
    assert len(set(images)) == len(images)


def test_a_second_run_adds_the_classes_that_are_missing(tmp_path):
    make(tmp_path, ["cdm"])
    before = file_hashes(tmp_path)
    archive = make(tmp_path, ["no_sub", "cdm"])
    assert [group.name for group in archive.manifest.groups] == ["train/cdm", "train/no_sub"]
    after = file_hashes(tmp_path)
    data = [path for path in before if "/c/" in path]
    assert data
    assert all(after[path] == before[path] for path in data)


def test_a_complete_group_is_not_made_again(tmp_path):
    made = []
    make(tmp_path)
    make(tmp_path, progress=made.append)
    assert made == []


def test_manifest_tells_the_truth_about_every_file(tmp_path):
    make(tmp_path, ["axion", "cdm"], test=5)
    manifest = json.loads((tmp_path / "archive.json").read_text())
    on_disk = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert on_disk == {*manifest["files"], "archive.json"}
    for path, record in manifest["files"].items():
        content = (tmp_path / path).read_bytes()
        assert record == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert manifest["spec_sha256"] == lenssim.load_spec("B").sha256
    assert manifest["spec"] == lenssim.load_spec("B").model_dump(mode="json")


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path):
    whole = make(tmp_path / "whole", train=100)
    seen = []

    def interrupt(count):
        seen.append(count)
        if sum(seen) >= 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", train=100, workers=1, progress=interrupt)
    assert read_manifest(Location(tmp_path / "cut")).groups == []
    with pytest.raises(ArchiveError, match="does not hold train/cdm"):
        lenssim.open_archive(tmp_path / "cut").dataset("train", "cdm")
    remade = []
    resumed = make(tmp_path / "cut", train=100, progress=remade.append)
    assert sum(remade) < 100
    assert digest(resumed) == digest(whole)
    assert file_hashes(tmp_path / "cut") == file_hashes(tmp_path / "whole")
    assert not (tmp_path / "cut" / PROGRESS).exists()


@pytest.mark.parametrize(("count", "chunk"), [(3, 3), (300, 150)])
def test_a_group_of_few_images_fills_no_more_than_their_pixels(tmp_path, count, chunk):
    options = {"train": count, "test": 0, "overrides": ["instrument.num_pix=16"]}
    archive = lenssim.generate("B", ["no_sub"], out=tmp_path, **options)
    image = archive.dataset("train", "no_sub")["image"]
    assert image.encoding["chunks"][0] == chunk
    [pixels] = archive.manifest.files_of("images.zarr/train/no_sub/image/c/").values()
    assert pixels.size == pytest.approx(count * 16**2 * 4, abs=100)
    assert not lenssim.verify(tmp_path).problems


def test_progress_is_shown_when_asked_for(tmp_path, capsys):
    notes = []
    for _ in range(2):
        make(tmp_path, train=2, test=0, progress=True, note=notes.append)
    assert "writing tables and card" in capsys.readouterr().err
    assert notes == ["train/cdm: 2 images, complete already."]


def test_the_platforms_are_those_that_made_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr("lenssim.rendering.platform", lambda: "the first")
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, train=34, workers=1, progress=_raise_after(33))
    assert read_manifest(Location(tmp_path)).platform is None
    monkeypatch.setattr("lenssim.rendering.platform", lambda: "another")
    assert make(tmp_path, train=34).manifest.platform == "another; the first"
    both = make(tmp_path, ["cdm", "no_sub"], train=34)
    assert both.manifest.platform == "another; the first"
    assert make(tmp_path / "alone", train=4).manifest.platform == "another"


KILLED = """
import sys, lenssim
lenssim.generate("B", ["cdm"], train=96, test=0, out=sys.argv[1], workers=2,
                 chunk_size=16, shard_size=16)
"""


@pytest.mark.parametrize("shards_before_death", [1, 4])
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path, shards_before_death):
    options = {"train": 96, "chunk_size": 16, "shard_size": 16}
    make(tmp_path / "whole", **options)
    cut = tmp_path / "cut"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(cut)])
    progress = cut / PROGRESS / "train" / "cdm"
    deadline = time.monotonic() + 120
    while len(list(progress.glob("0*.json"))) < shards_before_death:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    make(cut, **options)
    assert file_hashes(cut) == file_hashes(tmp_path / "whole")


def test_a_half_written_shard_is_written_again(tmp_path):
    make(tmp_path / "whole", train=96)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        make(cut, train=96, workers=1, progress=_raise_after(65))
    done, _ = (cut / PROGRESS / "train/cdm").glob("0*.json")
    torn = cut / f"images.zarr/train/cdm/image/c/{int(done.stem)}/0/0"
    torn.write_bytes(torn.read_bytes()[:1000])
    done.unlink()
    make(cut, train=96)
    assert file_hashes(cut) == file_hashes(tmp_path / "whole")


def _raise_after(limit):
    made = []

    def report(count):
        made.append(count)
        if sum(made) >= limit:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 7}, ["seed is 0 there and 7 here"]),
        ({"overrides": ["instrument.psf_fwhm=0.2"]}, ["instrument.psf_fwhm", "0.16", "0.2"]),
        ({"engine": "lenstronomy"}, ["engine is fast there and lenstronomy here"]),
        ({"train": 41}, ["40 images of train/cdm, not 41"]),
    ],
)
def test_an_archive_of_something_else_is_refused_and_told_why(tmp_path, options, words):
    make(tmp_path)
    before = file_hashes(tmp_path)
    with pytest.raises(UsageError) as caught:
        make(tmp_path, **options)
    for word in words:
        assert word in str(caught.value)
    assert file_hashes(tmp_path) == before


def test_another_count_for_a_group_that_was_cut_short_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, train=64, workers=1, progress=_raise_after(33))
    with pytest.raises(UsageError, match="64 images of train/cdm, not 40"):
        make(tmp_path)


def test_overwriting_the_same_data_set_keeps_its_other_classes(tmp_path):
    make(tmp_path, ["cdm", "no_sub"])
    archive = make(tmp_path, ["cdm"], train=20, overwrite=True)
    held = {group.name: group.count for group in archive.manifest.groups}
    assert held == {"train/cdm": 20, "train/no_sub": 40}
    assert archive.dataset("train", "cdm").sizes["sample"] == 20


def test_overwriting_with_another_data_set_replaces_the_archive(tmp_path):
    make(tmp_path, ["cdm", "no_sub"])
    archive = make(tmp_path, ["cdm"], seed=3, overwrite=True)
    assert [group.name for group in archive.manifest.groups] == ["train/cdm"]
    assert not (tmp_path / "images.zarr/train/no_sub").exists()


def test_a_folder_that_is_no_archive_of_ours_is_left_alone(tmp_path):
    (tmp_path / "images.zarr").mkdir()
    (tmp_path / "images.zarr" / "precious").write_text("data")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="not an archive"):
            make(tmp_path, overwrite=overwrite)
    assert (tmp_path / "images.zarr" / "precious").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train": -5}, "train = -5"),
        ({"train": 0}, "nothing to generate"),
        ({"seed": -1}, "seed = -1"),
        ({"workers": 0}, "workers = 0"),
        ({"scheduler": "garbage"}, "scheduler = garbage must be tcp://HOST:PORT"),
        ({"scheduler": "tcp://here"}, "scheduler = tcp://here must be"),
        ({"scheduler": "tcp://here:99999"}, "between 1 and 65535"),
        ({"chunk_size": 7, "shard_size": 32}, "multiple of chunk_size"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        make(tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_a_request_that_makes_no_sense_overwrites_nothing(tmp_path):
    make(tmp_path)
    before = file_hashes(tmp_path)
    for options in ({"workers": 0}, {"scheduler": "garbage", "seed": 3}):
        with pytest.raises(UsageError):
            make(tmp_path, overwrite=True, **options)
    assert file_hashes(tmp_path) == before
    assert not lenssim.verify(tmp_path).problems


def test_an_archive_that_holds_no_image_yet_is_replaced(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", ["cdm", "no_sub"], train=64, workers=1, progress=_raise_after(1))
    assert (tmp_path / "cut" / PROGRESS / "train/cdm/layout.json").exists()
    make(tmp_path / "cut", seed=1)
    make(tmp_path / "whole", seed=1)
    assert file_hashes(tmp_path / "cut") == file_hashes(tmp_path / "whole")
    assert not lenssim.verify(tmp_path / "cut").problems


def test_a_full_disk_is_one_sentence_and_the_next_run_completes(tmp_path, monkeypatch):
    from zarr.storage import LocalStore

    make(tmp_path / "whole", train=64)
    store = LocalStore.set
    calls = []

    async def full(self, key, value, *rest):
        calls.append(key)
        if key.endswith("image/c/1/0/0"):
            raise OSError(28, "No space left on device")
        return await store(self, key, value, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(ArchiveError, match="No space left on device") as caught:
            make(tmp_path / "cut", train=64)
    assert str(caught.value).count("\n") == 0
    make(tmp_path / "cut", train=64)
    assert file_hashes(tmp_path / "cut") == file_hashes(tmp_path / "whole")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="cannot be written"):
        make(tmp_path / "file" / "below")


def test_a_damaged_manifest_is_one_sentence(tmp_path):
    make(tmp_path)
    (tmp_path / "archive.json").write_text('{"groups": [')
    with pytest.raises(ArchiveError, match="damaged"):
        make(tmp_path)


def test_plain_xarray_opens_it_without_this_package(tmp_path):
    make(tmp_path, ["axion", "cdm", "no_sub"], train=5, test=3)
    script = """
import sys, xarray
tree = xarray.open_datatree(sys.argv[1], engine="zarr")
group = xarray.open_zarr(sys.argv[1], group="train/cdm")
assert tree["train/cdm"].sizes["sample"] == group.sizes["sample"] == 5
assert float(group.image.isel(sample=0).max()) > 0
assert group.label.attrs["flag_meanings"] == "axion cdm no_sub"
assert "lenssim" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path / "images.zarr")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr


def test_layout_is_the_documented_one(tmp_path):
    make(tmp_path, ["axion", "cdm", "no_sub"], train=5)
    common = {
        "image", "label", "axion_mass", "substructure_mass", "substructure_snr", "einstein_mass",
        "lens_theta_e", "lens_e1", "lens_e2", "lens_gamma1", "lens_gamma2",
        "source_x", "source_y", "source_magnitude", "source_r_sersic", "source_n_sersic",
        "source_e1", "source_e2", "ring_radius", "substructure_snr_refit",
    }  # fmt: skip
    own = {
        "axion": {"vortex_theta_e", "vortex_length", "vortex_angle", "vortex_x", "vortex_y"},
        "cdm": {"subhalo_x", "subhalo_y", "subhalo_mass", "subhalo_theta_e"},
        "no_sub": set(),
    }
    dtypes = {"image": "float32", "label": "int8"}
    dtypes |= {"substructure_snr": "float32", "substructure_snr_refit": "float32"}
    for label, (name, extra) in enumerate(own.items()):
        dataset = xr.open_zarr(tmp_path / "images.zarr", group=f"train/{name}")
        assert set(dataset.data_vars) == common | extra
        assert set(dataset.coords) == {"sample", "x", "y"}
        for variable in dataset.data_vars:
            assert dataset[variable].dtype == dtypes.get(variable, "float64")
            assert {"units", "long_name"} <= set(dataset[variable].attrs)
        assert dataset["image"].dims == ("sample", "y", "x")
        assert set(dataset["label"].values) == {label}
        assert np.isnan(dataset["axion_mass"].values).all() == (name != "axion")
        np.testing.assert_allclose(dataset["x"], (np.arange(64) - 31.5) * 0.101)
        assert {
            "model", "spec_version", "spec_sha256", "split", "class", "seed", "pixel_scale",
            "generator_version", "licence",
        } <= set(dataset.attrs)  # fmt: skip


def test_shards_are_one_file_each(tmp_path):
    make(tmp_path, train=70)
    files = sorted(path for path in (tmp_path / "images.zarr/train/cdm/image").rglob("*"))
    shards = [path for path in files if path.is_file() and path.name != "zarr.json"]
    assert len(shards) == 3


def test_a_worker_holds_the_images_of_one_shard(tmp_path, images_in_memory):
    counts = images_in_memory(lenssim.build.shard)
    make(tmp_path, ["no_sub"], train=8, workers=1, chunk_size=2, shard_size=2)
    assert counts == [1, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    script = """
import sys, lenssim
lenssim.generate("B", ["no_sub"], train=int(sys.argv[2]), test=0, out=sys.argv[1], workers=2)
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) / 1024)
"""
    peaks = []
    for count in (4096, 12288):
        run = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / str(count)), str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(float(run.stdout))
    assert peaks[1] < 1024
    assert peaks[1] < peaks[0] + 100
