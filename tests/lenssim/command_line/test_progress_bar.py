"""Progress on terminals of any kind, and in the log of a batch job."""

import os
import pty
import subprocess
import sys

import pytest

from lenssim.command_line import progress_bar as module
from lenssim.command_line.progress_bar import progress_bar

SHOW = """
from lenssim.command_line.progress_bar import progress_bar
with progress_bar("simulating", 105_000) as display:
    display.advance(48_000)
    display.phase("drawing the picture")
"""


def on_a_terminal(**environment):
    """What a terminal is sent by `SHOW`."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW], stderr=terminal, env={**os.environ, **environment}
    )
    os.close(terminal)
    sent = b""
    while True:
        try:
            content = os.read(controller, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
        if not content:
            break
        sent += content
    os.close(controller)
    assert process.wait(timeout=60) == 0
    return sent.decode()


@pytest.mark.parametrize("columns", [1, 20, 69, 80, 200])
def test_a_bar_fits_a_terminal_of_any_width(columns):
    sent = on_a_terminal(TERM="xterm", NO_COLOR="1", COLUMNS=str(columns))
    assert "Traceback" not in sent
    if columns >= 69:
        assert "drawing the picture" in sent
        assert "48000/105000" in sent
    assert ("━" in sent) == (columns >= 80)
    # one row for each time that it is drawn, none of them broken
    assert sent.count("\n") <= 2


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_redraw_gets_lines(term):
    assert on_a_terminal(TERM=term).splitlines() == ["drawing the picture"]


def test_a_batch_job_gets_lines_of_phases_and_now_and_then_of_progress(capsys, monkeypatch):
    with progress_bar("simulating", 900) as display:
        display.phase("simulating")
        display.advance(100)
        monkeypatch.setattr(module, "LINE_INTERVAL", 0)
        display.advance(200)
        display.phase("drawing the picture")
        display.phase("drawing the picture")
    assert capsys.readouterr().err.splitlines() == [
        "simulating: 300 of 900 images",
        "drawing the picture",
    ]


def test_bytes_are_shown_in_their_unit(capsys, monkeypatch):
    monkeypatch.setattr(module, "LINE_INTERVAL", 0)
    with progress_bar("checking files", 7_000_000, "MB", 1e-6) as display:
        display.advance(2_000_000)
    assert capsys.readouterr().err == "checking files: 2 of 7 MB\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")  # noqa: PTH110
def test_a_log_that_cannot_be_written_does_not_end_the_work():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-c", SHOW], stderr=full, check=False)
    assert done.returncode == 0
