"""A small archive of model B for whatever learns."""

from pathlib import Path

import pytest
import torch

import lenssim

TRAIN, TEST = 40, 8


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny networks gain nothing from more, and lose much where other work shares the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def lenses(tmp_path_factory) -> Path:
    """Three classes of 40 train and 8 test images, 64 pixels a side."""
    out = tmp_path_factory.mktemp("lenses") / "B"
    lenssim.generate("B", out=out, train=TRAIN, test=TEST)
    return out
