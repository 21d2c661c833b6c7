"""A small archive of model B for whatever learns."""

from pathlib import Path

import pytest
import torch

import lenssim

TRAIN, TEST = 40, 8


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_fixtures():
    """Tiny networks gain nothing from more, and lose much where other work shares the cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread():
    """Again before every test: libraries that share torch's threads change their number."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lenses(tmp_path_factory) -> Path:
    """Three classes of 40 train and 8 test images, 64 pixels a side."""
    out = tmp_path_factory.mktemp("lenses") / "B"
    lenssim.generate("B", out=out, train=TRAIN, test=TEST)
    return out


@pytest.fixture
def bars():
    """Draws images, (n, 1, 32, 32), of a bar from the centre on, at angles, (n,), from x to y."""

    def draw(angle):
        y, x = torch.meshgrid(*2 * [torch.arange(32) - 15.5], indexing="ij")
        sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
        across, along = x * sine - y * cosine, x * cosine + y * sine
        return torch.exp(-0.5 * (across**2 / 4 + (along - 4) ** 2 / 6))[:, None]

    return draw
