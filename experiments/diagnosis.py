"""Why a supervised network learns as slowly as it does: one change at a time, a few epochs each.

    python experiments/diagnosis.py --data archives/B --scaling whitened --softening 20
    python experiments/diagnosis.py --report    # experiments/results/diagnosis.md

A bare loop, so that nothing but the named setting is in it: images of each class, each turned and
mirrored at random in every epoch, AdamW or SGD with warm-up and a cosine, macro AUC of 700 test
images a class after every epoch.

Columns of experiments/results/diagnosis.parquet, one row a training:
    name        number of the training
    encoder, optimizer, batch_size, lr, filter, softening    its settings
    epochs      that it ran
    train_loss, macro_auc, accuracy    of its last epoch
    record      JSON: "settings", all of them, and "epochs", the measurements of each
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from lensmodels.data import DataSettings, LensDataModule
from lensmodels.data.scaling import COMPONENTS, InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.reporting.measurements import add_record, read_records
from lensmodels.reporting.tables import markdown_table
from lensmodels.views import apply_dihedral
from lenssim.configuration.yaml_reading import parse_yaml

TABLE = Path(__file__).with_name("results") / "diagnosis.parquet"
SETTINGS = ("encoder", "optimizer", "batch_size", "lr", "filter", "softening")
SCORES = ("train_loss", "macro_auc", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="archive to train on")
    parser.add_argument("--report", action="store_true", help="write the page of all trainings")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--arguments", default="{}", help="of the encoder, YAML")
    parser.add_argument("--train-size", type=int, default=4000, help="images of each class")
    parser.add_argument("--scaling", choices=["whitened", "asinh"], default="asinh")
    parser.add_argument("--components", type=int, default=COMPONENTS, help="of the whitening")
    parser.add_argument("--softening", type=float, help="what suits the scaling, if not given")
    parser.add_argument(
        "--filter", choices=["none", "whiten", "half-whiten", "wiener"], default="none"
    )
    parser.add_argument("--optimizer", choices=["adamw", "sgd"], default="adamw")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--float32", action="store_true", help="in place of bfloat16")
    parser.add_argument("--no-turns", action="store_true")
    settings = parser.parse_args()
    if settings.report:
        TABLE.with_suffix(".md").write_text(page(read_records(TABLE)))
        return
    if not settings.data:
        parser.error("--data is required to train")
    values = {key: value for key, value in vars(settings).items() if key not in ("data", "report")}
    record = {"settings": values, "epochs": trained(settings)}
    add_record(TABLE, f"{len(read_records(TABLE)) + 1:03d}", columns(record), record)


def columns(record: dict[str, Any]) -> dict[str, Any]:
    """The columns of the table that are not in its record alone."""
    settings, epochs = record["settings"], record["epochs"]
    return {
        **{name: settings.get(name) for name in SETTINGS},
        "epochs": len(epochs),
        **{name: epochs[-1][name] for name in SCORES},
    }


def page(records: dict[str, dict[str, Any]]) -> str:
    """The page of all trainings, Markdown: settings, and measurements of the last epoch."""
    common = {*SETTINGS, "epochs", "schedule_epochs"}
    rows = []
    for name, record in records.items():
        others = {key: value for key, value in record["settings"].items() if key not in common}
        listed = ", ".join(f"{key} {value}" for key, value in others.items() if value is not None)
        values = columns(record).values()
        rows.append([name, *("" if value is None else value for value in values), listed])
    headings = ["training", *SETTINGS, "epochs", *SCORES, "other settings"]
    about = (
        "One change of a supervised training at a time: `python experiments/diagnosis.py --help`."
    )
    return f"# diagnosis\n\n{about}\n\n{markdown_table(headings, rows)}\n"


def trained(settings: argparse.Namespace) -> list[dict[str, float]]:
    """Measurements of every epoch of a training."""
    torch.manual_seed(0)
    (images, labels), (test_images, test_labels) = prepared(settings)
    arguments = parse_yaml(settings.arguments, "--arguments")
    encoder = Encoder(EncoderSettings(name=settings.encoder, arguments=arguments), images.shape[-1])
    model = torch.nn.Sequential(encoder, torch.nn.Linear(encoder.num_features, 3))
    steps = settings.epochs * (len(images) // settings.batch_size)
    optimiser, schedule = optimiser_of(model, settings, steps)
    epochs = []
    for epoch in range(settings.epochs):
        model.train()
        total = 0.0
        for chosen in torch.randperm(len(images)).split(settings.batch_size):
            if len(chosen) < settings.batch_size:
                continue
            batch = images[chosen]
            if not settings.no_turns:
                batch = apply_dihedral(batch, torch.randint(0, 8, (len(batch),)))
            with torch.autocast("cpu", torch.bfloat16, enabled=not settings.float32):
                logits = model(batch.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(logits.float(), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        model.eval()
        with torch.inference_mode():
            probabilities = torch.cat([model(part).softmax(1) for part in test_images.split(500)])
        figures = {
            "train_loss": total / len(images),
            "macro_auc": float(roc_auc_score(test_labels, probabilities, multi_class="ovr")),
            "accuracy": float((probabilities.argmax(1) == test_labels).float().mean()),
        }
        epochs.append(figures)
        print(epoch + 1, figures, flush=True)
    return epochs


def prepared(settings: argparse.Namespace) -> list[tuple[Tensor, Tensor]]:
    """Scaled and filtered images, and their labels, of the train and of the test split."""
    data = LensDataModule(
        DataSettings(
            url=settings.data,
            train_size=settings.train_size,
            test_size=700,
            validation_fraction=0.0,
        )
    )
    data.setup()
    images, labels = whole(data, "train")
    shuffled = images[torch.randperm(len(images))]
    scaling = InputScaling.measure(
        [{"image": shuffled}],
        settings.scaling,
        softening=settings.softening,
        components=settings.components,
    )
    filtered = power_filter(scaling(images), settings.filter)
    test_images, test_labels = whole(data, "test")
    return [
        (filtered(scaling(images)), labels),
        (filtered(scaling(test_images)), test_labels),
    ]


def whole(data: LensDataModule, part: Any) -> tuple[Tensor, Tensor]:
    """Images, e-/s, (n, 1, height, width), and labels, (n,), of a part."""
    batches = list(data.stream(part, shuffle=False))
    return (
        torch.cat([batch["image"].clone() for batch in batches]),
        torch.cat([batch["label"].clone() for batch in batches]),
    )


def power_filter(images: Tensor, kind: str) -> Any:
    """A filter by spatial frequency alone, from the power spectrum of the scaled images.

    Kinds:
        whiten: every frequency gets the same power, noise included.
        half-whiten: half of that, in the exponent.
        wiener: what is noise, as the highest frequencies show it, is suppressed.
    """
    if kind == "none":
        return lambda given: given
    size = images.shape[-1]
    frequency = torch.fft.fftfreq(size)
    radius = ((frequency[:, None] ** 2 + frequency**2).sqrt() * size).round().long().flatten()
    power = torch.fft.fft2(images[::5, 0]).abs().square().mean(0).flatten()
    radial = torch.bincount(radius, power) / torch.bincount(radius)
    noise = radial[size // 2 - 3 : size // 2].mean()
    gain = {
        "whiten": radial**-0.5,
        "half-whiten": radial**-0.25,
        "wiener": (radial - noise).clamp_min(0) / radial,
    }[kind][radius].reshape(size, size)

    def apply(given: Tensor) -> Tensor:
        parts = [torch.fft.ifft2(torch.fft.fft2(part) * gain).real for part in given.split(2000)]
        return torch.cat(parts) / spread

    spread = torch.tensor(1.0)
    spread = apply(images).std()
    return apply


def optimiser_of(model: torch.nn.Module, settings: Any, steps: int) -> tuple[Any, Any]:
    """Optimiser, and a schedule that warms up in a tenth of the steps and falls as a cosine."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser: torch.optim.Optimizer
    if settings.optimizer == "sgd":
        optimiser = torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True)
    else:
        optimiser = torch.optim.AdamW(groups, lr=settings.lr)
    warm = max(1, steps // 10)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)


if __name__ == "__main__":
    main()
