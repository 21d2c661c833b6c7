"""Running tasks: what is left when one of them fails."""

import threading
import time

import pytest

from lenssim.build.execution import executor


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
