"""Speed of the fast engine, of the whole command, and its memory.

Everything is a ratio against something else in the same run, interleaved with it. PSFs are
included in all images, unless said otherwise.

1. equal_error: images a second on one core, against lenstronomy with the sub-samples that bring it
   as close to the truth as the fast engine is (equal_error.py).
2. kernel: at equal sub-samples, without adaptivity: lenstronomy, with its vortex in closed form and
   as 100 point masses, the way it was published; and, where it is installed, caustics (torch,
   float32, vmap over images), without a PSF.
3. archive: `generate` with two workers for all three classes, with the documents that end it,
   against rendering the same noise-free images on two threads; and the minutes that a full-size
   archive takes at that rate.
4. memory: its peak in `generate`, for two sizes of archive.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from equal_error import (
    LADDER,
    fast_image,
    lenstronomy_with_psf,
    psf_of,
    subsamples_of_equal_error,
)

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
from lenssim.simulation import draw_system, render
from lenssim.spec import Sampling, Specification

MODELS = ("A", "B", "A-wide", "B-wide")
STUDY_MODELS = ("A", "B")
ROUNDS = 3
FULL = 105_000
"""Images of a full-size archive: 30,000 to train and 5,000 to test, of each class."""
PARTS = ("equal_error", "kernel", "archive", "memory")
SUBSAMPLES = 8

MEMORY = """
import sys, lenssim
model, count, out = sys.argv[1:]
lenssim.generate(model, train=int(count), test=0, out=out, workers=2)
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


def equal_error(model: str, name: str, count: int) -> dict[str, Any]:
    """Milliseconds an image at the same error, one core."""
    spec = lenssim.load_spec(model)
    systems = draw(spec, name, count)
    subsamples, theirs, ours = subsamples_of_equal_error(systems, spec)
    few = systems[:2]
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        fast = seconds(lambda: [fast_image(system, spec) for system in systems]) / len(systems)
        peer = seconds(lambda: [lenstronomy_with_psf(system, spec, subsamples) for system in few])
        times.append((1e3 * fast, 1e3 * peer / len(few)))
    fast_ms, peer_ms = np.median(times, axis=0)
    return {
        "model": model,
        "class": name,
        "subsamples": subsamples,
        "error of lenstronomy": theirs,
        "error": ours,
        "lenstronomy": float(peer_ms),
        "fast": float(fast_ms),
    }


def kernel(model: str, name: str) -> dict[str, Any]:
    """Milliseconds an image of the peers and of the fast engine's kernel, at equal sub-samples."""
    spec = lenssim.load_spec(model)
    systems = draw(spec, name, 2)
    regular = spec.model_copy(update={"sampling": Sampling(subsamples=SUBSAMPLES)})
    psf = psf_of(spec, systems[0])

    def lenstronomy(**options: Any) -> list[np.ndarray]:
        return [
            lenstronomy_image(system, spec, SUBSAMPLES, psf=psf, **options) for system in systems
        ]

    peers: dict[str, Callable[[], object]] = {"fast": lambda: render(systems, regular)}
    peers["lenstronomy"] = lenstronomy
    if name == "axion":
        peers["lenstronomy, 100 point masses"] = lambda: lenstronomy(vortex_point_masses=100)
    found = medians(peers, len(systems))
    # last: importing torch changes how the process gets its memory, and the speed of lenstronomy
    caustics = caustics_peer(spec, name, systems)
    if caustics is not None:
        on_pixels = ["instrument.psf=null", "instrument.psf_sampling=pixel"]
        bare = lenssim.load_spec(model, on_pixels).model_copy(
            update={"sampling": Sampling(subsamples=SUBSAMPLES)}
        )
        alone = {"caustics": caustics, "fast beside caustics": lambda: render(systems, bare)}
        found |= medians(alone, len(systems))
    return {"model": model, "class": name, **found}


def medians(peers: dict[str, Callable[[], object]], images: int) -> dict[str, float]:
    """Milliseconds an image of each peer, medians over interleaved rounds."""
    times: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer, work in peers.items():
            times[peer].append(1e3 * seconds(work) / images)
    return {peer: float(np.median(taken)) for peer, taken in times.items()}


def caustics_peer(
    spec: Specification, name: str, systems: list[LensSystem]
) -> Callable[[], object] | None:
    """Renders systems with caustics' functions, vmapped; None if it is not installed."""
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
            deflect = torch.vmap(reduced_deflection_angle_point, in_dims=(0, 0, 0, None, None))
            point_x, point_y = deflect(mass_x, mass_y, mass_radius, x, y)
            alpha_x, alpha_y = alpha_x + point_x.sum(0), alpha_y + point_y.sum(0)
        brightness = brightness_sersic(
            source[0], source[1], axis_ratio, angle, torch.tensor(1.0), torch.tensor(0.25),
            torch.tensor(1.0), x - alpha_x, y - alpha_y, torch.tensor(float(sersic_b(1.0))),
        )  # fmt: skip
        return brightness.reshape(num_pix, SUBSAMPLES, num_pix, SUBSAMPLES).mean((1, 3))

    def work() -> None:
        # one image at a time if there are subhalos: all together do not fit in memory
        step = 1 if most else len(systems)
        with torch.no_grad():
            for first in range(0, len(systems), step):
                part = slice(first, first + step)
                torch.vmap(image)(
                    theta_e[part], sources[part], *(values[part] for values in masses)
                )

    work()
    return work


def archive(model: str, images: int) -> dict[str, Any]:
    """Seconds of `generate` for so many images of each class, and of rendering them, two cores."""
    spec = lenssim.load_spec(model)
    systems = [system for name in lenssim.CLASSES for system in draw(spec, name, images)]

    def rendered() -> None:
        parts = [
            systems[start : start + SIMULATED_TOGETHER]
            for start in range(0, len(systems), SIMULATED_TOGETHER)
        ]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda part: render(part, spec), parts))

    def generated() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            planned(spec, lenssim.CLASSES, train=images, test=0, out=folder) as work,
        ):
            carry_out(work, workers=2)
            describe(folder)

    times = [(seconds(generated), seconds(rendered)) for _ in range(2)]
    generate, rendering = np.min(times, axis=0)
    return {
        "model": model,
        "images": len(systems),
        "generate": float(generate),
        "rendering": float(rendering),
    }


def peak_memory(model: str, images: int) -> float:
    """Megabytes of a process that generates so many images of each class."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, model, str(images), folder],
            capture_output=True,
            text=True,
            check=True,
        )
    return float(run.stdout)


def tables(figures: dict[str, Any]) -> str:
    """The measured parts as Markdown."""

    def ratio(row: dict[str, Any], peer: str, base: str = "fast") -> str:
        return f"{row[peer] / row[base]:.0f}" if peer in row else ""

    parts = []
    if "equal_error" in figures:
        rows = [
            [
                row["model"],
                row["class"],
                row["subsamples"],
                f"{row['error']:.2f}",
                f"{row['error of lenstronomy']:.2f}",
                ratio(row, "lenstronomy"),
            ]
            for row in figures["equal_error"]
        ]
        headings = ["model", "class", "sub-samples", "error", "error of lenstronomy", "faster"]
        parts += [
            "## Equal error, one core\n\nSub-samples with which lenstronomy is as close to the "
            f"truth as the fast engine, or {LADDER[-1]} where even those are not enough; and how "
            "many times faster the fast engine is then. Errors in sigma, medians.",
            markdown_table(headings, rows),
        ]
    if "kernel" in figures:
        peers = ("lenstronomy", "lenstronomy, 100 point masses")
        rows = [
            [
                row["model"],
                row["class"],
                *(ratio(row, peer) for peer in peers),
                ratio(row, "caustics", "fast beside caustics"),
            ]
            for row in figures["kernel"]
        ]
        headings = ["model", "class", *peers, "caustics, without PSF"]
        parts += [
            f"## Equal sub-samples ({SUBSAMPLES}x{SUBSAMPLES}), one core\n\nHow many times slower "
            "than the fast engine's kernel without adaptivity.",
            markdown_table(headings, rows),
        ]
    if "archive" in figures:
        rows = [
            [
                row["model"],
                row["images"],
                f"{row['rendering'] / row['generate']:.0%}",
                f"{row['generate'] / 60 / row['images'] * FULL:.1f}",
            ]
            for row in figures["archive"]
        ]
        headings = ["model", "images", "of rendering alone", f"minutes for {FULL:,} images"]
        parts += [
            "## Whole command, two cores\n\nImages a second of `generate` (draw, render, noise, "
            "S/N, write, describe) as a share of those of rendering alone; the wide models project "
            "out every parameter of the lens and source from each image's S/N. The fixed cost "
            "of an archive counts in full, so that few images give too many minutes.",
            markdown_table(headings, rows),
        ]
    if "memory" in figures:
        parts += [
            "## Peak memory of `generate`, two workers",
            markdown_table(
                ["model", "images of each class", "MB"],
                [
                    [row["model"], row["images"], f"{row['megabytes']:.0f}"]
                    for row in figures["memory"]
                ],
            ),
        ]
    return "\n\n".join(parts)


def merged(stored: list[dict[str, Any]], measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of models that were measured now, and those of other models from before."""
    models = {row["model"] for row in measured}
    others = [row for row in stored if row["model"] not in models]
    return sorted(others + measured, key=lambda row: MODELS.index(row["model"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--systems", type=int, default=4, help="of each class, whose errors are made equal"
    )
    parser.add_argument(
        "--images", type=int, default=2048, help="of each class, for the whole command"
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure this part, and keep the others"
    )
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    stored = results_folder() / "generation.json"
    figures = json.loads(stored.read_text())["figures"] if stored.exists() else {}
    pairs = [(model, name) for model in arguments.models for name in lenssim.CLASSES]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    if "equal_error" in parts:
        measured = [equal_error(model, name, arguments.systems) for model, name in pairs]
        figures["equal_error"] = merged(figures.get("equal_error", []), measured)
    if "kernel" in parts:
        figures["kernel"] = [kernel(model, name) for model, name in pairs if model in STUDY_MODELS]
    os.sched_setaffinity(0, cores)
    if "archive" in parts:
        measured = [archive(model, arguments.images) for model in arguments.models]
        figures["archive"] = merged(figures.get("archive", []), measured)
    if "memory" in parts:
        figures["memory"] = [
            {"model": model, "images": images, "megabytes": peak_memory(model, images)}
            for model in arguments.models
            for images in (arguments.images // 4, arguments.images)
        ]
    write(
        "generation",
        "Speed is given as ratios within one run, medians over interleaved rounds.",
        {part: figures[part] for part in PARTS if part in figures},
        tables(figures),
        ["numpy", "numba", "lenstronomy", "zarr"],
    )


if __name__ == "__main__":
    main()
