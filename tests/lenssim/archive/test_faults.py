"""Killed at any moment, out of space, or two at once: nothing half done is taken for whole."""

import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lenssim
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location
from lenssim.storage.locking import LOCK

PROGRAM = Path(__file__).with_name("steps.py")
STEPS, MADE = (runpy.run_path(str(PROGRAM))[name] for name in ("STEPS", "MADE"))

KILLS = 7
"""Of each step in the slow version: more than twenty in all."""


def hashes(url):
    files = lenssim.open_archive(url).manifest.files
    return {path: record.sha256 for path, record in files.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """For each step, where nothing goes wrong: the folder before it, the files after, seconds."""
    root = tmp_path_factory.mktemp("undisturbed")
    folder = root / "now"
    folder.mkdir()
    found = {}
    for step, work in STEPS.items():
        before = Path(shutil.copytree(folder, root / f"before-{step}"))
        began = time.perf_counter()
        work(folder)
        found[step] = before, hashes(folder / MADE[step]), time.perf_counter() - began
    return found


def start(step, folder):
    """A process that has begun with a step."""
    command = [sys.executable, str(PROGRAM), step, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begins\n"
    return process


def look_as_a_reader_does(url, seen):
    """Checks that every group that can be opened now is whole; notes it, if it was not yet."""
    try:
        archive = lenssim.open_archive(url)
    except ArchiveError as error:
        assert "not an archive" in str(error)
        return
    for group in archive.manifest.groups:
        if group.name not in seen:
            dataset = archive.dataset(group.split, group.substructure_class)
            assert dataset.sizes["sample"] == group.count
            assert np.isfinite(dataset["image"].values).all()
            seen.add(group.name)


@pytest.mark.parametrize("kills_wanted", [2, pytest.param(KILLS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_random_moments_it_ends_the_same(step, kills_wanted, undisturbed, tmp_path):
    before, expected, duration = undisturbed[step]
    folder = Path(shutil.copytree(before, tmp_path / "work"))
    url = folder / MADE[step]
    generator = random.Random(step)
    kills, seen = 0, set()
    while kills < kills_wanted:
        process = start(step, folder)
        deadline = time.monotonic() + generator.uniform(0, duration)
        while time.monotonic() < deadline and process.poll() is None:
            look_as_a_reader_does(url, seen)
        if process.poll() is not None:
            # it was done before its time was up: begin again
            shutil.rmtree(folder)
            shutil.copytree(before, folder)
            seen.clear()
            continue
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        look_as_a_reader_does(url, seen)
    if not (folder / "published/versions.json").exists():  # the very last file of all
        STEPS[step](folder)
    assert hashes(url) == expected
    assert not lenssim.verify(url).problems
    assert not list(folder.rglob("*.partial"))


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated")
def test_a_group_in_the_making_cannot_be_opened_by_plain_readers(tmp_path):
    import xarray as xr

    def stop(_):
        with pytest.raises((KeyError, FileNotFoundError)):
            xr.open_zarr(tmp_path / "images.zarr", group="train/cdm")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lenssim.generate("B", ["cdm"], train=40, test=0, out=tmp_path, progress=stop)


def test_of_two_runs_into_one_folder_one_wins_and_the_other_is_told(tmp_path):
    command = [sys.executable, "-m", "lenssim", "generate", "--class", "no_sub", "--test", "0"]
    command += ["--train", "1200", "--workers", "1", "--out", str(tmp_path)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [run.communicate()[1] for run in runs]
    codes = [run.returncode for run in runs]
    assert sorted(codes) == [0, 1]
    told = errors[codes.index(1)].splitlines()[-1]
    assert told.startswith(f"Error: Another run is writing into {tmp_path}")
    assert not lenssim.verify(tmp_path).problems
    assert not (tmp_path / LOCK).exists()


def test_two_runs_into_one_bucket_do_not_mix_and_a_dead_one_does_not_block(bucket):
    location = Location(f"{bucket}/B")
    with location.exclusive(), pytest.raises(ArchiveError, match="Another run is writing"):
        lenssim.generate("B", ["cdm"], train=1, test=0, out=location.url)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    location.write(LOCK, location_holder(dead.pid))
    lenssim.generate("B", ["cdm"], train=1, test=0, out=location.url)
    assert not location.exists(LOCK)


def location_holder(process):
    import json
    import socket

    return json.dumps({"host": socket.gethostname(), "process": process}).encode()


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if (
        os.getuid()
        or shutil.which("mount") is None
        or subprocess.run(mount, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("step", ["generate", "export", "publish"])
def test_a_full_disk_is_one_sentence_and_the_next_run_completes(step, small_disk, tmp_path):
    options = {"classes": ["no_sub"], "test": 0, "shard_size": 16, "chunk_size": 16}
    counts = {"generate": 200, "export": 48, "publish": 80}
    out = small_disk / "B"
    spare = small_disk / "spare"
    if step == "publish":
        lenssim.generate("B", train=counts[step], out=tmp_path / "B", **options)
        spare.write_bytes(bytes(1_000_000))
    elif step == "export":
        lenssim.generate("B", train=counts[step], out=out, **options)
    work = {
        "generate": lambda: lenssim.generate("B", train=counts[step], out=out, **options),
        "export": lambda: lenssim.export(out),
        "publish": lambda: lenssim.publish(tmp_path / "B", small_disk / "published"),
    }[step]
    with pytest.raises(ArchiveError, match="No space left on device") as caught:
        work()
    assert "\n" not in str(caught.value)
    spare.unlink(missing_ok=True)
    grow = ["mount", "-o", "remount,size=20m", str(small_disk)]
    subprocess.run(grow, check=True)
    work()
    place = small_disk / "published/2.0.0" if step == "publish" else out
    assert not lenssim.verify(place, deep=3).problems
