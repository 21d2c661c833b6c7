"""What is measured on the images of a run's own archive that its model was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lensmodels.data import LensDataModule
from lensmodels.data.archives import read_archive
from lensmodels.evaluation.fit_scores import FitScores
from lensmodels.evaluation.image_scores import (
    Coordinates,
    Gaussian,
    coordinates,
    image_scores,
)
from lensmodels.evaluation.out_of_distribution import (
    MIN_HELD_OUT,
    HomeScores,
    load_home_scores,
    save_home_scores,
)
from lensmodels.model import LensModel
from lensmodels.runs import RunConfig
from lensmodels.startup import announce


def keep_held_out(run: Path, config: RunConfig, model: LensModel, batch_size: int) -> None:
    """Measures what a run keeps of its validation images, unless it has it for this model.

    Nothing is kept where the training archive has fewer than `MIN_HELD_OUT` validation images.

    Args:
        run: folder of the run.
        config: of the run.
        model: of the run.
        batch_size: images at a time.

    Raises:
        DataError: if the training archive cannot be read.
    """
    if load_home_scores(run) is not None:
        return
    read_once = {"batch_size": batch_size, "cache": "none"}
    data = LensDataModule(config.data.model_copy(update=read_once))
    data.setup()
    if data.sizes.get("validation", 0) < MIN_HELD_OUT:
        return
    announce(f"looking at {data.sizes['validation']:,} validation images")
    save_home_scores(run, measure_home(model, data))


@torch.inference_mode()
def measure_home(model: LensModel, data: LensDataModule) -> HomeScores:
    """Scores of the validation images, by distances from the training images.

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
    fits = FitScores(read_archive(data.settings.url))
    parts = []
    for batch in data.stream("validation", shuffle=False):
        images = batch["image"]
        groups = [data.groups[number] for number in batch["group"].tolist()]
        scores = image_scores(images, coordinates(model, images.to(device)), gaussians)
        parts.append(scores | fits.of(groups, batch["sample"].tolist()))
    names = tuple(parts[0])
    values = np.stack([np.concatenate([part[name] for part in parts]) for name in names], axis=1)
    known = ~np.isnan(values).any(axis=0)  # a fit of some images only tells nothing
    kept = tuple(name for name, is_known in zip(names, known, strict=True) if is_known)
    return HomeScores(gaussians, kept, values[:, known])


def _joined(seen: list[Coordinates]) -> Tensor | None:
    strengths = [part.components for part in seen if part.components is not None]
    return torch.cat(strengths) if strengths else None
