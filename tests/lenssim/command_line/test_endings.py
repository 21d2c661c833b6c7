"""How a command ends early: by a signal, by a closed pipe, by a full disk, by a wrong word."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from lenssim.command_line.command_group import CommandGroup
from lenssim.compilation import COMPILATION_TIME

LENSSIM = [sys.executable, "-m", "lenssim"]
GENERATE = [*LENSSIM, "generate", "--class", "cdm", "--test", "0", "--workers", "1"]
HEAVY = ("zarr", "xarray", "pandas", "dask", "numba", "scipy", "astropy", "matplotlib")


def wait_until(is_true, seconds=240):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_with_how_to_go_on(tmp_path, number):
    # under nohup these tests ignore SIGHUP, and what they start does so, too
    own = signal.signal(number, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [*GENERATE, "--train", "20000", "--out", str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(number, own)
    wait_until(lambda: list(tmp_path.glob(".progress/train/cdm/layout.json")))
    time.sleep(1)
    os.kill(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.endswith(
        "Stopped; what is done is kept: the same command continues from there.\n"
    )
    assert "Traceback" not in stderr
    assert not (tmp_path / ".lock").exists()


LOSES_THE_INTERRUPT = """
import sys
import lenssim.build.execution as execution
from lenssim.cli import main

class Disposed:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

import signal
on_threads = execution._on_threads

def run_after_a_lost_interrupt(task, workers):
    run = on_threads(task, workers)
    def wrapped(*arguments):
        Disposed()  # Python drops what is raised while an object is disposed of
        run(*arguments)
    return wrapped

execution._on_threads = run_after_a_lost_interrupt
main(sys.argv[1:])
"""


def test_an_interrupt_that_python_drops_ends_the_command(tmp_path):
    words = ["generate", "--class", "cdm", "--test", "0", "--train", "20000"]
    done = subprocess.run(
        [sys.executable, "-c", LOSES_THE_INTERRUPT, *words, "--out", str(tmp_path)],
        capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert "Exception ignored in" in done.stderr
    assert done.returncode == 1
    assert done.stderr.endswith("the same command continues from there.\n")


def test_the_compiler_is_announced_and_can_be_interrupted(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    process = subprocess.Popen(
        [*GENERATE, "--train", "10", "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr.readline() == f"compiling kernels (once, {COMPILATION_TIME})\n"
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == "Stopped; what is done is kept: the same command continues from there.\n"


def test_an_ignored_signal_stays_ignored():
    script = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "from lenssim.command_line.interruption import handle_signals as install;"
        "install(); os.kill(os.getpid(), signal.SIGHUP); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout == b"alive\n"


@pytest.mark.parametrize("words", [["specs"], ["specs", "B"], ["--help"], ["generate", "--help"]])
def test_a_closed_pipe_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*LENSSIM, *words], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert done.stderr == b""


@pytest.mark.parametrize("words", [["specs"], ["--help"], ["generate", "--help"]])
def test_an_output_on_a_full_disk_is_one_sentence(words):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [*LENSSIM, *words], stdout=full, stderr=subprocess.PIPE, check=False, text=True
        )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: The system refuses the output of this command: No space left on device. "
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "x.yaml"), "refuses x.yaml: Permission denied."),
        (OSError("a strange thing"), "Unexpected OSError: a strange thing."),
        (MemoryError(), "There is not enough memory"),
        (ValueError("no"), "Unexpected ValueError: no."),
    ],
)
def test_an_error_that_nobody_foresaw_is_one_sentence(error, sentence):
    group = CommandGroup("program")

    @group.command()
    def work():
        raise error

    result = CliRunner().invoke(group, ["work"])
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert result.stderr.endswith("Run again with program --debug for more.\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], ()),
        (["generate", "--help"], ()),
        (["specs"], ()),
        (["generate", "--model", "nothere"], ()),
        (["generate", "--train", "-5"], ("zarr",)),
        (["info", "nothere"], ("zarr",)),
        (["verify", "nothere"], ("zarr",)),
        (["preview", "nothere", "--out", "p.png"], ("zarr",)),
        (["export", "nothere", "--to", "webdataset"], ("zarr",)),
        (["publish", "nothere", "there"], ("zarr",)),
        (["import-deeplense", "nothere", "--out", "there"], ("zarr",)),
    ],
)
def test_help_and_refusals_wait_for_no_heavy_import(words, allowed, tmp_path):
    script = (
        "import sys; from click.testing import CliRunner; from lenssim.cli import main;"
        "CliRunner().invoke(main, sys.argv[1:]); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, check=True, cwd=tmp_path
    )
    imported = set(done.stdout.decode().split()) & set(HEAVY)
    assert imported <= set(allowed)
