"""The progress bar of a training on a terminal of 100 columns."""

import fcntl
import os
import select
import struct
import sys
import termios
from types import SimpleNamespace

import pytest
import torch

from lensmodels.training.callbacks import EpochMeans, ProgressBar, Throughput


@pytest.fixture
def terminal():
    """A file that is a terminal of 100 columns, and a function that reads what is shown."""
    reader, writer = os.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    with os.fdopen(writer, "w") as file:

        def read():
            file.flush()
            content = b""
            while select.select([reader], [], [], 0.5)[0]:
                content += os.read(reader, 10_000)
            return content.decode()

        yield file, read
    os.close(reader)


def test_bar_has_room_at_100_columns_and_is_on_stderr(terminal, capsys, monkeypatch):
    file, read = terminal
    monkeypatch.setattr(sys, "stderr", file)
    means, throughput = EpochMeans(), Throughput()
    means.sums, means.steps = {"train_loss": torch.tensor(61.7)}, 50
    throughput.images, throughput.seconds = 12_345, 0.5
    trainer = SimpleNamespace(
        num_training_batches=1_000,
        current_epoch=99,
        max_epochs=300,
        is_global_zero=True,
        is_last_batch=False,
    )
    bar = ProgressBar(means, throughput)
    bar.on_train_batch_end(trainer, None, None, None, 499)
    line = read().split("\r")[-1]
    assert line.startswith("epoch 100/300  50%|")
    assert "500/1000" in line
    assert "24,690 images/s, loss 1.23" in line
    assert len(line.split("|")[1]) >= 20
    assert len(line) <= 100
    bar.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().out == ""
