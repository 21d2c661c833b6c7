"""Training steps a second, against the plain lightly recipe of the same method.

The recipe is the one of lightly's documentation: a PIL data set in memory, the method's own
transforms on DataLoader workers, a bare loop of forward, backward and step. Networks, loss,
optimiser, batch and number and size of the views are the same on both sides, so that what differs
is how images become views. Ours is what `lensmodels pretrain` runs: the archive's stream, views on
the device, Lightning's loop with logs.

The two alternate; figures are medians. The wait for data is the share of a step's time that is
saved where one batch is given again and again.

    python benchmarks/training.py --encoder resnet18 --batch-size 128
    python benchmarks/training.py --device gpu --encoder resnet50 --batch-size 1024 --steps 60
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import lightning
import numpy as np
import torch
from lightly.transforms import (
    DINOTransform,
    MAETransform,
    SimCLRTransform,
    SimSiamTransform,
    VICRegTransform,
)
from lightly.transforms.byol_transform import (
    BYOLTransform,
    BYOLView1Transform,
    BYOLView2Transform,
)
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import lenssim
from lensmodels.data import DataSettings, LensDataModule
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.methods import PRETRAINING, Pretraining
from lensmodels.methods.settings import PRETRAINING_DEFAULTS
from lensmodels.reporting.measurements import write
from lensmodels.reporting.tables import markdown_table
from lensmodels.views import default_recipe

PACKAGES = ["torch", "lightning", "lightly", "timm", "kornia", "torchvision"]
WARM_UP = 3
SIZE, WINDOW = 64, 32
METHODS = [name for name in PRETRAINING if name not in ("macro", "smooth-twin")]
"""Those that lightly has a recipe for: of images alone."""

VIT = EncoderSettings(
    name="vit_tiny_patch16_224", patch_size=8, arguments={"depth": 4, "embed_dim": 120}
)
"""For `mae`, which needs a vision transformer."""


class Pictures(Dataset[Any]):
    """Images as PIL pictures, which lightly's transforms take; each gives a list of views."""

    def __init__(self, data: LensDataModule, transform: Callable[[Any], Any]) -> None:
        images = np.concatenate([batch["image"].numpy()[:, 0] for batch in data.test_dataloader()])
        low, high = images.min((1, 2), keepdims=True), images.max((1, 2), keepdims=True)
        self.pictures = (255 * (images - low) / (high - low)).astype(np.uint8)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.fromarray(self.pictures[index]))


def recipe_transform(method: str) -> Callable[[Any], Any]:
    """The transform that lightly has for a method, for one channel and as many views."""
    if method in ("dino", "esvit"):
        local = sum(view.count for view in default_recipe(method)) - 2
        return DINOTransform(
            global_crop_size=SIZE, local_crop_size=WINDOW, n_local_views=local, normalize=None
        )
    if method == "byol":
        return BYOLTransform(
            BYOLView1Transform(input_size=SIZE, normalize=None),
            BYOLView2Transform(input_size=SIZE, normalize=None),
        )
    if method == "simsiam":
        return SimSiamTransform(input_size=SIZE, normalize=None)
    if method == "vicreg":
        return VICRegTransform(input_size=SIZE, normalize=None)
    if method == "mae":
        # what is painted is the view itself
        once = MAETransform(input_size=SIZE, normalize=None)
        return lambda picture: once(picture) * 2
    return SimCLRTransform(input_size=SIZE, normalize=None)


class Clock(lightning.Callback):
    """Seconds of every step after the first few."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, []  # type: ignore[var-annotated]

    def on_train_batch_end(self, *_: Any) -> None:
        """Notes the time."""
        synchronise(self.device)
        self.times.append(time.perf_counter())

    def seconds(self) -> float:
        """Mean seconds of a step, warm-up left out."""
        counted = self.times[WARM_UP:]
        return (counted[-1] - counted[0]) / (len(counted) - 1)


def synchronise(device: torch.device) -> None:
    """Waits for a GPU, so that its work is timed and not only its launch."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class Comparison:
    """The parts that both sides share, and a timed training of each."""

    def __init__(
        self,
        url: str,
        method: str,
        encoder: EncoderSettings,
        batch_size: int,
        device: str,
        precision: str,
        steps: int,
    ) -> None:
        self.method, self.encoder, self.batch_size = method, encoder, batch_size
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        self.precision, self.steps = precision, steps
        self.data = LensDataModule(DataSettings(url=url, batch_size=batch_size), "train")
        self.data.setup()
        workers = os.cpu_count() or 1
        self.loader = DataLoader(
            Pictures(self.data, recipe_transform(method)),
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=True,
            pin_memory=self.device.type == "cuda",
        )

    def module(self) -> Pretraining:
        """The method with fresh weights."""
        torch.manual_seed(0)
        kind = PRETRAINING[self.method]
        return kind(
            Encoder(self.encoder, SIZE),
            default_recipe(self.method),
            self.data.scaling,
            PRETRAINING_DEFAULTS[self.method],
            batch_size=self.batch_size,
            total_steps=self.steps,
            seed=0,
        )

    def ours(self, batches: Iterable[Any] | None = None) -> float:
        """Seconds of a step of what `lensmodels pretrain` runs."""
        clock = Clock(self.device)
        with tempfile.TemporaryDirectory() as folder:
            trainer = lightning.Trainer(
                accelerator="gpu" if self.device.type == "cuda" else "cpu",
                devices=1,
                precision=self.precision,  # type: ignore[arg-type]
                max_steps=self.steps,
                max_epochs=-1,
                limit_val_batches=0,
                callbacks=[clock],
                logger=lightning.pytorch.loggers.CSVLogger(folder),
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            if batches is None:
                trainer.fit(self.module(), self.data)
            else:
                trainer.fit(self.module(), batches)
        return clock.seconds()

    def ours_without_data(self) -> float:
        """Seconds of a step where one batch, on the device already, is given again and again."""
        batch = next(iter(self.data.train_dataloader()))
        batch = {key: value.clone().to(self.device) for key, value in batch.items()}
        return self.ours(DataLoader([batch] * self.steps, batch_size=None))  # type: ignore[arg-type]

    def recipe(self) -> float:
        """Seconds of a step of the plain recipe."""
        module = self.module().to(self.device).train()
        module._trainer = _Steps()  # type: ignore[assignment]
        optimiser = module.configure_optimizers()["optimizer"]
        cast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.precision == "bf16-mixed"
            else nullcontext()
        )
        clock = Clock(self.device)
        for step, views in enumerate(itertools.islice(_forever(self.loader), self.steps)):
            module._trainer.global_step = step  # type: ignore[union-attr, misc]
            with cast:
                loss = module.loss([view.to(self.device, non_blocking=True) for view in views])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            module.on_train_batch_start({}, step)  # the moving average, if there is one
            clock.on_train_batch_end()
        return clock.seconds()


class _Steps:
    """As much of a trainer as a method asks for outside of Lightning."""

    global_step, global_rank, world_size = 0, 0, 1


def _forever(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


@click.command()
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(METHODS),
    default=METHODS,
    help="[default: all that lightly has a recipe for]",
)
@click.option("--encoder", default="resnet18", show_default=True)
@click.option("--batch-size", default=128, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--precision", help="[default: 32-true on a CPU, bf16-mixed on a GPU]")
@click.option("--steps", default=15, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@click.option("--quick", is_flag=True, help="A rehearsal; nothing is kept.")
def main(
    methods: tuple[str, ...],
    encoder: str,
    batch_size: int,
    device: str,
    precision: str | None,
    steps: int,
    repeats: int,
    quick: bool,
) -> None:
    """Compares training with the plain lightly recipe."""
    precision = precision or ("bf16-mixed" if device == "gpu" else "32-true")
    if quick:
        encoder, batch_size, steps, repeats = "test_resnet", 32, 6, 1
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "B"
        count = max(1024, 4 * batch_size)
        lenssim.generate("B", out=str(archive), train=count, test=count)
        for method in methods:
            settings = VIT if method == "mae" else EncoderSettings(name=encoder)
            comparison = Comparison(
                str(archive), method, settings, batch_size, device, precision, steps
            )
            times: dict[str, list[float]] = {"ours": [], "recipe": [], "without": []}
            for _ in range(repeats):
                times["recipe"].append(comparison.recipe())
                times["ours"].append(comparison.ours())
                times["without"].append(comparison.ours_without_data())
            ours, recipe, without = (float(np.median(values)) for values in times.values())
            figures.append(
                {
                    "method": method,
                    "encoder": settings.name,
                    "steps_per_second": 1 / ours,
                    "recipe_steps_per_second": 1 / recipe,
                    "ratio": recipe / ours,
                    "share_waiting": max(0.0, 1 - without / ours),
                }
            )
            print(figures[-1], flush=True)
            if not quick:
                _keep(figures, batch_size, device, precision, steps, repeats)


def _keep(
    figures: list[dict[str, Any]],
    batch_size: int,
    device: str,
    precision: str,
    steps: int,
    repeats: int,
) -> None:
    """Writes the figures of the methods that are measured so far."""
    where = torch.cuda.get_device_name() if device == "gpu" else f"{os.cpu_count()} CPU cores"
    headings = [
        "method",
        "encoder",
        "steps/s",
        "steps/s of the recipe",
        "ratio",
        "waiting for data",
    ]
    rows = [
        [
            row["method"],
            row["encoder"],
            row["steps_per_second"],
            row["recipe_steps_per_second"],
            row["ratio"],
            f"{row['share_waiting']:.1%}",  # type: ignore[str-format]
        ]
        for row in figures
    ]
    write(
        f"training_{device}",
        f"Pretraining with batches of {batch_size} images in {precision} on {where}, against "
        f"the plain lightly recipe with {os.cpu_count()} workers: medians of {repeats} "
        f"alternating runs of {steps} steps.",
        figures,
        markdown_table(headings, rows),
        PACKAGES,
    )


if __name__ == "__main__":
    main()
