"""The live part of streaming.py: images a second of a live source, and how long training waits.

A ResNet18 takes a batch every t_step seconds. The processes make one every t_make, and handing it
over costs the training process t_hand. So a step lasts max(t_make, t_step + t_hand), and what is
not t_step is waiting. For more processes than this machine has cores, t_make is that of one
process, divided by their number and by what two processes lose against twice one.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import timm
import torch

from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lenssim.live import live_source
from lenssim.live.batches import BatchMaker
from lenssim.live.source import LiveSource

PROCESSES = 16
"""That are extrapolated to."""

TARGET = 0.05
"""Share of a training step that is waited at most."""

STEPS = 3
LIVE_BATCH = 256


def plain_seconds(settings: Any, batches: int) -> float:
    """Of a batch that is simulated in this process, without any other."""
    maker = BatchMaker(settings)
    maker.make(0)
    start = time.perf_counter()
    for number in range(1, batches + 1):
        maker.make(number)
    return (time.perf_counter() - start) / batches


def live_seconds(source: LiveSource, workers: int, batches: int) -> tuple[float, float]:
    """Of a batch of a source whose buffers have run empty, and this process's own share of it."""
    for _ in range(4 * workers):
        next(source)
    own = time.process_time()
    start = time.perf_counter()
    for _ in range(batches):
        next(source)
    return (time.perf_counter() - start) / batches, (time.process_time() - own) / batches


def training_seconds(threads: int) -> float:
    """Of a training step of a ResNet18 on two cores; the median of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    network = timm.create_model("resnet18", in_chans=1, num_classes=3)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    images = torch.randn(LIVE_BATCH, 1, 64, 64)
    labels = torch.randint(3, (LIVE_BATCH,))
    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return float(np.median(seconds[1:]))


def waiting_share(make: float, step: float, hand: float) -> float:
    """Share of a training step that is not training."""
    whole = max(make, step + hand)
    return (whole - step) / whole


def measure_live(model: str, batches: int) -> dict[str, Any]:
    """Seconds a batch, and the extrapolation."""
    with live_source(model, batch_size=LIVE_BATCH, workers=0) as source:
        plain = plain_seconds(source.settings, batches)
    live, hand = {}, 0.0
    for workers in (1, 2):
        with live_source(model, batch_size=LIVE_BATCH, workers=workers) as source:
            live[workers], hand = live_seconds(source, workers, batches)
    step = training_seconds(2)
    loss = max(2 * live[2] / live[1], 1.0)
    make = live[1] / PROCESSES * loss
    return {
        "model": model,
        "plain_images_per_second": LIVE_BATCH / plain,
        "live_images_per_second": {str(n): LIVE_BATCH / rate for n, rate in live.items()},
        "overhead": live[1] / plain - 1.0,
        "hand_over_seconds": hand,
        "training_step_seconds": step,
        "processes": PROCESSES,
        "waiting_share": waiting_share(make, step, hand),
        "target": TARGET,
    }


def run(models: list[str], batches: int) -> None:
    """Measures and writes the results."""
    torch.set_num_threads(1)
    figures = [measure_live(model, batches) for model in models]
    rows = [
        [
            row["model"],
            f"{row['plain_images_per_second']:,.0f}",
            *(f"{rate:,.0f}" for rate in row["live_images_per_second"].values()),
            f"{row['overhead']:+.1%}",
            f"{1e3 * row['hand_over_seconds']:.1f} ms",
            f"{LIVE_BATCH / row['training_step_seconds']:,.0f}",
            f"{row['waiting_share']:.2%}",
            f"< {TARGET:.0%}",
        ]
        for row in figures
    ]
    headings = [
        *["model", "plain images/s", "1 process", "2 processes", "overhead of 1"],
        *["hand-over of a batch", "ResNet18 images/s", f"waiting, {PROCESSES} processes"],
        "target",
    ]
    write(
        "live",
        f"Batches of {LIVE_BATCH} images of a live source, all classes, {batches} batches after "
        "the buffers have run empty. Plain is the same batches in one process without a source. "
        "ResNet18 is a training step of 64 x 64 images on two threads. Waiting is the share of it "
        f"that {PROCESSES} processes, on a core each, would let it wait, extrapolated from one and "
        "two processes.",
        {"live": figures},
        markdown_table(headings, rows),
        ["numpy", "torch", "timm", "numba"],
    )
