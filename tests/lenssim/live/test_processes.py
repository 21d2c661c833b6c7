"""Processes of a live source wait for their reader, and end with it, however it ends."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from lenssim.live import LiveError, live_source
from lenssim.live.worker import batches, produce, receive, send

SMALL = ("instrument.num_pix=16", "sampling.tolerance=null", "sampling.subsamples=1")


FAKE_WORKER = """
import itertools, numpy
from lenssim.live.worker import main

def make(request):
    size = request["settings"]["batch_size"]
    for number in itertools.count(request["first"], request["step"]):
        yield {"number": number}, {"images": numpy.full((size, 64, 64), number, numpy.float32)}

main(make)
"""
"""A process that makes batches without simulating, and so starts in no time."""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("lenssim.live.source.WORKER", [sys.executable, "-c", FAKE_WORKER])


def source(**options):
    return live_source("B", ["no_sub"], overrides=SMALL, **{"batch_size": 4, **options})


def processes_of(live):
    return [psutil.Process(process.pid) for process in live._processes]


def assert_ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def test_messages_come_out_as_they_went_in(tmp_path):
    arrays = {
        "images": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "label": np.array([1, 2], dtype=np.int8),
        "none": np.empty((2, 0)),
        "turned": np.arange(6.0).reshape(2, 3).T,
    }
    with (tmp_path / "stream").open("wb") as stream:
        send(stream, {"number": 3}, arrays)
        send(stream, {}, {})
    with (tmp_path / "stream").open("rb") as stream:
        facts, found = receive(stream)
        assert facts == {"number": 3}
        assert list(found) == list(arrays)
        for name, values in arrays.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)
        assert receive(stream) == ({}, {})
        with pytest.raises(EOFError):
            receive(stream)


def test_a_process_waits_where_nobody_reads():
    made = []

    def messages():
        while True:
            made.append(len(made))
            yield {"number": made[-1]}, {"images": np.zeros(100_000)}

    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "wb") as writer:
        thread = threading.Thread(target=produce, args=(messages(), writer, 2))
        thread.start()
        time.sleep(0.5)
        # one being written, two that wait, one that waits for room
        assert len(made) == 4
        assert receive(reader)[0] == {"number": 0}
        time.sleep(0.2)
        assert len(made) == 5
        reader.close()
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_memory_does_not_grow_with_what_was_read(quick):
    with source(workers=1, batch_size=64) as live:
        for _ in range(20):
            next(live)
        [process] = processes_of(live)
        before = process.memory_info().rss
        for _ in range(100):
            next(live)
        assert process.memory_info().rss < before + 20e6


def test_closing_ends_the_processes_and_the_batches(quick):
    with source(workers=2) as live:
        assert [next(live).images[0, 0, 0] for _ in range(5)] == [0, 1, 2, 3, 4]
        processes = processes_of(live)
    assert_ended(processes)
    assert list(live) == []
    live.close()


def test_a_source_that_nobody_refers_to_ends(quick):
    live = source(workers=2)
    processes = processes_of(live)
    del live
    gc.collect()
    assert_ended(processes)


def test_a_killed_process_is_named(quick):
    with source(workers=2) as live:
        next(live)
        victim, other = processes_of(live)
        victim.kill()
        message = f"Process {victim.pid} of the live source was ended by signal 9; the system may"
        with pytest.raises(LiveError, match=message):
            for _ in range(50):
                next(live)
        assert_ended([other])


def test_an_error_in_a_process_is_its_sentence():
    heavy = [
        f"substructure.cdm.{option}" for option in ("count=9", "mass_min=1e11", "mass_max=1e15")
    ]
    heavy.append("substructure.cdm.slope=-1")
    live = live_source("B", ["cdm"], overrides=[*SMALL, *heavy], workers=1, batch_size=2)
    with pytest.raises(LiveError, match="outweighs its lens"):
        next(live)
    assert list(live) == []


def test_an_unknown_failure_names_its_error():
    [(facts, arrays)] = batches({"settings": {}})
    assert facts["is_known"] is False
    assert "validation error" in facts["error"].lower()
    assert arrays == {}


PROGRAM = """
from lenssim.live import live_source
live = live_source("B", ["no_sub"], overrides={overrides}, batch_size=4, workers=1)
print(live._processes[0].pid, flush=True)
for batch in live:
    if batch.number == 1:
        print("running", flush=True)
"""
"""Without a guard of __main__, which other ways to start processes need."""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_the_processes_end_with_the_program(number):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(overrides=SMALL)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process = psutil.Process(int(program.stdout.readline()))
    assert program.stdout.readline() == "running\n"
    program.send_signal(number)
    program.communicate(timeout=20)
    assert_ended([process])
