"""Speed of the fast engine, of the whole command, and its memory.

Everything is a ratio against something else in the same run, interleaved with it.

1. Images a second on one core: the fast engine at the shipped tolerance, against lenstronomy's
   `image()` with 8x8 sub-samples, whose error is several times larger (accuracy.md). The vortex is
   given to lenstronomy in closed form, and as 100 point masses, the way it was published.
2. At equal sub-samples, without adaptivity: the fast engine's kernel, lenstronomy, and caustics
   (torch, float32, vmap over images), where caustics is installed.
3. `generate` with two workers, against rendering the same noise-free images on two threads: each
   class, and a whole archive of all three at its usual size, with the documents that end it.
4. Peak memory of `generate` for two sizes of archive.
5. Images a second on one core with the PSF within pixels, against lenstronomy with the sub-samples
   that bring it as close to the truth as the fast engine is (equal_error.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from equal_error import fast_image, lenstronomy_with_psf, subsamples_of_equal_error

import lenssim
from lensmodels.reporting.measurements import results_folder, write
from lensmodels.reporting.tables import markdown_table
from lenssim.build.description import describe
from lenssim.build.plan import planned
from lenssim.build.run import carry_out
from lenssim.build.shard import SIMULATED_TOGETHER
from lenssim.population import LensSystem, random_stream
from lenssim.rendering.reference import lenstronomy_image
from lenssim.rendering.source import sersic_b
from lenssim.simulation import draw_system, render, smooth_system
from lenssim.spec import Sampling, Specification

MODELS = ("A", "B")
ROUNDS = 5
COMMAND_ROUNDS = 3
USUAL = 35_000
"""Images of each class in an archive: 30,000 to train and 5,000 to test."""
WHOLE = "all three, with card, picture and tables"
PARTS = ("engines", "equal_error", "classes", "archive")
EQUAL_ERROR_SYSTEMS = 10
"""Systems of a class whose errors decide the sub-samples of lenstronomy."""
SUBSAMPLES = 8

MEMORY = """
import sys, lenssim
lenssim.generate("B", train=int(sys.argv[2]), test=0, out=sys.argv[1], workers=2)
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) / 1024)
"""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def draw(spec: Specification, name: str, count: int) -> list[LensSystem]:
    return [
        draw_system(spec, name, random_stream(0, spec.name, "train", name, i, "population"))
        for i in range(count)
    ]


def engines(spec: Specification, name: str, images: int) -> dict[str, float]:
    """Milliseconds an image of each engine, medians over interleaved rounds, one core."""
    systems = draw(spec, name, images)
    few = systems[: max(images // 50, 2)]
    peers: dict[str, tuple[list[LensSystem], Callable[[list[LensSystem]], object]]] = {
        "fast": (systems, lambda batch: render(batch, spec)),
        "lenstronomy": (
            few,
            lambda batch: [lenstronomy_image(system, spec, SUBSAMPLES) for system in batch],
        ),
    }
    if name == "axion":
        peers["lenstronomy, 100 point masses"] = (
            few,
            lambda batch: [
                lenstronomy_image(system, spec, SUBSAMPLES, vortex_point_masses=100)
                for system in batch
            ],
        )
    regular = spec.model_copy(update={"sampling": Sampling(subsamples=SUBSAMPLES)})
    peers["fast kernel, 8x8"] = (few, lambda batch: render(batch, regular))
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for peer, (batch, work) in peers.items():
            taken = seconds(lambda batch=batch, work=work: work(batch))
            times.setdefault(peer, []).append(1e3 * taken / len(batch))
    return {peer: float(np.median(values)) for peer, values in times.items()}


def equal_error(spec: Specification, name: str, count: int) -> dict[str, float]:
    """Milliseconds an image at the same error, PSF included, one core."""
    systems = draw(spec, name, count)
    subsamples, theirs, ours = subsamples_of_equal_error(systems, spec)
    few = systems[:3]
    times: list[tuple[float, float]] = []
    for _ in range(COMMAND_ROUNDS):
        fast = seconds(lambda: [fast_image(system, spec) for system in systems]) / len(systems)
        peer = seconds(lambda: [lenstronomy_with_psf(system, spec, subsamples) for system in few])
        times.append((1e3 * fast, 1e3 * peer / len(few)))
    fast_ms, peer_ms = np.median(times, axis=0)
    return {
        "subsamples": subsamples,
        "error of lenstronomy": theirs,
        "error": ours,
        "lenstronomy": float(peer_ms),
        "fast": float(fast_ms),
    }


def equal_subsamples(spec: Specification, name: str) -> dict[str, float]:
    """Milliseconds an image of caustics and of the fast engine's kernel, interleaved, one core.

    Apart from the rest, and after it: importing torch changes how the process gets its memory, and
    with that the speed of lenstronomy.
    """
    systems = draw(spec, name, 2)
    caustics = caustics_peer(spec, name, systems)
    if caustics is None:
        return {}
    regular = spec.model_copy(update={"sampling": Sampling(subsamples=SUBSAMPLES)})
    times = [(seconds(caustics), seconds(lambda: render(systems, regular))) for _ in range(ROUNDS)]
    theirs, ours = 1e3 * np.median(times, axis=0) / len(systems)
    return {"caustics, 8x8": float(theirs), "fast kernel beside caustics, 8x8": float(ours)}


def caustics_peer(
    spec: Specification, name: str, systems: list[LensSystem]
) -> Callable[[], object] | None:
    """Renders systems with caustics' functions, vmapped; None where it is not installed."""
    try:
        import torch
        from caustics.light.func import brightness_sersic
    except ImportError:
        return None
    if name == "axion":
        return None  # caustics has no line mass
    torch.set_num_threads(1)
    num_pix, scale = spec.instrument.num_pix, spec.instrument.pixel_scale
    side = num_pix * SUBSAMPLES
    centres = (torch.arange(side) - 0.5 * (side - 1)) * scale / SUBSAMPLES
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    most = max((len(system.subhalo_x) for system in systems), default=0)

    def padded(attribute: str) -> torch.Tensor:
        rows = np.zeros((len(systems), most), dtype=np.float32)
        for row, system in zip(rows, systems, strict=True):
            values = getattr(system, attribute)
            row[: len(values)] = values
        return torch.from_numpy(rows)

    theta_e = torch.tensor([system.lens_theta_e for system in systems])
    sources = torch.tensor([[system.source_x, system.source_y] for system in systems])
    masses = padded("subhalo_x"), padded("subhalo_y"), padded("subhalo_theta_e")
    modulus = float(np.hypot(systems[0].source_e1, systems[0].source_e2))
    axis_ratio = torch.tensor((1 - modulus) / (1 + modulus))
    angle = torch.tensor(0.5 * np.arctan2(systems[0].source_e2, systems[0].source_e1))
    from caustics.lenses.func import (
        reduced_deflection_angle_point,
        reduced_deflection_angle_sis,
    )

    zero = torch.tensor(0.0)

    def image(radius, source, mass_x, mass_y, mass_radius):
        alpha_x, alpha_y = reduced_deflection_angle_sis(zero, zero, radius, x, y)
        if most:
            item = torch.vmap(reduced_deflection_angle_point, in_dims=(0, 0, 0, None, None))
            point_x, point_y = item(mass_x, mass_y, mass_radius, x, y)
            alpha_x, alpha_y = alpha_x + point_x.sum(0), alpha_y + point_y.sum(0)
        brightness = brightness_sersic(
            source[0], source[1], axis_ratio, angle, torch.tensor(1.0), torch.tensor(0.25),
            torch.tensor(1.0), x - alpha_x, y - alpha_y, torch.tensor(float(sersic_b(1.0))),
        )  # fmt: skip
        return brightness.reshape(num_pix, SUBSAMPLES, num_pix, SUBSAMPLES).mean((1, 3))

    def work() -> None:
        # one image at a time where there are subhalos: all together do not fit in memory
        step = 1 if most else len(systems)
        with torch.no_grad():
            for first in range(0, len(systems), step):
                part = slice(first, first + step)
                torch.vmap(image)(theta_e[part], sources[part], *(item[part] for item in masses))

    work()
    return work


def whole_command(
    spec: Specification, classes: Sequence[str], images: int, rounds: int
) -> dict[str, Any]:
    """Seconds of `generate`, of rendering its images, and of rendering also their smooth twins."""
    systems = [system for name in classes for system in draw(spec, name, images)]
    twins = [smooth_system(item) for item in systems if item.substructure_class != "no_sub"]

    def rendered(batch: list[LensSystem]) -> None:
        parts = [
            batch[start : start + SIMULATED_TOGETHER]
            for start in range(0, len(batch), SIMULATED_TOGETHER)
        ]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: render(part, spec), parts))

    def generated() -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            with planned(spec, classes, train=images, test=0, out=folder) as work:
                carry_out(work, workers=2)
                simulated = time.perf_counter() - start
                if len(classes) > 1:
                    describe(folder)
                    return time.perf_counter() - start
        return simulated

    generated()
    times = [
        (
            generated(),
            seconds(lambda: rendered(systems)),
            seconds(lambda: rendered(systems + twins)),
        )
        for _ in range(rounds)
    ]
    command, images_alone, with_twins = np.median(times, axis=0)
    return {
        "images": images,
        "generate": float(command),
        "rendering": float(images_alone),
        "rendering with smooth twins": float(with_twins),
    }


def peak_memory(images: int) -> float:
    """Megabytes of a process that generates three classes of so many images."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, folder, str(images)],
            capture_output=True,
            text=True,
            check=True,
        )
    return float(run.stdout)


def engines_and_memory(images: int) -> dict[str, Any]:
    """What is measured on one core, and in processes of their own."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    speed = [
        {"model": model, "class": name, **engines(lenssim.load_spec(model), name, images)}
        for model in MODELS
        for name in lenssim.CLASSES
    ]
    os.sched_setaffinity(0, cores)
    memory = {str(count): peak_memory(count) for count in (2048, 8192)}
    os.sched_setaffinity(0, {min(cores)})
    for row in speed:
        row.update(equal_subsamples(lenssim.load_spec(row["model"]), row["class"]))
    os.sched_setaffinity(0, cores)
    return {"engines_ms": speed, "peak_memory_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200, help="for each class, on one core")
    parser.add_argument("--archive", type=int, default=8192, help="for each class, whole command")
    parser.add_argument("--usual", type=int, default=USUAL, help="for each class, all three")
    parser.add_argument(
        "--error-systems",
        type=int,
        default=EQUAL_ERROR_SYSTEMS,
        help="for each class, whose errors decide the sub-samples of lenstronomy",
    )
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part, and keep the others"
    )
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    stored = results_folder() / "generation.json"
    figures = json.loads(stored.read_text())["figures"] if arguments.only else {}
    spec = lenssim.load_spec("B")
    if "engines" in parts:
        figures.update(engines_and_memory(arguments.images))
    if "equal_error" in parts:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        figures["equal_error"] = [
            {
                "model": model,
                "class": name,
                **equal_error(lenssim.load_spec(model), name, arguments.error_systems),
            }
            for model in MODELS
            for name in lenssim.CLASSES
        ]
        os.sched_setaffinity(0, cores)
    if "classes" in parts:
        figures["classes_s"] = [
            {"class": name, **whole_command(spec, [name], arguments.archive, COMMAND_ROUNDS)}
            for name in lenssim.CLASSES
        ]
    if "archive" in parts:
        figures["archive_s"] = [
            {"class": WHOLE, **whole_command(spec, lenssim.CLASSES, arguments.usual, 2)}
        ]
    command = figures["classes_s"] + figures["archive_s"]
    speed, memory = figures["engines_ms"], figures["peak_memory_mb"]

    def ratio(row: dict, peer: str, base: str = "fast") -> str:
        return f"{row[peer] / row[base]:.0f}" if peer in row else ""

    text = "\n\n".join(
        [
            "## Engine, one core\n\nHow many times faster than lenstronomy with 8x8 sub-samples.",
            markdown_table(
                ["model", "class", "against lenstronomy", "against it with 100 point masses"],
                [
                    [
                        row["model"],
                        row["class"],
                        ratio(row, "lenstronomy"),
                        ratio(row, "lenstronomy, 100 point masses"),
                    ]
                    for row in speed
                ],
            ),
            "## Equal error, PSF included, one core\n\nSub-samples with which lenstronomy is as "
            "close to the truth as the fast engine, and how many times faster the latter is then.",
            markdown_table(
                ["model", "class", "sub-samples", "error", "error of lenstronomy", "faster"],
                [
                    [
                        row["model"],
                        row["class"],
                        str(row["subsamples"]),
                        f"{row['error']:.2f}",
                        f"{row['error of lenstronomy']:.2f}",
                        ratio(row, "lenstronomy"),
                    ]
                    for row in figures.get("equal_error", [])
                ],
            ),
            "## Equal sub-samples (8x8), one core\n\nHow many times slower than the fast engine's "
            "kernel without adaptivity.",
            markdown_table(
                ["model", "class", "lenstronomy", "caustics"],
                [
                    [
                        row["model"],
                        row["class"],
                        ratio(row, "lenstronomy", "fast kernel, 8x8"),
                        ratio(row, "caustics, 8x8", "fast kernel beside caustics, 8x8"),
                    ]
                    for row in speed
                ],
            ),
            "## Whole command, two cores\n\nImages a second of `generate` (draw, render, noise, "
            "S/N, write) as a share of those of rendering alone.",
            markdown_table(
                [
                    "class",
                    "images of each",
                    "of rendering the images",
                    "of rendering them and their smooth twins",
                ],
                [
                    [
                        row["class"],
                        row["images"],
                        f"{row['rendering'] / row['generate']:.0%}",
                        f"{row['rendering with smooth twins'] / row['generate']:.0%}",
                    ]
                    for row in command
                ],
            ),
            "## Peak memory of `generate`, two workers\n",
            markdown_table(
                ["images of each class", "MB"], [[n, f"{mb:.0f}"] for n, mb in memory.items()]
            ),
        ]
    )
    write(
        "generation",
        "Speed is given as ratios within one run, medians over interleaved rounds.",
        figures,
        text,
        ["numpy", "numba", "lenstronomy", "zarr"],
    )


if __name__ == "__main__":
    main()
