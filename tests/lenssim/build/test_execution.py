"""Tasks in processes of this machine: whole, told of, and ended together."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import lenssim
from lenssim.build import execution
from lenssim.build.execution import WorkerError, executor
from lenssim.errors import ArchiveError

WORKERS = 3  # more than there are threads


def run(task, count, progress=None):
    finished = []
    with executor(task, WORKERS, None) as work:
        work([(index,) for index in range(count)], finished.append, progress)
    return finished


def count_images(index, report):
    for _ in range(index):
        report(1)
    return index


def write_own_process(folder, index, report):
    Path(folder, str(os.getpid())).touch()
    report(1)
    time.sleep(0.2)
    return 1


def fail_at_first(index, report):
    if index == 0:
        raise ArchiveError("The disk is full: make room.") from OSError(28)
    while True:
        report(1)
        time.sleep(0.01)


def end_process(index, report):
    if index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_every_task_is_done_once_and_every_image_is_told_of():
    told = []
    assert sorted(run(count_images, 7, told.append)) == list(range(7))
    assert sum(told) == sum(range(7))


def test_more_workers_than_two_are_processes(tmp_path):
    run(partial(write_own_process, str(tmp_path)), 6)
    processes = {int(path.name) for path in tmp_path.iterdir()}
    assert 2 <= len(processes) <= WORKERS and os.getpid() not in processes


def test_an_error_ends_the_other_tasks_and_keeps_its_type_and_sentence():
    begun = time.monotonic()
    with pytest.raises(ArchiveError, match="make room"):
        run(fail_at_first, 5)
    assert time.monotonic() - begun < 60


def test_a_lost_process_is_an_error_in_a_sentence():
    with pytest.raises(WorkerError, match="fewer --workers"):
        run(end_process, 4)


def test_images_do_not_depend_on_how_many_processes_make_them(tmp_path):
    made = {}
    for workers in (1, WORKERS):
        archive = lenssim.generate(
            "B", out=tmp_path / str(workers), train=70, test=2, seed=3, workers=workers
        )
        made[workers] = {path: file.sha256 for path, file in archive.manifest.files.items()}
    assert made[1].keys() == made[WORKERS].keys()
    images = {path for path in made[1] if "images.zarr" in path and "/c/" in path}
    assert images and all(made[1][path] == made[WORKERS][path] for path in images)


def test_a_script_needs_no_guard_around_its_call(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import lenssim\n"
        f"lenssim.generate('B', out={str(tmp_path / 'B')!r}, train=70, test=2, workers=3)\n"
        "print('once')\n"
    )
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["once"]


def test_ctrl_c_ends_the_processes(tmp_path):
    words = ["generate", "--model", "B", "--train", "3000", "--test", "2", "--workers", "3"]
    with subprocess.Popen(
        [sys.executable, "-m", "lenssim", *words, "--out", str(tmp_path / "B")],
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(
            tmp_path.glob("B/images.zarr/train/*/image/c/*")
        ):
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1, said
    assert "Stopped" in said and "Traceback" not in said
    with pytest.raises(ProcessLookupError):  # nobody of its group is left
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.2)


def test_threads_are_enough_for_two_tasks_or_for_few_images():
    seen = []

    def here(index, report):
        seen.append(index)
        return 1

    with executor(here, WORKERS, None) as work:
        work([(0,), (1,)], lambda index: None, None)
    with executor(here, WORKERS, None, images=execution.FEW) as work:
        work([(index,) for index in range(2, 9)], lambda index: None, None)
    assert sorted(seen) == list(range(9))


def wait_long(folder, index, report):
    Path(folder, str(os.getpid())).touch()
    while True:
        report(0)
        time.sleep(0.05)


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import sys; from functools import partial; from lenssim.build.execution import executor\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_execution import wait_long\n"
        f"with executor(partial(wait_long, {str(tmp_path)!r}), 3, None) as run:\n"
        "    run([(i,) for i in range(6)], lambda index: None, None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        process.kill()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 3
    deadline = time.monotonic() + 10
    while (left := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    assert not left


def fail_oddly(index, report):
    raise UnicodeDecodeError("utf-8", b"", 0, 1, "what cannot be made again from its words")


def test_an_error_that_cannot_be_sent_is_told_with_its_traceback():
    with pytest.raises(RuntimeError, match="fail_oddly"):
        run(fail_oddly, 4)


def test_an_archive_in_memory_is_made_by_threads():
    url = "memory://made-by-threads/B"
    archive = lenssim.generate("B", out=url, train=70, test=2, workers=WORKERS)
    assert archive.dataset("train", "cdm").sizes["sample"] == 70
