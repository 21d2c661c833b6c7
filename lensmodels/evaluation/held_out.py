"""What is measured on the images of a run's own archive that its model was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lensmodels.data import LensDataModule
from lensmodels.data.archives import read_archive
from lensmodels.errors import DataError
from lensmodels.evaluation.archive_scores import ArchiveScores
from lensmodels.evaluation.calibration import save_calibration
from lensmodels.evaluation.image_scores import (
    Coordinates,
    Gaussian,
    coordinates,
    image_scores,
)
from lensmodels.evaluation.kept_tensors import load_of_model
from lensmodels.evaluation.out_of_distribution import (
    MIN_HELD_OUT,
    HomeScores,
    save_home_scores,
)
from lensmodels.model import LensModel
from lensmodels.runs import RunConfig
from lensmodels.runs.folder import HELD_OUT
from lensmodels.startup import announce


def keep_held_out(run: Path, config: RunConfig, model: LensModel, batch_size: int) -> None:
    """Measures what a run keeps of its validation images, unless it has it for this model.

    Nothing is kept where the training archive has fewer than `MIN_HELD_OUT` validation images, or
    is no longer there.

    Args:
        run: folder of the run.
        config: of the run.
        model: of the run.
        batch_size: images at a time.
    """
    if all(load_of_model(run, name) is not None for name in HELD_OUT):
        return
    read_once = {"batch_size": batch_size, "cache": "none"}
    data = LensDataModule(config.data.model_copy(update=read_once))
    try:
        data.setup()
        if data.sizes.get("validation", 0) < MIN_HELD_OUT:
            return
        announce(f"looking at {data.sizes['validation']:,} validation images")
        measured = measure_held_out(model, data)
    except DataError:
        return
    save_home_scores(run, measured.home)
    save_calibration(run, measured.outputs, measured.truth)


@dataclass(frozen=True)
class HeldOut:
    """What a model makes of its validation images.

    Attributes:
        home: their scores, by which others are compared with them.
        outputs: of the model, (n, output_size).
        truth: their labels, or log10(m / eV) for the axion mass, (n,).
    """

    home: HomeScores
    outputs: Tensor
    truth: Tensor


@torch.inference_mode()
def measure_held_out(model: LensModel, data: LensDataModule) -> HeldOut:
    """What a model makes of its validation images, and how far they are from the training images.

    Args:
        model: in evaluation mode.
        data: of its training.
    """
    device = next(model.parameters()).device
    seen = [coordinates(model, images.to(device)) for images in data.measured_images()]
    gaussians = {"features": Gaussian.fit(torch.cat([part.features for part in seen]))}
    components = _joined(seen)
    if components is not None:
        gaussians["components"] = Gaussian.fit(components)
    stated = ArchiveScores(read_archive(data.settings.url), data.settings.input)
    parts, outputs, truth = [], [], []
    for batch in data.stream("validation", shuffle=False):
        images = batch["image"].to(device)
        groups = [data.groups[number] for number in batch["group"].tolist()]
        features = model.encoder(model.scaling(images))
        scores = image_scores(images, coordinates(model, images, features), gaussians)
        parts.append(scores | stated.of(groups, batch["sample"].tolist()))
        outputs.append(model.head(features).cpu())
        is_class = model.task.name == "classification"
        truth.append((batch["label"] if is_class else batch["axion_mass"].log10()).cpu())
    names = tuple(parts[0])
    values = np.stack([np.concatenate([part[name] for part in parts]) for name in names], axis=1)
    known = ~np.isnan(values).any(axis=0)  # a fit of some images only tells nothing
    kept = tuple(name for name, is_known in zip(names, known, strict=True) if is_known)
    home = HomeScores(gaussians, kept, values[:, known])
    return HeldOut(home, torch.cat(outputs), torch.cat(truth))


def _joined(seen: list[Coordinates]) -> Tensor | None:
    strengths = [part.components for part in seen if part.components is not None]
    return torch.cat(strengths) if strengths else None
