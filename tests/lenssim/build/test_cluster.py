"""Generating and exporting on a dask.distributed cluster, whose machines come late and get lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import lenssim
from lenssim.archive.manifest import read_manifest
from lenssim.build.cluster import ClusterError, check_machine, run_task
from lenssim.build.execution import executor
from lenssim.errors import ArchiveError
from lenssim.storage.location import Location

pytestmark = pytest.mark.usefixtures("plain_pictures")

SMALL = {"chunk_size": 4, "shard_size": 4}
WITHOUT_LENSSIM = "import sys; sys.modules['lenssim'] = None; from distributed.cli import {0}; "


def make(out, train=8, **options):
    return lenssim.generate("B", ["cdm"], train=train, test=0, out=out, **{**SMALL, **options})


def file_hashes(out):
    return {path: record.sha256 for path, record in read_manifest(Location(out)).files.items()}


class SmallCluster:
    """A scheduler, and workers in a folder of their own; each is a process."""

    def __init__(self, folder, has_lenssim=True):
        self.folder = folder
        self.has_lenssim = has_lenssim
        self.file = folder / "scheduler.json"
        self.processes = []
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self.scheduler = self._start("dask_scheduler", *options)
        deadline = time.monotonic() + 60
        while not self.file.exists():
            assert self.scheduler.poll() is None, "the scheduler ended before it began"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]

    def add_worker(self):
        return self._start("dask_worker", "--no-nanny", "--no-dashboard", "--nthreads", "1")

    def _start(self, program, *options):
        begin = ["-m", f"distributed.cli.{program}"]
        if not self.has_lenssim:
            begin = ["-c", WITHOUT_LENSSIM.format(program) + f"{program}.main()"]
        command = [sys.executable, *begin, *options, "--scheduler-file", str(self.file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=self.folder, **quiet)
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def start_cluster(tmp_path):
    clusters = []

    def start(workers, **options):
        folder = tmp_path / f"cluster{len(clusters)}"
        folder.mkdir()
        clusters.append(SmallCluster(folder, **options))
        for _ in range(workers):
            clusters[-1].add_worker()
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("lenssim.build.cluster.WORKER_TIMEOUT", 3.0)
    monkeypatch.setattr("lenssim.build.cluster._WORKER_CHECK_INTERVAL", 0.3)


def test_a_relative_folder_is_that_of_the_command_and_not_of_the_worker(
    tmp_path, start_cluster, monkeypatch
):
    cluster = start_cluster(1)
    before = sorted(path.name for path in cluster.folder.iterdir())
    monkeypatch.chdir(tmp_path)
    make("archives/B", scheduler=cluster.address)
    lenssim.export("archives/B", scheduler=cluster.address)
    assert not lenssim.verify(tmp_path / "archives" / "B").problems
    assert len(list((tmp_path / "archives" / "B" / "shards").rglob("*.tar"))) == 2
    assert sorted(path.name for path in cluster.folder.iterdir()) == before


def test_a_scheduler_without_workers_is_given_up_and_nothing_is_overwritten(
    tmp_path, start_cluster, impatient
):
    cluster = start_cluster(0)
    make(tmp_path)
    before = file_hashes(tmp_path)
    phases = []
    with pytest.raises(ClusterError, match=r"has had no worker for 0\.05 minutes") as caught:
        make(tmp_path, seed=1, overwrite=True, scheduler=cluster.address, phase=phases.append)
    assert str(caught.value).endswith("the same command continues from there.")
    assert phases == [f"waiting for workers at {cluster.address}"]
    assert file_hashes(tmp_path) == before


def test_workers_may_come_later_than_the_command(tmp_path, start_cluster, monkeypatch):
    monkeypatch.setattr("lenssim.build.cluster._WORKER_CHECK_INTERVAL", 0.1)
    cluster = start_cluster(0)
    phases = []

    def phase(text):
        phases.append(text)
        if text.startswith("waiting"):
            cluster.add_worker()

    archive = make(tmp_path / "a", scheduler=cluster.address, phase=phase)
    assert archive.manifest.groups[0].count == 8
    assert phases[0].startswith("waiting for workers")
    assert phases[1].startswith("simulating")
    assert phases[-1] == "writing tables and card"


def test_workers_that_all_leave_are_given_up_and_the_next_run_completes(
    tmp_path, start_cluster, impatient
):
    cluster = start_cluster(0)
    worker = cluster.add_worker()
    options = {"train": 40}

    def kill_the_worker(_):
        worker.kill()

    with pytest.raises(ClusterError, match="has had no worker"):
        make(tmp_path / "cut", scheduler=cluster.address, progress=kill_the_worker, **options)
    make(tmp_path / "cut", **options)
    make(tmp_path / "whole", **options)
    assert file_hashes(tmp_path / "cut") == file_hashes(tmp_path / "whole")


def test_workers_without_lenssim_are_named_before_anything_is_written(tmp_path, start_cluster):
    cluster = start_cluster(1, has_lenssim=False)
    with pytest.raises(ClusterError, match=r"cannot run lenssim .*: install lenssim") as caught:
        make(tmp_path / "a", scheduler=cluster.address)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_workers_that_do_not_see_the_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    with pytest.raises(ClusterError, match=f"on node7 does not see {tmp_path}/a: choose an --out"):
        check_machine(lenssim.__version__, f"{tmp_path}/a")
    check_machine(lenssim.__version__, str(tmp_path))
    check_machine(lenssim.__version__, None)


def test_a_refusal_by_a_worker_comes_back_without_its_causes(tmp_path):
    class UnpicklableError(Exception):
        def __init__(self, first, second):
            super().__init__(first)

    def task(_):
        try:
            raise UnpicklableError(1, 2)
        except UnpicklableError as error:
            raise ArchiveError("a sentence.") from error

    with pytest.raises(ArchiveError, match=r"^a sentence\.$") as caught:
        run_task(lenssim.__version__, str(tmp_path), task, 0)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_failed_write_on_a_worker_is_the_sentence_of_the_archive(
    tmp_path, start_cluster, monkeypatch
):
    """The error on the worker has causes of zarr's that cannot be sent."""
    cluster = start_cluster(1)
    options = {"scheduler": cluster.address}
    make(tmp_path, seed=1, **options)
    monkeypatch.setattr("lenssim.build.run.create_group", lambda *_: None)
    with pytest.raises(ArchiveError, match="cannot be written") as caught:
        make(tmp_path, seed=2, overwrite=True, **options)
    assert "\n" not in str(caught.value)


def test_workers_of_another_version_are_named_before_anything_is_written(
    tmp_path, start_cluster, monkeypatch
):
    cluster = start_cluster(1)
    monkeypatch.setattr("lenssim.build.cluster.VERSION", "9.9.9")
    with pytest.raises(ClusterError, match=r"has lenssim \d.*, and this run has 9\.9\.9"):
        make(tmp_path / "a", scheduler=cluster.address)
    assert not (tmp_path / "a").exists()


def test_a_cluster_gives_the_same_files_and_survives_a_lost_worker(tmp_path):
    from distributed import LocalCluster

    make(tmp_path / "threads", train=24, shard_size=8)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        first = next(iter(cluster.workers.values()))

        def kill_one_worker(_):
            if first.process.is_alive():
                os.kill(first.pid, signal.SIGKILL)

        make(
            tmp_path / "cluster",
            train=24,
            shard_size=8,
            scheduler=cluster.scheduler_address,
            progress=kill_one_worker,
        )
    assert file_hashes(tmp_path / "cluster") == file_hashes(tmp_path / "threads")


def test_a_scheduler_that_does_not_answer_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("lenssim.build.cluster.CONNECT_TIMEOUT", "500ms")
    with pytest.raises(ClusterError, match="No dask scheduler answers"):
        make(tmp_path / "a", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "a").exists()


def test_a_lost_scheduler_is_one_sentence_and_the_next_run_completes(
    tmp_path, start_cluster, capfd
):
    options = {"train": 80}
    make(tmp_path / "whole", **options)
    cluster = start_cluster(1)

    def kill_the_scheduler(_):
        cluster.scheduler.kill()

    with pytest.raises(ClusterError, match="the same command continues from there") as caught:
        make(tmp_path / "cut", scheduler=cluster.address, progress=kill_the_scheduler, **options)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    make(tmp_path / "cut", **options)
    assert file_hashes(tmp_path / "cut") == file_hashes(tmp_path / "whole")


def test_no_task_is_running_any_more_when_one_has_failed():
    started, ended = threading.Event(), []

    def task(index, report):
        if index == 0:
            started.wait(10)
            raise ValueError("a full disk")
        started.set()
        time.sleep(0.3)  # past its last report
        ended.append(index)
        return 1

    with (
        executor(task, 2, None) as run,
        pytest.raises(ValueError, match="a full disk"),
    ):
        run([(index,) for index in range(8)], lambda index: None, None)
    before = list(ended)
    time.sleep(0.5)
    assert ended == before


def test_tasks_stop_at_their_next_report_when_one_has_failed():
    started, reports = threading.Event(), []

    def task(index, report):
        if index == 0:
            started.wait(10)
            raise ValueError("a full disk")
        for _ in range(1000):
            report(1)
            reports.append(index)
            started.set()
            time.sleep(0.01)
        return 1000

    with executor(task, 2, None) as run, pytest.raises(ValueError, match="a full disk"):
        run([(0,), (1,)], lambda index: None, None)
    assert len(reports) < 1000
